"""The SMS channel through the real `twilio` client to a server that answers as Twilio does."""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest

from claimnotify.channels.sms import SmsChannel, factory
from claimnotify.errors import PermanentDeliveryError, TransientDeliveryError, UnknownOutcome
from claimnotify.http import make_engine
from claimnotify.model.messages import SmsMessage
from claimnotify.model.notifications import Delivery
from claimnotify.model.states import DeliveryStatus
from claimnotify.ports import ChannelContext
from claimnotify.settings import Settings
from claimnotify.testing.twilio_server import TwilioServer

TEXT = SmsMessage(text="Grüße & + = 100 % ✈")


class _HostClock:
    def now(self) -> datetime:
        return datetime.now(UTC)


class _NoEndpoints:
    def load(self, deliveries: object) -> None:
        raise AssertionError("not asked for")

    def get(self, tenant: str, endpoint_id: str) -> None:
        raise AssertionError("not asked for")


@asynccontextmanager
async def _channel(server: TwilioServer, **settings: Any) -> AsyncIterator[SmsChannel]:
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


def _to(number: str = "+4915112345678") -> Delivery:
    return Delivery(
        id="d" * 32,
        notification_id="a" * 32,
        tenant="default",
        channel="sms",
        address=number,
        status=DeliveryStatus.SENDING,
        reason="leased",
        created_at=datetime(2026, 3, 1, tzinfo=UTC),
    )


@pytest.fixture
def server() -> Iterator[TwilioServer]:
    with TwilioServer(unsubscribed=frozenset({"+4915100000000"})) as server:
        yield server


async def test_a_text_arrives_as_it_was_written(server: TwilioServer) -> None:
    """Form encoding keeps every character; the receipt has Twilio's id."""
    async with _channel(server) as channel:
        receipt = await channel.send(TEXT, _to())
    (text,) = server.wait_for(1)
    assert (text.body, text.to, text.sender) == (TEXT.text, "+4915112345678", server.from_number)
    assert receipt.provider_id == text.sid
    assert (receipt.status, receipt.status_code) == ("sent", 201)


async def test_a_messaging_service_can_be_the_sender() -> None:
    """`MG…` goes out as MessagingServiceSid, which lets Twilio choose the number."""
    service = "MG" + "0a" * 16
    with TwilioServer(from_number=service) as server:
        async with _channel(server) as channel:
            await channel.send(TEXT, _to())
        assert server.messages[0].sender == service


@pytest.mark.parametrize(
    ("number", "text", "code", "reason"),
    [
        ("12", "hello", 21211, "invalid_number"),
        ("+4915100000000", "hello", 21610, "unsubscribed"),
        ("+4915112345678", "x" * 1601, 21617, "rejected"),
    ],
)
async def test_a_refused_text_is_permanent(
    server: TwilioServer, number: str, text: str, code: int, reason: str
) -> None:
    """The excerpt begins with Twilio's code."""
    async with _channel(server) as channel:
        with pytest.raises(PermanentDeliveryError) as caught:
            await channel.send(SmsMessage(text=text), _to(number))
    assert caught.value.excerpt.startswith(f"{code}: ")
    assert (caught.value.status_code, caught.value.reason) == (400, reason)
    assert server.messages == []


async def test_a_busy_twilio_is_transient_and_says_when(server: TwilioServer) -> None:
    """Retry-After is passed on; the next attempt gets through."""
    server.fail(429, code=20429, retry_after="7")
    async with _channel(server) as channel:
        with pytest.raises(TransientDeliveryError) as caught:
            await channel.send(TEXT, _to())
        assert caught.value.retry_after == timedelta(seconds=7)
        await channel.send(TEXT, _to())
    assert len(server.messages) == 1


async def test_a_wrong_token_burns_no_text_and_shows_nowhere(
    server: TwilioServer, caplog: pytest.LogCaptureFixture
) -> None:
    """A fault of the settings is transient, says which ones; neither token nor text is logged."""
    caplog.set_level(logging.DEBUG)
    async with _channel(server, twilio_auth_token="wr0ng-t0ken") as channel:
        with pytest.raises(TransientDeliveryError, match="TWILIO_AUTH_TOKEN") as caught:
            await channel.send(TEXT, _to())
    assert caught.value.status_code == 401
    assert caught.value.__context__ is None
    told = "".join(traceback.format_exception(caught.value)) + caught.value.excerpt + caplog.text
    assert "wr0ng-t0ken" not in told
    assert "Grüße" not in told


async def test_a_lost_answer_is_an_unknown_outcome(server: TwilioServer) -> None:
    """Twilio has the text and knows no key by which to ask: it is sent once, not thrice."""
    server.lose_reply()
    async with _channel(server) as channel:
        with pytest.raises(UnknownOutcome):
            await channel.send(TEXT, _to())
    assert len(server.messages) == 1
    assert server.requests == 1


async def test_a_twilio_that_hangs_costs_the_deadline(server: TwilioServer) -> None:
    """The request was out, so the outcome is unknown."""
    server.hang()
    async with _channel(server, attempt_deadline_seconds=0.4) as channel:
        started = time.monotonic()
        with pytest.raises(UnknownOutcome):
            await channel.send(TEXT, _to())
        assert time.monotonic() - started < 2


async def test_a_twilio_that_is_not_there_is_transient() -> None:
    """Nothing was sent, so it may be tried again."""
    with TwilioServer() as gone:
        url = gone.url
        settings = {**gone.settings, "twilio_api_url": url}
    with TwilioServer() as server:
        async with _channel(server, **settings) as channel:
            with pytest.raises(TransientDeliveryError, match="could not be reached"):
                await channel.send(TEXT, _to())
    assert server.requests == 0
