"""What the SMTP transport never does: trust the wrong server, or tell a password in clear."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any, Literal

import pytest

from claimnotify.channels.mime import Mail
from claimnotify.channels.smtp import SmtpTransport
from claimnotify.channels.smtp_session import Credentials
from claimnotify.errors import ConfigurationError, TransientDeliveryError
from claimnotify.testing.smtp_server import SmtpServer

Secure = Literal["starttls", "tls"]
SECURE: list[Secure] = ["starttls", "tls"]
PASSWORD = "p4ss-wörd"
MAIL = Mail(
    sender="no-reply@claims.example",
    recipient="ana@example.com",
    message_id="<1@claims.example>",
    content=b"Subject: Paid\r\n\r\nPaid.\r\n",
)


def _transport(server: SmtpServer, **options: Any) -> SmtpTransport:
    return SmtpTransport(
        **{
            "host": server.host,
            "port": server.port,
            "security": server.security,
            "ca_file": server.ca_file,
            "random": Random(1),
            "deadline": timedelta(seconds=10),
            **options,
        }
    )


async def _send(transport: SmtpTransport) -> None:
    try:
        await transport.send(MAIL)
    finally:
        await transport.aclose()


@pytest.mark.parametrize("security", SECURE)
@pytest.mark.parametrize("credentials", [None, Credentials("claims", PASSWORD)])
async def test_mail_goes_over_verified_tls(
    security: Secure, credentials: Credentials | None
) -> None:
    """STARTTLS and implicit TLS, with a login and without."""
    login = {"username": "claims", "password": PASSWORD} if credentials else {}
    with SmtpServer(security=security, **login) as server:  # type: ignore[arg-type]
        await _send(_transport(server, credentials=credentials))
    (mail,) = server.messages
    assert mail.encrypted
    assert mail.login == ("claims" if credentials else "")


@pytest.mark.parametrize("security", SECURE)
async def test_another_authority_is_refused(security: Secure) -> None:
    """A certificate nobody we trust has signed gets neither mail nor password."""
    with SmtpServer(security=security) as other, SmtpServer(security=security) as server:
        transport = _transport(
            server, ca_file=other.ca_file, credentials=Credentials("claims", PASSWORD)
        )
        with pytest.raises(TransientDeliveryError, match="SMTP_CA_FILE"):
            await _send(transport)
        assert server.verbs["AUTH"] == server.verbs["MAIL"] == 0


@pytest.mark.parametrize("security", SECURE)
async def test_a_certificate_for_another_name_is_refused(security: Secure) -> None:
    """The right authority vouches for someone else."""
    with SmtpServer(security=security, names=("mail.example",)) as server:
        with pytest.raises(TransientDeliveryError, match="SMTP_HOST"):
            await _send(_transport(server))
        assert server.verbs["MAIL"] == 0


async def test_the_systems_authorities_are_the_default() -> None:
    """Without a CA file a private server is not trusted."""
    with SmtpServer(security="tls") as server:
        transport = _transport(server, ca_file=None)
        with pytest.raises(TransientDeliveryError, match="no secure connection"):
            await _send(transport)


async def test_a_server_without_starttls_gets_nothing() -> None:
    """Whoever strips STARTTLS from the answer learns neither password nor mail."""
    with SmtpServer(username="claims", password=PASSWORD) as server:
        transport = _transport(
            server, security="starttls", credentials=Credentials("claims", PASSWORD)
        )
        with pytest.raises(TransientDeliveryError, match="offers no STARTTLS"):
            await _send(transport)
        assert set(server.verbs) == {"CONNECT", "EHLO"}


async def test_a_refused_starttls_is_not_gone_round() -> None:
    """The server offers it and then will not: later, never in clear."""
    with SmtpServer(security="starttls") as server:
        server.fail("STARTTLS", "454 4.7.0 not available")
        with pytest.raises(TransientDeliveryError, match="STARTTLS"):
            await _send(_transport(server))
        assert server.verbs["MAIL"] == 0


@pytest.mark.parametrize("security", SECURE)
async def test_a_server_that_speaks_the_other_way_is_transient(security: Secure) -> None:
    """TLS from the start against a plain server, and the reverse, end at the deadline at latest."""
    with SmtpServer(security="none" if security == "tls" else "tls") as server:
        transport = _transport(server, security=security, deadline=timedelta(seconds=1))
        with pytest.raises(TransientDeliveryError):
            await _send(transport)
        assert server.messages == []


@pytest.mark.parametrize("step", ["STARTTLS", "AUTH"])
async def test_a_server_that_hangs_while_securing_costs_the_deadline(step: str) -> None:
    """These steps are within the attempt's deadline too."""
    with SmtpServer(security="starttls", username="claims", password=PASSWORD) as server:
        server.hang(step)
        transport = _transport(
            server,
            credentials=Credentials("claims", PASSWORD),
            deadline=timedelta(seconds=0.5),
        )
        async with asyncio.timeout(3):
            with pytest.raises(TransientDeliveryError, match=f"waiting for {step}"):
                await _send(transport)


