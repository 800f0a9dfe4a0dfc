"""The SMTP transport against a real server: kept sessions, failures at each verb, deadlines."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest

from claimnotify.channels.mime import Mail
from claimnotify.channels.smtp import SmtpTransport
from claimnotify.errors import (
    DeliveryError,
    InvalidInput,
    PermanentDeliveryError,
    TransientDeliveryError,
    UnknownOutcome,
)
from claimnotify.testing.smtp_server import SmtpServer

VERBS = ("CONNECT", "EHLO", "MAIL", "RCPT", "DATA")


def _mail(**values: Any) -> Mail:
    return Mail(
        **{
            "sender": "no-reply@claims.example",
            "recipient": "ana@example.com",
            "message_id": "<1@claims.example>",
            "content": b"Subject: Paid\r\nMessage-ID: <1@claims.example>\r\n\r\nPaid.\r\n",
            **values,
        }
    )


@pytest.fixture
def server() -> Iterator[SmtpServer]:
    with SmtpServer() as server:
        yield server


@asynccontextmanager
async def _transport(server: SmtpServer, **options: Any) -> AsyncIterator[SmtpTransport]:
    transport = SmtpTransport(
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
    await transport.open()
    try:
        yield transport
    finally:
        await transport.aclose()


async def test_a_mail_arrives_as_it_was_handed_over(server: SmtpServer) -> None:
    """Envelope and bytes are those of the mail, leading dots included."""
    content = b"Subject: dots\r\n\r\n.\r\n..two\r\n.end\r\n"
    async with _transport(server) as transport:
        receipt = await transport.send(_mail(content=content))
    (mail,) = server.messages
    assert mail.raw == content
    assert (mail.sender, mail.recipients) == ("no-reply@claims.example", ("ana@example.com",))
    assert (receipt.status, receipt.status_code) == ("sent", 250)
    assert receipt.provider_id == "<1@claims.example>"
    assert "queued as 000001" in receipt.excerpt


async def test_a_mail_without_a_last_line_break_ends_all_the_same(server: SmtpServer) -> None:
    """Without one of its own the final dot would be part of the last line."""
    async with _transport(server) as transport:
        await transport.send(_mail(content=b"Subject: s\r\n\r\nbody"))
    assert server.messages[0].raw == b"Subject: s\r\n\r\nbody\r\n"


async def test_mails_share_a_session(server: SmtpServer) -> None:
    """One connection for many, reset between them."""
    async with _transport(server) as transport:
        for _ in range(5):
            await transport.send(_mail())
    assert server.connections == 1
    assert server.verbs["RSET"] == 4
    assert server.verbs["QUIT"] == 1
    assert len(server.messages) == 5


async def test_no_more_sessions_than_allowed(server: SmtpServer) -> None:
    """The others wait for a free one."""
    async with _transport(server, connections=3) as transport:
        await asyncio.gather(*(transport.send(_mail()) for _ in range(30)))
    assert len(server.messages) == 30
    assert server.connections <= 3


async def test_a_session_is_left_after_so_many_mails(server: SmtpServer) -> None:
    """Some servers insist; leaving first is politer than being hung up on."""
    async with _transport(server, max_mails=2) as transport:
        for _ in range(5):
            await transport.send(_mail())
    assert server.connections == 3


async def test_a_session_that_was_idle_for_too_long_is_left(server: SmtpServer) -> None:
    """Nothing is sent over a connection that may be half dead."""
    async with _transport(server, max_idle=timedelta(0)) as transport:
        await transport.send(_mail())
        await transport.send(_mail())
    assert server.connections == 2
    assert server.verbs["RSET"] == 0


async def test_a_session_the_server_closed_is_replaced_unnoticed(server: SmtpServer) -> None:
    """The mail goes over a new one, in the same attempt."""
    async with _transport(server) as transport:
        await transport.send(_mail())
        server.drop_connections()
        await transport.send(_mail())
    assert len(server.messages) == 2
    assert server.connections == 2


@pytest.mark.parametrize("reply", ["421 4.4.2 idle for too long", "500 5.5.1 what?"])
async def test_a_kept_session_that_wants_no_more_is_replaced(
    server: SmtpServer, reply: str
) -> None:
    """Whatever the server says to RSET, this mail has not been refused."""
    async with _transport(server) as transport:
        await transport.send(_mail())
        server.fail("RSET", reply)
        await transport.send(_mail())
    assert len(server.messages) == 2
    assert server.connections == 2


async def test_a_kept_session_that_closes_at_mail_is_replaced(server: SmtpServer) -> None:
    """Some servers count mails per connection and answer 421 to one too many."""
    async with _transport(server) as transport:
        await transport.send(_mail())
        server.fail("MAIL", "421 4.7.0 too many messages")
        await transport.send(_mail())
    assert len(server.messages) == 2


async def test_a_refused_mail_leaves_the_session_to_the_next(server: SmtpServer) -> None:
    """A refusal is about the mail; the next one is not held up by a new handshake."""
    server.fail("RCPT", "550 5.1.1 no such user")
    async with _transport(server) as transport:
        with pytest.raises(PermanentDeliveryError):
            await transport.send(_mail())
        await transport.send(_mail())
    assert server.connections == 1
    assert [each.recipients for each in server.messages] == [("ana@example.com",)]


@pytest.mark.parametrize(
    ("step", "reply", "expected"),
    [
        ("CONNECT", "421 4.3.2 closing", TransientDeliveryError),
        ("CONNECT", "554 5.7.1 go away", TransientDeliveryError),  # us, not this mail
        ("MAIL", "451 4.3.0 later", TransientDeliveryError),
        ("MAIL", "421 4.3.2 closing", TransientDeliveryError),
        ("MAIL", "530 5.7.0 log in first", TransientDeliveryError),  # a fault of our settings
        ("MAIL", "550 5.7.1 sender refused", PermanentDeliveryError),
        ("RCPT", "450 4.2.1 greylisted", TransientDeliveryError),
        ("RCPT", "550 5.1.1 no such user", PermanentDeliveryError),
        ("DATA", "452 4.3.1 disk full", TransientDeliveryError),
        ("DATA", "554 5.6.0 no", PermanentDeliveryError),
        ("BODY", "451 4.7.1 later", TransientDeliveryError),
        ("BODY", "552 5.3.4 too big", PermanentDeliveryError),
        ("BODY", "421 4.3.2 closing", TransientDeliveryError),  # an answer: not accepted
    ],
)
async def test_what_a_refusal_means(
    server: SmtpServer, step: str, reply: str, expected: type[DeliveryError]
) -> None:
    """4xx may pass, 5xx will not; the error has the code, and the excerpt the words."""
    server.fail(step, reply, times=3)
    async with _transport(server) as transport:
        with pytest.raises(expected) as caught:
            await transport.send(_mail())
    assert caught.value.status_code == int(reply[:3])
    assert caught.value.excerpt == reply[4:]
    assert type(caught.value) is expected
    assert server.messages == []


@pytest.mark.parametrize("step", VERBS)
async def test_a_connection_lost_before_the_message_is_tried_again_at_once(
    server: SmtpServer, step: str
) -> None:
    """Nothing of the mail had gone, so a quick second try costs nothing."""
    server.drop(step)
    async with _transport(server) as transport:
        await transport.send(_mail())
    assert len(server.messages) == 1
    assert server.connections == 2


@pytest.mark.parametrize("step", VERBS)
async def test_a_server_that_keeps_breaking_off_is_transient(server: SmtpServer, step: str) -> None:
    """Three tries make one attempt; the schedule does the rest."""
    server.drop(step, times=9)
    async with _transport(server) as transport:
        with pytest.raises(TransientDeliveryError, match="SMTP server"):
            await transport.send(_mail())
    assert server.connections == 3
    assert server.messages == []


async def test_a_refused_connection_is_transient() -> None:
    """Nobody listens: the error says where."""
    with SmtpServer() as gone:
        pass
    async with _transport(gone) as transport:
        with pytest.raises(TransientDeliveryError, match=f"port {gone.port}"):
            await transport.send(_mail())


async def test_a_reply_lost_after_the_message_is_an_unknown_outcome(server: SmtpServer) -> None:
    """The server had it all; only the worker may decide to send it again."""
    server.lose_reply()
    async with _transport(server) as transport:
        with pytest.raises(UnknownOutcome):
            await transport.send(_mail())
    assert len(server.messages) == 1
    assert server.connections == 1


async def test_a_connection_lost_at_the_end_of_the_message_is_an_unknown_outcome(
    server: SmtpServer,
) -> None:
    """It cannot be told from an accepted one."""
    server.drop("BODY")
    async with _transport(server) as transport:
        with pytest.raises(UnknownOutcome):
            await transport.send(_mail())


@pytest.mark.parametrize("step", [*VERBS, "BODY"])
async def test_a_server_that_hangs_costs_the_deadline_and_no_more(
    server: SmtpServer, step: str
) -> None:
    """One deadline for the whole attempt; after the message it is an unknown outcome."""
    server.hang(step)
    expected = UnknownOutcome if step == "BODY" else TransientDeliveryError
    async with _transport(server, deadline=timedelta(seconds=0.4)) as transport:
        started = time.monotonic()
        with pytest.raises(expected):
            await transport.send(_mail())
        assert time.monotonic() - started < 2
        await transport.send(_mail())
    assert len(server.messages) == 1


async def test_the_deadline_names_what_was_waited_for(server: SmtpServer) -> None:
    """Whoever reads the attempt knows where the server got stuck."""
    server.hang("RCPT")
    async with _transport(server, deadline=timedelta(seconds=0.3)) as transport:
        with pytest.raises(TransientDeliveryError, match="waiting for RCPT"):
            await transport.send(_mail())


async def test_waiting_for_a_session_counts(server: SmtpServer) -> None:
    """The one that waits ends at its own deadline, without having been sent."""
    server.hang("RCPT")
    async with _transport(server, connections=1, deadline=timedelta(seconds=0.4)) as transport:
        results = await asyncio.gather(
            transport.send(_mail()), transport.send(_mail()), return_exceptions=True
        )
    assert [type(each) for each in results] == [TransientDeliveryError] * 2
    assert server.messages == []


async def test_a_cancelled_send_frees_its_session(server: SmtpServer) -> None:
    """The worker stops a send; the only session is there for the next."""
    server.hang("RCPT")
    async with _transport(server, connections=1) as transport:
        sending = asyncio.create_task(transport.send(_mail()))
        while not server.verbs["RCPT"]:
            await asyncio.sleep(0.01)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        await transport.send(_mail())
    assert len(server.messages) == 1


async def test_a_mail_larger_than_the_server_takes_is_not_begun() -> None:
    """SIZE (RFC 1870) tells before a byte of it is sent."""
    with SmtpServer(size_limit=1000) as server:
        async with _transport(server) as transport:
            with pytest.raises(PermanentDeliveryError, match="takes 1000"):
                await transport.send(_mail(content=b"x" * 1001))
            await transport.send(_mail())
    assert server.verbs["MAIL"] == 1
    assert server.connections == 1


async def test_a_non_ascii_address_needs_smtputf8() -> None:
    """A server that knows it gets the address as it is; another refuses for good, and why."""
    mail = _mail(recipient="jörg@example.com", needs_smtputf8=True)
    with SmtpServer() as server:
        async with _transport(server) as transport:
            await transport.send(mail)
    assert server.messages[0].recipients == ("jörg@example.com",)
    with SmtpServer(smtputf8=False) as server:
        async with _transport(server) as transport:
            with pytest.raises(PermanentDeliveryError, match="SMTPUTF8"):
                await transport.send(mail)
    assert server.verbs["MAIL"] == 0


@pytest.mark.parametrize(
    "recipient",
    [
        "ana@example.com> SIZE=1\r\nRCPT TO:<eve@example.com",
        "ana@example.com\r\nRCPT TO:<eve@example.com>",
        "ana@example.com> NOTIFY=SUCCESS",
    ],
)
def test_an_address_cannot_smuggle_a_command(recipient: str) -> None:
    """There is no such mail to hand over, even where the checks on addresses were gone round."""
    with pytest.raises(InvalidInput):
        _mail(recipient=recipient)


async def test_the_server_writes_mails_for_people_to_look_at(tmp_path: Path) -> None:
    """One `.eml` per mail, and its page beside it."""
    content = b"MIME-Version: 1.0\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<p>Paid</p>\r\n"
    with SmtpServer(directory=tmp_path) as server:
        async with _transport(server) as transport:
            await transport.send(_mail(content=content))
        assert len(await asyncio.to_thread(server.wait_for, 1)) == 1
    assert (tmp_path / "0001-ana@example.com.eml").read_bytes() == content
    assert "<p>Paid</p>" in (tmp_path / "0001-ana@example.com.html").read_text(encoding="utf-8")
