"""What every channel must do: subclass `ChannelContract` to test a channel of your own."""

from __future__ import annotations

import asyncio
import re
import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from claimnotify.errors import DeliveryError, PermanentDeliveryError
from claimnotify.model.messages import InAppMessage, Message, SmsMessage
from claimnotify.model.notifications import Delivery, Receipt
from claimnotify.model.recipients import Recipient
from claimnotify.model.states import DeliveryStatus, Reason
from claimnotify.ports import Channel

__all__ = ["ChannelContract"]

_AT_ONCE = 20


class ChannelContract:
    """Tests of a `claimnotify.ports.Channel`, for pytest.

    A subclass overrides the fixtures `new_channel` and `message`, and the others where the channel
    needs it. The tests are not coroutines: each runs a loop of its own, as a worker does.
    """

    @pytest.fixture
    def new_channel(self) -> Callable[[], Channel]:
        """Override: return a function that makes a channel that is ready and whose sends succeed."""
        raise NotImplementedError("override the fixture new_channel")

    @pytest.fixture
    def message(self) -> Message:
        """Override: return a message the channel carries."""
        raise NotImplementedError("override the fixture message")

    @pytest.fixture
    def reachable(self) -> Recipient:
        """A recipient the channel can reach."""
        return Recipient(id="cus_7", email="ana@example.com", phone="+4915112345678", name="Ana")

    @pytest.fixture
    def unreachable(self) -> Recipient | None:
        """A recipient it cannot reach, or None if there are none."""
        return Recipient(id="cus_8")

    @pytest.fixture
    def break_transport(self) -> Callable[[], None] | None:
        """Override: return a function after which sends fail, or None if they cannot."""
        return None

    @pytest.fixture
    def secrets(self) -> tuple[str, ...]:
        """Override: what must never show in a text."""
        return ()

    @pytest.fixture
    def address(self, new_channel: Callable[[], Channel], reachable: Recipient) -> str:
        """Where to send: the reachable recipient's first address. Override it for endpoints."""
        return new_channel().addresses(reachable)[0]

    @pytest.fixture
    def delivery(
        self, new_channel: Callable[[], Channel], reachable: Recipient, address: str
    ) -> Delivery:
        """A delivery to that address."""
        channel = new_channel()
        return Delivery(
            id=uuid4().hex,
            notification_id=uuid4().hex,
            tenant="default",
            channel=channel.name,
            address=address,
            endpoint_id=uuid4().hex if getattr(channel, "by_endpoint", False) else None,
            status=DeliveryStatus.SENDING,
            reason=Reason.LEASED,
            attempts=1,
            created_at=datetime(2026, 3, 1, 9, 30, tzinfo=UTC),
            event_type="seat.upgraded",
            recipient=reachable,
        )

    def test_its_name_can_be_written_in_an_events_channels(
        self, new_channel: Callable[[], Channel]
    ) -> None:
        """The name is lower-case words joined by underscores."""
        assert re.fullmatch(r"[a-z][a-z0-9_]*", new_channel().name)

    def test_it_tells_whether_it_is_ready_and_how_long_a_send_may_take(
        self, new_channel: Callable[[], Channel]
    ) -> None:
        """A configured channel is ready, its deadline is positive, `on_unknown` is a known word."""
        channel = new_channel()
        assert channel.ready is True
        assert isinstance(channel.attempt_deadline, timedelta)
        assert channel.attempt_deadline > timedelta(0)
        assert getattr(channel, "on_unknown", "retry") in ("retry", "fail")

    def test_it_finds_the_addresses_of_who_can_be_reached(
        self, new_channel: Callable[[], Channel], reachable: Recipient
    ) -> None:
        """Addresses are distinct, not empty, and the same when asked again.

        A channel that sends to registered endpoints (`by_endpoint`) has none of its own.
        """
        channel = new_channel()
        addresses = channel.addresses(reachable)
        assert bool(addresses) is not getattr(channel, "by_endpoint", False)
        assert not isinstance(addresses, str)
        assert all(isinstance(each, str) and each for each in addresses)
        assert len(set(addresses)) == len(addresses)
        assert list(channel.addresses(reachable)) == list(addresses)

    def test_it_finds_none_of_who_cannot(
        self, new_channel: Callable[[], Channel], unreachable: Recipient | None
    ) -> None:
        """No address is an empty sequence, not an error."""
        if unreachable is None:
            pytest.skip("this channel reaches everyone")
        assert list(new_channel().addresses(unreachable)) == []

    def test_a_send_returns_a_receipt(
        self, new_channel: Callable[[], Channel], message: Message, delivery: Delivery
    ) -> None:
        """The receipt says sent or delivered, with texts and a code where there was one."""
        receipt = asyncio.run(_sent(new_channel(), message, delivery))
        assert isinstance(receipt, Receipt)
        assert receipt.status in (DeliveryStatus.SENT, DeliveryStatus.DELIVERED)
        assert isinstance(receipt.provider_id, str)
        assert isinstance(receipt.excerpt, str)
        assert receipt.status_code is None or isinstance(receipt.status_code, int)

    def test_the_same_delivery_can_be_sent_again(
        self, new_channel: Callable[[], Channel], message: Message, delivery: Delivery
    ) -> None:
        """A worker that died after a send is followed by one that sends again."""

        async def twice() -> None:
            channel = new_channel()
            await channel.open()
            await channel.send(message, delivery)
            await channel.send(message, replace(delivery, attempts=2))
            await channel.aclose()

        asyncio.run(twice())

    def test_many_can_be_under_way_at_once(
        self, new_channel: Callable[[], Channel], message: Message, delivery: Delivery
    ) -> None:
        """Sends share the channel without waiting for one another to be called."""

        async def many() -> list[Receipt]:
            channel = new_channel()
            await channel.open()
            each = [replace(delivery, id=uuid4().hex) for _ in range(_AT_ONCE)]
            receipts = await asyncio.gather(*(channel.send(message, one) for one in each))
            await channel.aclose()
            return receipts

        assert len(asyncio.run(many())) == _AT_ONCE

    def test_a_message_of_another_channel_is_refused_for_good(
        self, new_channel: Callable[[], Channel], message: Message, delivery: Delivery
    ) -> None:
        """What it cannot carry is a PermanentDeliveryError, not a crash."""
        foreign: Message = SmsMessage(text="hello")
        if isinstance(message, SmsMessage):
            foreign = InAppMessage(title="hello", body="there")
        with pytest.raises(PermanentDeliveryError):
            asyncio.run(_sent(new_channel(), foreign, delivery))

    def test_a_failing_transport_gives_a_delivery_error_in_time(
        self,
        new_channel: Callable[[], Channel],
        message: Message,
        delivery: Delivery,
        break_transport: Callable[[], None] | None,
        secrets: tuple[str, ...],
    ) -> None:
        """Only DeliveryErrors leave a send, within the deadline, and none tells a secret."""
        if break_transport is None:
            pytest.skip("the transport of this channel cannot fail")
        break_transport()
        channel = new_channel()
        started = time.monotonic()
        with pytest.raises(DeliveryError) as caught:
            asyncio.run(_sent(channel, message, delivery))
        assert time.monotonic() - started < channel.attempt_deadline.total_seconds() + 1
        assert str(caught.value)
        told = "".join(traceback.format_exception(caught.value)) + caught.value.excerpt
        assert not [secret for secret in secrets if secret in told]

    def test_a_send_that_is_cancelled_leaves_the_channel_usable(
        self, new_channel: Callable[[], Channel], message: Message, delivery: Delivery
    ) -> None:
        """A worker stops a send at its deadline and goes on with the next."""

        async def cancelled() -> Receipt:
            channel = new_channel()
            await channel.open()
            under_way = asyncio.ensure_future(channel.send(message, delivery))
            await asyncio.sleep(0)
            under_way.cancel()
            await asyncio.gather(under_way, return_exceptions=True)
            receipt = await channel.send(message, delivery)
            await channel.aclose()
            return receipt

        assert isinstance(asyncio.run(cancelled()), Receipt)

    def test_opening_and_closing_twice_is_harmless(
        self, new_channel: Callable[[], Channel]
    ) -> None:
        """So is closing what was never opened."""

        async def often() -> None:
            await new_channel().aclose()
            channel = new_channel()
            await channel.open()
            await channel.open()
            await channel.aclose()
            await channel.aclose()

        asyncio.run(often())

    def test_it_does_not_show_its_secrets(
        self, new_channel: Callable[[], Channel], secrets: tuple[str, ...]
    ) -> None:
        """A repr ends up in logs."""
        channel = new_channel()
        shown = f"{channel!r} {getattr(channel, '__dict__', '')!r}"
        assert not [secret for secret in secrets if secret in shown]


async def _sent(channel: Channel, message: Message, delivery: Delivery) -> Receipt:
    await channel.open()
    try:
        return await channel.send(message, delivery)
    finally:
        await channel.aclose()
