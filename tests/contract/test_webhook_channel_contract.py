"""The webhook channel keeps the contract of `Channel`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from random import Random
from types import SimpleNamespace
from uuid import uuid4

import pytest

from claimnotify.channels.webhook import WebhookChannel, factory
from claimnotify.http import make_engine
from claimnotify.model.endpoints import Endpoint
from claimnotify.model.messages import WebhookMessage
from claimnotify.model.notifications import Delivery
from claimnotify.model.recipients import Recipient
from claimnotify.model.states import DeliveryStatus, Reason
from claimnotify.ports import Channel, ChannelContext, SigningEndpoint
from claimnotify.testing.channel_contract import ChannelContract
from claimnotify.testing.webhook_receiver import WebhookReceiver
from claimnotify.webhooks import generate_secret


class HostsClock:
    def now(self) -> datetime:
        return datetime.now(UTC)


class TestWebhookChannel(ChannelContract):
    @pytest.fixture
    def receiver(self) -> Iterator[WebhookReceiver]:
        with WebhookReceiver(generate_secret()) as receiver:
            yield receiver

    @pytest.fixture(params=["aiohttp", "httpx", "httpx-aiohttp"])
    def new_channel(
        self, request: pytest.FixtureRequest, receiver: WebhookReceiver
    ) -> Callable[[], WebhookChannel]:
        endpoint = Endpoint(
            id="e", tenant="default", owner="cus_7", url=receiver.url, created_at=HostsClock().now()
        )
        found = SigningEndpoint(endpoint, list(receiver.secrets))
        settings = SimpleNamespace(
            webhook_allow_networks=("127.0.0.0/8",),
            webhook_allow_http=True,
            webhook_allow_ports=(),
            attempt_deadline_seconds=timedelta(seconds=5).total_seconds(),
        )
        context = ChannelContext(
            settings=settings,
            http=partial(make_engine, kind=request.param),
            endpoints=SimpleNamespace(get=lambda tenant, endpoint_id: found),  # type: ignore[arg-type]
            random=Random(7),
            clock=HostsClock(),
        )
        return lambda: factory(context)

    @pytest.fixture
    def message(self) -> WebhookMessage:
        return WebhookMessage(body=b'{"type":"seat.upgraded"}')

    @pytest.fixture
    def delivery(self) -> Delivery:
        return Delivery(
            id=uuid4().hex,
            notification_id=uuid4().hex,
            tenant="default",
            channel="webhook",
            address="",
            endpoint_id="e",
            status=DeliveryStatus.SENDING,
            reason=Reason.LEASED,
            created_at=HostsClock().now(),
        )

    @pytest.fixture
    def break_transport(self, receiver: WebhookReceiver) -> Callable[[], None]:
        return lambda: receiver.respond(*[500] * 10)

    @pytest.fixture
    def secrets(self, receiver: WebhookReceiver) -> tuple[str, ...]:
        return tuple(secret.removeprefix("whsec_") for secret in receiver.secrets)

    def test_it_finds_the_addresses_of_who_can_be_reached(
        self, new_channel: Callable[[], Channel], reachable: Recipient
    ) -> None:
        """Endpoints are reached, not people: there are no addresses, for anyone."""
        assert list(new_channel().addresses(reachable)) == []
        assert getattr(new_channel(), "by_endpoint", False)
