"""One session with an SMTP server: opened once, carrying mail after mail, refusing to go on in clear.

It speaks the commands and keeps note of how far it got; what a failure means is decided elsewhere.
"""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
from dataclasses import dataclass, field
from typing import Literal

from aiosmtplib import (
    SMTP,
    SMTPDataError,
    SMTPException,
    SMTPResponse,
    SMTPServerDisconnected,
)

from claimnotify.channels.mime import Mail
from claimnotify.errors import PermanentDeliveryError, TransientDeliveryError

__all__ = ["Credentials", "Progress", "Security", "Server", "SmtpSession"]

Security = Literal["starttls", "tls", "none"]

_DOT = re.compile(rb"(?m)^\.")
_HOST_NAME = re.compile(r"[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63})+", re.ASCII)
_START_INPUT = 354


@dataclass(frozen=True, slots=True)
class Credentials:
    """A user name and its password; neither is in the `repr`."""

    username: str = field(repr=False)
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """Where the server is and how to talk to it.

    Args:
        host: Its name, which its certificate must bear, or its address.
        port: Its TCP port.
        security: `starttls` (required, never merely tried), `tls` from the first byte, or `none`.
        tls: The context that verifies it; None exactly when `security` is `none`.
        credentials: With which to log in, or None.
    """

    host: str
    port: int
    security: Security
    tls: ssl.SSLContext | None = field(repr=False)
    credentials: Credentials | None = None


@dataclass(slots=True)
class Progress:
    """How far one attempt got.

    Args:
        step: What is being waited for, fit for "the server did not answer …".
        handed_over: Whether the whole message, final dot included, was given to the socket.
    """

    step: str = "a free connection"
    handed_over: bool = False


