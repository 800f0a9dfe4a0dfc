"""The SMTP transport behind the e-mail channel: a pool of kept sessions, one deadline per attempt."""

from __future__ import annotations

import asyncio
import ssl
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from random import Random

from aiosmtplib import SMTPResponse, SMTPResponseException

from claimnotify.channels.mime import Mail
from claimnotify.channels.smtp_failures import FAILURES, excerpt, failure, nothing_sent
from claimnotify.channels.smtp_session import Credentials, Progress, Security, Server, SmtpSession
from claimnotify.errors import ConfigurationError, PermanentDeliveryError
from claimnotify.model.notifications import Receipt
from claimnotify.model.states import DeliveryStatus
from claimnotify.policy.quick_tries import with_quick_tries

__all__ = ["SmtpTransport"]

_PORTS: dict[Security, int] = {"starttls": 587, "tls": 465, "none": 25}
_SERVICE_CLOSING = 421
_PATIENCE_WITH_KEPT = 5.0
_PATIENCE_AT_LEAVING = 2.0


class SmtpTransport:
    """Hands mails to one SMTP server over at most `connections` sessions at a time.

    Args:
        host: The server's name or address; its certificate must bear it.
        port: Its TCP port; 587, 465 or 25 after `security` if None.
        security: `starttls` (required), `tls` or `none`. With `none`, credentials are refused
            unless the host is this machine.
        credentials: With which to log in, or None.
        ca_file: PEM file of the one authority to trust; the system's authorities if None.
        connections: The most sessions at once.
        deadline: The longest one `send` takes, waiting for a session included.
        random: Randomness for the quick tries.
        max_idle: A session unused for longer is left for a new one.
        max_mails: A session that carried as many is left for a new one.

    Raises:
        ConfigurationError: If credentials would travel in clear, or the CA file is unusable.
    """

    def __init__(
        self,
        *,
        host: str,
        security: Security,
        port: int | None = None,
        credentials: Credentials | None = None,
        ca_file: Path | None = None,
        connections: int = 8,
        deadline: timedelta = timedelta(seconds=15),
        random: Random,
        max_idle: timedelta = timedelta(seconds=60),
        max_mails: int = 100,
    ) -> None:
        if security == "none" and credentials is not None and not _is_this_machine(host):
            raise ConfigurationError(
                "smtp_security",
                "is none, so the password would travel in clear",
                "Use starttls or tls, or leave out smtp_username and smtp_password.",
            )
        # The system's authorities take long to load, so those wait for the first use.
        self._tls = _tls_context(ca_file) if security != "none" and ca_file is not None else None
        self._host = host
        self._port = port or _PORTS[security]
        self._security: Security = security
        self._credentials = credentials
        self._connections = connections
        self._deadline = deadline
        self._random = random
        self._max_idle = max_idle.total_seconds()
        self._max_mails = max_mails
        self._kept: list[SmtpSession] = []
        self._slots: asyncio.Semaphore | None = None

    async def open(self) -> None:
        """Load the authorities to trust, off the loop. Opens no connection."""
        if self._security != "none" and self._tls is None:
            self._tls = await asyncio.to_thread(_tls_context, None)

    async def aclose(self) -> None:
        """Take leave of the server on every kept session."""
        kept, self._kept, self._slots = self._kept, [], None
        await asyncio.gather(*(each.quit(seconds=_PATIENCE_AT_LEAVING) for each in kept))
        # Aborted sockets are closed by the loop's next turns.
        for _ in range(3):
            await asyncio.sleep(0)

    async def send(self, mail: Mail) -> Receipt:
        """Hand `mail` over and return the server's acceptance.

        Raises:
            TransientDeliveryError: The server could not be reached, secured, logged in to, or
                asked to try later.
            PermanentDeliveryError: The server refused this mail.
            UnknownOutcome: The session was lost between the end of the mail and the answer.
        """
        progress = Progress()
        try:
            async with asyncio.timeout(self._deadline.total_seconds()):
                await self.open()
                reply = await with_quick_tries(
                    lambda: self._once(mail, progress),
                    deadline=self._deadline,
                    retry_on=ConnectionError,
                    random=self._random,
                )
        except (ConnectionError, TimeoutError) as error:
            told = failure(error, progress, self._credentials)
        else:
            return Receipt(
                status=DeliveryStatus.SENT,
                provider_id=mail.message_id,
                status_code=reply.code,
                excerpt=excerpt(reply.message, self._credentials),
            )
        # Outside the handler, so that no traceback leads to the frames that held the password.
        raise told

    async def _once(self, mail: Mail, progress: Progress) -> SMTPResponse:
        """One try. Lets a ConnectionError through only where nothing of the mail has gone."""
        try:
            progress.step = "a free connection"
            if self._slots is None:
                self._slots = asyncio.Semaphore(self._connections)
            async with self._slots:
                return await self._converse(mail, progress)
        except FAILURES as error:
            if nothing_sent(error, progress):
                raise
            told = failure(error, progress, self._credentials)
        raise told

    async def _converse(self, mail: Mail, progress: Progress) -> SMTPResponse:
        session = await self._kept_session(progress) or await self._new_session(progress)
        try:
            await session.envelope(mail, progress)
            reply = await session.transmit(mail, progress)
        except SMTPResponseException as error:
            self._keep(session, after=error.code)
            if error.code == _SERVICE_CLOSING and session.mails > 1 and progress.step == "MAIL":
                # Some servers let a session carry only so many; that says nothing about this mail.
                raise ConnectionResetError("the server ended a kept session") from None
            raise
        except PermanentDeliveryError:
            self._keep(session)
            raise
        except BaseException:
            session.abort()
            raise
        self._keep(session)
        return reply

    async def _new_session(self, progress: Progress) -> SmtpSession:
        server = Server(
            host=self._host,
            port=self._port,
            security=self._security,
            tls=self._tls,
            credentials=self._credentials,
        )
        return await SmtpSession.start(server, progress)

    async def _kept_session(self, progress: Progress) -> SmtpSession | None:
        """Return a kept session that still answers, or None to begin a new one."""
        while self._kept:
            session = self._kept.pop()
            idle = asyncio.get_running_loop().time() - session.used_at
            if not session.alive or idle >= self._max_idle or session.mails >= self._max_mails:
                session.leave()
                continue
            try:
                async with asyncio.timeout(_PATIENCE_WITH_KEPT):
                    await session.reset(progress)
            except FAILURES:
                # What ended this one has most likely ended the others too.
                for each in (session, *self._kept):
                    each.abort()
                self._kept.clear()
            except BaseException:
                session.abort()
                raise
            else:
                return session
        return None

    def _keep(self, session: SmtpSession, *, after: int = 250) -> None:
        """Keep `session` for the next mail unless the reply `after` ended it."""
        if session.alive and after > 0 and after != _SERVICE_CLOSING:
            self._kept.append(session)
        else:
            session.abort()


def _tls_context(ca_file: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file)
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            "smtp_ca_file",
            f"cannot be used ({type(error).__name__})",
            "Give the path of a readable PEM file with the authority's certificate.",
        ) from error


def _is_this_machine(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower().rstrip(".") in ("localhost", "ip6-localhost")
