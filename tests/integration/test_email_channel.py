"""The e-mail channel from its settings to a real server: what a recipient's program reads."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from random import Random
from typing import Any

import pytest

from claimnotify.channels.email import EmailChannel, factory
from claimnotify.errors import PermanentDeliveryError, UnknownOutcome
from claimnotify.http import make_engine
from claimnotify.model.messages import Attachment, EmailMessage
from claimnotify.model.notifications import Delivery
from claimnotify.model.recipients import Recipient
from claimnotify.model.states import DeliveryStatus
from claimnotify.ports import ChannelContext
from claimnotify.settings import Settings
from claimnotify.testing.smtp_server import SmtpServer

MESSAGE = EmailMessage(
    subject="Ihr Anspruch über 250 € ist bewilligt ✈",
    text="Guten Tag, Jürgen.\n.\nFrom here on: 250 €\n",
    html="<p>Guten Tag, Jürgen.</p>",
    headers={"List-Unsubscribe": "<https://claims.example/u/1>"},
)


class _HostClock:
    def now(self) -> datetime:
        return datetime.now(UTC)


class _NoEndpoints:
    def load(self, deliveries: object) -> None:
        raise AssertionError("not asked for")

    def get(self, tenant: str, endpoint_id: str) -> None:
        raise AssertionError("not asked for")


@asynccontextmanager
async def _channel(server: SmtpServer, **settings: Any) -> AsyncIterator[EmailChannel]:
    channel = factory(
        ChannelContext(
            settings=Settings.load(**{**server.settings, **settings}),
            http=make_engine,
            endpoints=_NoEndpoints(),
            random=Random(7),
            clock=_HostClock(),
        )
    )
    await channel.open()
    try:
        yield channel
    finally:
        await channel.aclose()


def _to(address: str = "juergen@example.com", **values: Any) -> Delivery:
    return Delivery(
        **{
            "id": "d" * 32,
            "notification_id": "a" * 32,
            "tenant": "default",
            "channel": "email",
            "address": address,
            "status": DeliveryStatus.SENDING,
            "reason": "leased",
            "created_at": datetime(2026, 3, 1, 9, 30, tzinfo=UTC),
            "recipient": Recipient(id="1", email=address, name="Jürgen Groß"),
            **values,
        }
    )


@pytest.fixture
def server() -> Iterator[SmtpServer]:
    with SmtpServer(security="starttls", username="claims", password="s3cret") as server:
        yield server


async def test_a_mail_is_read_as_it_was_written(server: SmtpServer) -> None:
    """Names, subject and bodies outside ASCII, over verified TLS, from the settings alone."""
    async with _channel(server, smtp_from_name="Flüge & Rechte") as channel:
        receipt = await channel.send(MESSAGE, _to())
    (mail,) = server.wait_for(1)
    read = mail.message
    assert mail.encrypted
    assert mail.login == "claims"
    assert read["From"].addresses[0].display_name == "Flüge & Rechte"
    assert read["To"].addresses[0].display_name == "Jürgen Groß"
    assert read["Subject"] == MESSAGE.subject
    assert read["List-Unsubscribe"] == "<https://claims.example/u/1>"
    assert receipt.provider_id == read["Message-ID"]
    plain, page = read.get_body(("plain",)), read.get_body(("html",))
    assert plain is not None
    assert page is not None
    assert plain.get_content().replace("\r\n", "\n") == MESSAGE.text
    assert page.get_content().strip() == MESSAGE.html


async def test_a_repeat_after_a_lost_reply_is_the_same_mail(server: SmtpServer) -> None:
    """The recipient's program sees one Message-ID and the same bytes twice."""
    server.lose_reply()
    async with _channel(server) as channel:
        with pytest.raises(UnknownOutcome):
            await channel.send(MESSAGE, _to(attempts=1))
        await channel.send(MESSAGE, _to(attempts=2))
    first, second = server.messages
    assert first.raw == second.raw


async def test_large_attachments_arrive_whole(server: SmtpServer) -> None:
    """A megabyte of any bytes."""
    file = Attachment(filename="beleg.bin", content=bytes(range(256)) * 4096)
    async with _channel(server) as channel:
        await channel.send(MESSAGE, _to(attachments=[file]))
    (part,) = server.messages[0].message.iter_attachments()
    assert part.get_content() == file.content


async def test_a_domain_outside_ascii_reaches_any_server() -> None:
    """It travels in the form of DNS, so SMTPUTF8 is not asked for."""
    with SmtpServer(smtputf8=False) as server:
        async with _channel(server) as channel:
            await channel.send(MESSAGE, _to("juergen@straße.example"))
            with pytest.raises(PermanentDeliveryError, match="SMTPUTF8"):
                await channel.send(MESSAGE, _to("jürgen@example.com"))
    assert server.messages[0].recipients == ("juergen@xn--strae-oqa.example",)
    assert len(server.messages) == 1


async def test_a_local_part_outside_ascii_reaches_a_server_that_takes_it(
    server: SmtpServer,
) -> None:
    """RFC 6531, envelope and header alike."""
    async with _channel(server) as channel:
        await channel.send(MESSAGE, _to("jürgen@example.com"))
    assert server.messages[0].recipients == ("jürgen@example.com",)
    assert "jürgen@example.com" in server.messages[0].raw.decode()


async def test_two_addresses_of_one_notification_get_two_mails(server: SmtpServer) -> None:
    """Their Message-IDs differ, or a shared mailbox would drop one."""
    async with _channel(server) as channel:
        await channel.send(MESSAGE, _to("a@example.com"))
        await channel.send(MESSAGE, _to("b@example.com"))
    first, second = (each.message["Message-ID"] for each in server.messages)
    assert first != second


async def test_an_injected_subject_adds_no_header(server: SmtpServer) -> None:
    """What a customer typed into a form ends up on one line."""
    message = EmailMessage(subject="Hi\r\nBcc: eve@example.com\r\n\r\nbody", text="t")
    async with _channel(server) as channel:
        await channel.send(message, _to())
    (mail,) = server.messages
    assert "Bcc" not in mail.message
    assert mail.message["Subject"] == "Hi Bcc: eve@example.com body"
    assert mail.recipients == ("juergen@example.com",)