async def test_a_wrong_password_burns_no_mail_and_shows_nowhere(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A fault of the settings is transient, says which ones, and tells no password."""
    caplog.set_level(logging.DEBUG)
    with SmtpServer(security="starttls", username="claims", password="another") as server:
        transport = _transport(server, credentials=Credentials("claims", PASSWORD))
        with pytest.raises(TransientDeliveryError, match="SMTP_PASSWORD") as caught:
            await _send(transport)
    assert caught.value.status_code == 535
    _shows_no_password(caught.value, caplog)


@pytest.mark.parametrize(
    "echo",
    [
        lambda: f"535 5.7.8 {PASSWORD}",
        lambda: "535 5.7.8 AGNsYWltcwBwNHNzLXfDtnJk",  # AUTH PLAIN's argument
        lambda: "535 5.7.8 cDRzcy13w7ZyZA==",  # AUTH LOGIN's
    ],
)
async def test_a_server_that_repeats_the_password_is_not_quoted(
    echo: Callable[[], str], caplog: pytest.LogCaptureFixture
) -> None:
    """Replies are kept with the attempt, so ours is taken out of them."""
    with SmtpServer(security="starttls", username="claims", password=PASSWORD) as server:
        server.fail("AUTH", echo(), times=9)
        transport = _transport(server, credentials=Credentials("claims", PASSWORD))
        with pytest.raises(TransientDeliveryError) as caught:
            await _send(transport)
    _shows_no_password(caught.value, caplog)


def _shows_no_password(error: TransientDeliveryError, caplog: pytest.LogCaptureFixture) -> None:
    chain: list[BaseException] = [error]
    while (before := chain[-1].__cause__ or chain[-1].__context__) is not None:
        chain.append(before)
    told = "".join(traceback.format_exception(error)) + repr(error) + error.excerpt + repr(chain)
    ours = [each.getMessage() for each in caplog.records if not each.name.startswith("mail")]
    for form in (PASSWORD, "AGNsYWltcwBwNHNzLXfDtnJk", "cDRzcy13w7ZyZA=="):
        assert form not in told
        assert form not in "".join(ours)


@pytest.mark.parametrize("host", ["mail.example", "192.0.2.1", "localhost.example"])
def test_a_password_in_clear_is_a_configuration_error(host: str) -> None:
    """Found when the channel is made, before any mail."""
    with pytest.raises(ConfigurationError, match="smtp_security"):
        SmtpTransport(
            host=host, security="none", credentials=Credentials("u", "p"), random=Random(1)
        )


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_a_password_may_go_in_clear_to_this_machine(host: str) -> None:
    """A relay on the same host needs no TLS."""
    SmtpTransport(host=host, security="none", credentials=Credentials("u", "p"), random=Random(1))


def test_an_unusable_ca_file_is_a_configuration_error(tmp_path: Path) -> None:
    """Found when the channel is made, before any mail."""
    broken = tmp_path / "ca.pem"
    broken.write_text("no certificate", encoding="ascii")
    for path in (broken, tmp_path / "absent.pem"):
        with pytest.raises(ConfigurationError, match="smtp_ca_file"):
            SmtpTransport(host="mail.example", security="tls", ca_file=path, random=Random(1))


def test_credentials_do_not_show() -> None:
    """A repr ends up in logs."""
    assert PASSWORD not in repr(Credentials("claims", PASSWORD))
