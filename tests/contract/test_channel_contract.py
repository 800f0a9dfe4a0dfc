"""Our own channels keep the channel's contract, each over the real thing on loopback."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from random import Random
from typing import Any

import pytest

from claimnotify.channels import email, in_app, sms, webhook
from claimnotify.http import make_engine
from claimnotify.model.endpoints import Endpoint
from claimnotify.model.messages import (
    EmailMessage,
    InAppMessage,
    Message,
    SmsMessage,
    WebhookMessage,
)
from claimnotify.model.recipients import Recipient
from claimnotify.ports import Channel, ChannelContext, EndpointDirectory, SigningEndpoint
from claimnotify.settings import Settings
from claimnotify.testing.channel_contract import ChannelContract
from claimnotify.testing.smtp_server import SmtpServer
from claimnotify.testing.twilio_server import TwilioServer
from claimnotify.testing.webhook_receiver import WebhookReceiver

_SECRET = "whsec_" + base64.b64encode(b"s" * 32).decode()


class _HostClock:
    def now(self) -> datetime:
        return datetime.now(UTC)


class _NoEndpoints:
    def load(self, deliveries: object) -> None:
        raise AssertionError("not asked for")

    def get(self, tenant: str, endpoint_id: str) -> None:
        raise AssertionError("not asked for")


class _OneEndpoint:
    """Whatever is asked for, it is the endpoint at `url`."""

    def __init__(self, url: str) -> None:
        self._url = url

    def load(self, deliveries: object) -> None:
        pass

    def get(self, tenant: str, endpoint_id: str) -> SigningEndpoint:
        endpoint = Endpoint(
            id=endpoint_id,
            tenant=tenant,
            owner="cus_7",
            url=self._url,
            created_at=datetime(2026, 3, 1, tzinfo=UTC),
        )
        return SigningEndpoint(endpoint, (_SECRET,))


def context(endpoints: EndpointDirectory | None = None, **settings: Any) -> ChannelContext:
    return ChannelContext(
        settings=Settings.load(**settings),
        http=make_engine,
        endpoints=endpoints or _NoEndpoints(),
        random=Random(7),
        clock=_HostClock(),
    )


class TestEmail(ChannelContract):
    @pytest.fixture
    def server(self) -> Iterator[SmtpServer]:
        with SmtpServer(security="starttls", username="claims", password="p4ss-w0rd") as server:
            yield server

    @pytest.fixture
    def new_channel(self, server: SmtpServer) -> Callable[[], Channel]:
        return lambda: email.factory(context(**server.settings))

    @pytest.fixture
    def message(self) -> Message:
        return EmailMessage(subject="Seat 12A", text="Yours.", html="<p>Yours.</p>")

    @pytest.fixture
    def break_transport(self, server: SmtpServer) -> Callable[[], None]:
        return lambda: server.fail("AUTH", "535 5.7.8 no: p4ss-w0rd is wrong", times=9)

    @pytest.fixture
    def secrets(self) -> tuple[str, ...]:
        return ("p4ss-w0rd", "cDRzcy13MHJk")


class TestSms(ChannelContract):
    @pytest.fixture
    def server(self) -> Iterator[TwilioServer]:
        with TwilioServer() as server:
            yield server

    @pytest.fixture
    def new_channel(self, server: TwilioServer) -> Callable[[], Channel]:
        return lambda: sms.factory(context(**server.settings))

    @pytest.fixture
    def message(self) -> Message:
        return SmsMessage(text="Seat 12A is yours.")

    @pytest.fixture
    def break_transport(self, server: TwilioServer) -> Callable[[], None]:
        return lambda: server.fail(503)

    @pytest.fixture
    def secrets(self, server: TwilioServer) -> tuple[str, ...]:
        return (server.auth_token,)


class TestInApp(ChannelContract):
    @pytest.fixture
    def new_channel(self) -> Callable[[], Channel]:
        return lambda: in_app.factory(context())

    @pytest.fixture
    def message(self) -> Message:
        return InAppMessage(title="Seat 12A", body="Yours.")

    @pytest.fixture
    def unreachable(self) -> Recipient | None:
        return None


class TestWebhook(ChannelContract):
    @pytest.fixture
    def receiver(self) -> Iterator[WebhookReceiver]:
        with WebhookReceiver(_SECRET) as receiver:
            yield receiver

    @pytest.fixture
    def new_channel(self, receiver: WebhookReceiver) -> Callable[[], Channel]:
        loopback = {"webhook_allow_networks": "127.0.0.0/8", "webhook_allow_http": True}
        return lambda: webhook.factory(context(_OneEndpoint(receiver.url), **loopback))

    @pytest.fixture
    def address(self, receiver: WebhookReceiver) -> str:
        return receiver.url

    @pytest.fixture
    def message(self) -> Message:
        return WebhookMessage(body=b'{"seat":"12A"}')

    @pytest.fixture
    def break_transport(self, receiver: WebhookReceiver) -> Callable[[], None]:
        return lambda: receiver.respond(503)

    @pytest.fixture
    def secrets(self) -> tuple[str, ...]:
        return (_SECRET,)