class SmtpSession:
    """One connection and what the server said it can do. Not for two mails at a time."""

    def __init__(self, client: SMTP) -> None:
        self._client = client
        self.mails = 0
        """How many mails it was offered."""
        self.used_at = asyncio.get_running_loop().time()

    @classmethod
    async def start(cls, server: Server, progress: Progress) -> SmtpSession:
        """Connect, secure the connection, log in.

        Raises:
            TransientDeliveryError: The server offers no STARTTLS or no way to log in.
            aiosmtplib.SMTPException: The server refused a command or went away.
            OSError: It cannot be reached, or (`ssl.SSLError`) is not who it should be.
        """
        client = SMTP(
            hostname=server.host,
            port=server.port,
            # Never used: each EHLO names us, and the default asks DNS.
            local_hostname="localhost",
            timeout=None,
            use_tls=server.security == "tls",
            start_tls=False,
            tls_context=server.tls,
        )
        session = cls(client)
        try:
            await session._prepare(server, progress)
        except BaseException:
            session.abort()
            raise
        return session

    async def _prepare(self, server: Server, progress: Progress) -> None:
        progress.step = "the connection"
        await self._client.connect()
        await self._greet(progress)
        if server.security == "starttls":
            progress.step = "STARTTLS"
            if not self._client.supports_extension("starttls"):
                raise TransientDeliveryError(
                    "the SMTP server offers no STARTTLS and nothing is sent in clear; "
                    "check SMTP_PORT, or set SMTP_SECURITY to tls if it speaks TLS from the start"
                )
            await self._client.starttls()
            await self._greet(progress)
        if server.credentials is not None:
            progress.step = "AUTH"
            if not self._client.supported_auth_methods:
                raise TransientDeliveryError(
                    "the SMTP server offers no way to log in that we know; check SMTP_PORT and "
                    "SMTP_SECURITY, or leave out SMTP_USERNAME and SMTP_PASSWORD"
                )
            await self._client.login(server.credentials.username, server.credentials.password)

    async def _greet(self, progress: Progress) -> None:
        progress.step = "EHLO"
        address = self._client.get_transport_info("sockname")[0]
        await self._client.ehlo(hostname=_own_name(address))

    @property
    def alive(self) -> bool:
        """Whether the connection stands, as far as this side knows."""
        return self._client.is_connected

    async def reset(self, progress: Progress) -> None:
        """Drop a mail that was not finished and learn whether the server is still there."""
        progress.step = "RSET"
        await self._client.rset()

    async def envelope(self, mail: Mail, progress: Progress) -> None:
        """Tell the server whose mail comes.

        Raises:
            PermanentDeliveryError: This server cannot carry this mail.
            aiosmtplib.SMTPException: The server refused the sender or went away.
        """
        options = self._options(mail)
        progress.step = "MAIL"
        self.mails += 1
        await self._client.mail(mail.sender, options=options, encoding=_encoding(mail))

    def _options(self, mail: Mail) -> list[str]:
        options = []
        if mail.needs_smtputf8:
            if not self._client.supports_extension("smtputf8"):
                raise PermanentDeliveryError(
                    "the address has letters outside ASCII before the @ and the SMTP server "
                    "does not support those (SMTPUTF8, RFC 6531)"
                )
            options += ["SMTPUTF8", "BODY=8BITMIME"]
        if self._client.supports_extension("size"):
            limit = self._client.esmtp_extensions["size"].strip()
            if limit.isdecimal() and 0 < int(limit) < len(mail.content):
                raise PermanentDeliveryError(
                    f"the mail has {len(mail.content)} bytes and the SMTP server takes {limit}",
                    status_code=552,
                )
            options.append(f"SIZE={len(mail.content)}")
        return options

    async def transmit(self, mail: Mail, progress: Progress) -> SMTPResponse:
        """Hand over recipient and message after `envelope`; return the server's acceptance.

        Raises:
            aiosmtplib.SMTPException: The server refused the recipient or the message, or went away.
        """
        progress.step = "RCPT"
        await self._client.rcpt(mail.recipient, encoding=_encoding(mail))
        # DATA in two steps: only so can a loss before the message be told from one after it.
        progress.step = "DATA"
        reply = await self._client.execute_command(b"DATA")
        if reply.code != _START_INPUT:
            raise SMTPDataError(reply.code, reply.message)
        protocol = self._client.protocol
        if protocol is None:
            raise SMTPServerDisconnected("Connection lost")
        protocol.write(_with_dots(mail.content))
        progress.step, progress.handed_over = "the end of the message", True
        reply = await protocol.read_response()
        if not 200 <= reply.code < 300:
            raise SMTPDataError(reply.code, reply.message)
        self.used_at = asyncio.get_running_loop().time()
        return reply

    async def quit(self, *, seconds: float) -> None:
        """Take leave, waiting no longer than `seconds` for the answer, and close."""
        transport = self._client.transport
        try:
            async with asyncio.timeout(seconds):
                await self._client.quit()
        except (OSError, SMTPException):
            pass  # we leave either way
        finally:
            if isinstance(transport, asyncio.WriteTransport):
                transport.abort()
            self.abort()

    def leave(self) -> None:
        """Take leave without waiting for the answer."""
        if self.alive and self._client.protocol is not None:
            self._client.protocol.write(b"QUIT\r\n")
        self._client.close()

    def abort(self) -> None:
        """Close at once, waiting for nobody."""
        transport = self._client.transport
        self._client.close()
        if isinstance(transport, asyncio.WriteTransport):
            transport.abort()


def _with_dots(content: bytes) -> bytes:
    """Return `content` as it follows DATA: leading dots doubled, then the dot that ends it."""
    whole = content if content.endswith(b"\r\n") else content + b"\r\n"
    return _DOT.sub(b"..", whole) + b".\r\n"


def _encoding(mail: Mail) -> str:
    return "utf-8" if mail.needs_smtputf8 else "ascii"


def _own_name(address: str) -> str:
    """Return what to call ourselves: the host's full name, else its address (RFC 5321 4.1.3)."""
    name = socket.gethostname()
    if _HOST_NAME.fullmatch(name):
        return name
    bare = address.partition("%")[0]
    return f"[IPv6:{bare}]" if ":" in bare else f"[{bare}]"
