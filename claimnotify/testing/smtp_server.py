"""A real SMTP server on loopback that keeps what it receives and fails where a test wants it to."""

from __future__ import annotations

import email
import email.policy
import re
import ssl
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.message import EmailMessage
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal, Self

from claimnotify.errors import ConfigurationError
from claimnotify.testing.script import Script

if TYPE_CHECKING:
    from claimnotify.testing.scripted_smtp import LoopbackController, ScriptedSmtp

__all__ = ["ReceivedMail", "SmtpServer"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedMail:
    """One mail the server accepted.

    Args:
        sender: The envelope's sender.
        recipients: The envelope's recipients.
        raw: The message as it came, dots unstuffed.
        encrypted: Whether it came over TLS.
        login: The user who sent it, or empty.
    """

    sender: str
    recipients: tuple[str, ...]
    raw: bytes = field(repr=False)
    encrypted: bool
    login: str = ""

    @property
    def message(self) -> EmailMessage:
        """The message, parsed."""
        return email.message_from_bytes(self.raw, policy=email.policy.SMTPUTF8)


class SmtpServer:
    """A context manager around a server that listens on 127.0.0.1, on a port the system chose.

    Steps that can be made to fail: `CONNECT`, `EHLO`, `STARTTLS`, `AUTH`, `MAIL`, `RCPT`, `DATA`,
    `BODY` (the answer to the message itself), `RSET`, `QUIT`.

    Args:
        security: `none`, `starttls` or `tls`; with the latter two `ca_file` is whom to trust.
        username: Who may send; anyone if empty.
        password: Their password.
        smtputf8: Whether addresses outside ASCII are taken (RFC 6531).
        size_limit: The most bytes a message may have.
        names: The names and addresses in the certificate.
        directory: Where to write each mail as `.eml` and its HTML part as `.html`, or None.

    Raises:
        ConfigurationError: On entering, if the extra `claimnotify[testing]` is not installed.
    """

    host = "127.0.0.1"

    def __init__(
        self,
        *,
        security: Literal["none", "starttls", "tls"] = "none",
        username: str = "",
        password: str = "",
        smtputf8: bool = True,
        size_limit: int = 32 * 1024 * 1024,
        names: tuple[str, ...] = ("127.0.0.1", "localhost"),
        directory: Path | None = None,
    ) -> None:
        self.security = security
        self.port = 0
        self.ca_file: Path | None = None
        self._username = username
        self._password = password
        self._options = {"enable_SMTPUTF8": smtputf8, "data_size_limit": size_limit}
        self._names = names
        self._directory = directory
        self._script: Script[str] = Script()
        self._verbs: Counter[str] = Counter()
        self._messages: list[ReceivedMail] = []
        self._changed = threading.Condition()
        self._controller: LoopbackController | None = None
        self._secrets: TemporaryDirectory[str] | None = None

    def __enter__(self) -> Self:
        try:
            from claimnotify.testing import scripted_smtp

            context = self._tls_context() if self.security != "none" else None
        except ImportError as error:
            raise ConfigurationError(
                "SmtpServer", f"needs {error.name}", "Install claimnotify[testing]."
            ) from error
        options: dict[str, Any] = {**self._options, "auth_require_tls": self.security == "starttls"}
        if self._username:
            check = scripted_smtp.LoginCheck(self._username, self._password)
            options |= {"authenticator": check, "login_required": True}
        if self.security == "starttls":
            options |= {"tls_context": context, "require_starttls": True}

        def make(loop: Any) -> ScriptedSmtp:
            return scripted_smtp.ScriptedSmtp(
                self, self._script, self._note_verb, loop=loop, hostname="mx.test", **options
            )

        implicit = context if self.security == "tls" else None
        self._controller = scripted_smtp.LoopbackController(self, make, ssl_context=implicit)
        self._controller.start()
        self._verbs.clear()
        self.port = self._controller.port
        return self

    def __exit__(self, *exception: object) -> None:
        if self._controller is not None:
            self._controller.stop()
        if self._secrets is not None:
            self._secrets.cleanup()

    @property
    def settings(self) -> Mapping[str, Any]:
        """Keywords for `Notifier.from_settings` that make it send here."""
        return {
            "smtp_host": self.host,
            "smtp_port": self.port,
            "smtp_security": self.security,
            "smtp_ca_file": self.ca_file,
            "smtp_username": self._username,
            "smtp_password": self._password,
            "smtp_from_email": "no-reply@claims.example",
            "smtp_from_name": "Claims",
        }

    @property
    def messages(self) -> list[ReceivedMail]:
        """The mails accepted so far, oldest first."""
        with self._changed:
            return list(self._messages)

    @property
    def connections(self) -> int:
        """How many connections clients have made."""
        return self._controller.connection_count if self._controller is not None else 0

    @property
    def verbs(self) -> Counter[str]:
        """How often each step was begun."""
        with self._changed:
            return self._verbs.copy()

    def wait_for(self, count: int, timeout: float = 10.0) -> list[ReceivedMail]:
        """Return the mails once there are `count`.

        Raises:
            TimeoutError: If there are fewer after `timeout` seconds.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: len(self._messages) >= count, timeout):
                have = len(self._messages)
                raise TimeoutError(f"{have} of {count} mails arrived within {timeout:g} s")
            return list(self._messages)

    def fail(self, step: str, reply: str = "451 4.3.0 try later", *, times: int = 1) -> None:
        """Answer the next `times` occurrences of `step` with `reply`; a 421 also hangs up."""
        self._script.plan(step.upper(), "reply", times=times, reply=reply)

    def hang(self, step: str, *, times: int = 1) -> None:
        """Give the next `times` occurrences of `step` no answer at all."""
        self._script.plan(step.upper(), "hang", times=times)

    def drop(self, step: str, *, times: int = 1) -> None:
        """Reset the connection at the next `times` occurrences of `step`."""
        self._script.plan(step.upper(), "drop", times=times)

    def lose_reply(self, *, times: int = 1) -> None:
        """Accept the next `times` messages and reset the connection before saying so."""
        self._script.plan("ACCEPTED", "drop", times=times)

    def drop_connections(self) -> None:
        """Reset every open connection."""
        if self._controller is not None:
            self._controller.drop_connections()

    async def handle_DATA(self, server: ScriptedSmtp, session: Any, envelope: Any) -> str:
        """Keep a message; called by aiosmtpd."""
        reply = await server.scripted("BODY")
        if reply is not None:
            return reply
        mail = ReceivedMail(
            sender=envelope.mail_from,
            recipients=tuple(envelope.rcpt_tos),
            raw=envelope.original_content,
            encrypted=session.ssl is not None or self.security == "tls",
            login=(session.auth_data.login.decode() if session.authenticated else ""),
        )
        with self._changed:
            self._messages.append(mail)
            number = len(self._messages)
            self._changed.notify_all()
        if self._directory is not None:
            _write(mail, number, self._directory)
        return await server.scripted("ACCEPTED") or f"250 2.0.0 Ok: queued as {number:06d}"

    def _note_verb(self, verb: str) -> None:
        with self._changed:
            self._verbs[verb] += 1

    def _tls_context(self) -> ssl.SSLContext:
        import trustme

        authority = trustme.CA()
        self._secrets = TemporaryDirectory(prefix="claimnotify-smtp-")
        self.ca_file = Path(self._secrets.name, "ca.pem")
        authority.cert_pem.write_to_path(self.ca_file)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        authority.issue_cert(*self._names).configure_cert(context)
        return context


def _write(mail: ReceivedMail, number: int, directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    to = re.sub(r"[^\w@.+-]", "_", mail.recipients[0])
    path = directory / f"{number:04d}-{to}.eml"
    path.write_bytes(mail.raw)
    html = mail.message.get_body(("html",))
    if html is not None:
        path.with_suffix(".html").write_text(html.get_content(), encoding="utf-8")
