"""What a failed conversation with an SMTP server means for the delivery. Pure; sends nothing."""

from __future__ import annotations

import base64
import re
import ssl
from collections.abc import Iterator

from aiosmtplib import SMTPAuthenticationError, SMTPException, SMTPResponseException

from claimnotify.channels.smtp_session import Credentials, Progress
from claimnotify.errors import (
    DeliveryError,
    PermanentDeliveryError,
    TransientDeliveryError,
    UnknownOutcome,
)

__all__ = ["FAILURES", "excerpt", "failure", "nothing_sent"]

FAILURES: tuple[type[Exception], ...] = (SMTPException, OSError, ValueError)
"""What a session may raise besides our own errors."""

_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]+")
_AUTHENTICATION_WANTED = frozenset({530, 534, 535, 538})
_BEFORE_MAIL = frozenset({"the connection", "EHLO", "STARTTLS", "AUTH", "RSET"})


def failure(
    error: BaseException, progress: Progress, credentials: Credentials | None = None
) -> DeliveryError:
    """Return the delivery error that `error` stands for.

    Args:
        error: What aiosmtplib, ssl or the operating system raised, or `TimeoutError`.
        progress: How far the attempt got.
        credentials: What must not show in the text, should the server repeat it.
    """
    tls = _tls_error(error)
    if isinstance(error, SMTPResponseException) and error.code > 0:
        return _refusal(error, progress, credentials)
    if progress.handed_over:
        return UnknownOutcome(
            f"the connection to the SMTP server was lost after the whole mail had been sent "
            f"({type(error).__name__}); it may have been accepted"
        )
    if tls is not None:
        why = getattr(tls, "verify_message", "") or tls.reason or type(tls).__name__
        return TransientDeliveryError(
            f"no secure connection to the SMTP server came about ({why}); check that SMTP_HOST is "
            "the name in its certificate, SMTP_CA_FILE its authority, and SMTP_SECURITY its way"
        )
    if isinstance(error, TimeoutError):
        return TransientDeliveryError(f"gave up at the deadline, waiting for {progress.step}")
    if isinstance(error, ValueError):
        return PermanentDeliveryError("an address cannot be given to an SMTP server")
    what = _UNPRINTABLE.sub(" ", str(error)) if isinstance(error, OSError) else type(error).__name__
    return TransientDeliveryError(
        f"the conversation with the SMTP server broke off while waiting for {progress.step}: "
        f"{_without(credentials, what)}"
    )


def nothing_sent(error: Exception, progress: Progress) -> bool:
    """Return whether `error` is a refused or lost connection that a quick second try may mend."""
    lost = isinstance(error, ConnectionError) and not isinstance(error, SMTPResponseException)
    return lost and not progress.handed_over and _tls_error(error) is None


def excerpt(reply: str, credentials: Credentials | None = None) -> str:
    """Return the beginning of a server's reply, printable and without our credentials."""
    return _without(credentials, _UNPRINTABLE.sub(" ", reply))[:500]


def _refusal(
    error: SMTPResponseException, progress: Progress, credentials: Credentials | None
) -> DeliveryError:
    code, text = error.code, excerpt(error.message, credentials)
    if isinstance(error, SMTPAuthenticationError) or code in _AUTHENTICATION_WANTED:
        return TransientDeliveryError(
            f"the SMTP server wants a valid login and refused ours ({code} {text[:200]}); "
            "check SMTP_USERNAME and SMTP_PASSWORD",
            status_code=code,
            excerpt=text,
        )
    problem = f"the SMTP server answered {code} to {progress.step}"
    # Before MAIL it is us that the server refuses, not this mail; later mails need not suffer.
    if code < 500 or progress.step in _BEFORE_MAIL:
        return TransientDeliveryError(problem, status_code=code, excerpt=text)
    return PermanentDeliveryError(problem, status_code=code, excerpt=text)


def _tls_error(error: BaseException | None) -> ssl.SSLError | None:
    """Return the TLS failure that `error` is or was caused by."""
    while error is not None and not isinstance(error, ssl.SSLError):
        error = error.__cause__
    return error


def _without(credentials: Credentials | None, text: str) -> str:
    for secret in _forms(credentials) if credentials is not None else ():
        text = text.replace(secret, "…")
    return text


def _forms(credentials: Credentials) -> Iterator[str]:
    """Yield the forms in which a server might repeat a password to us, longest first."""
    name, password = credentials.username, credentials.password
    for plain in (f"\0{name}\0{password}", f"{name}\0{password}", password):
        yield base64.b64encode(plain.encode()).decode()
    yield password
