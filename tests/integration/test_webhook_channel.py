"""The webhook channel against a real receiver: what it sends, and what it makes of each answer."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import partial
from random import Random
from types import SimpleNamespace
from typing import Any, TypeAlias

import pytest
import standardwebhooks
import svix.webhooks

from claimnotify.channels.webhook import WebhookChannel, factory
from claimnotify.errors import (
    DeliverySkipped,
    NotFound,
    PermanentDeliveryError,
    TransientDeliveryError,
)
from claimnotify.http import make_engine
from claimnotify.http.httpx_engine import HttpxEngine
from claimnotify.http.resolving import NoPlace
from claimnotify.model.endpoints import Endpoint
from claimnotify.model.messages import WebhookMessage
from claimnotify.model.notifications import Delivery
from claimnotify.model.states import DeliveryStatus, Reason
from claimnotify.ports import ChannelContext, HttpEngine, SigningEndpoint
from claimnotify.testing.raw_server import RawServer, answering
from claimnotify.testing.webhook_receiver import WebhookReceiver
from claimnotify.webhooks import generate_secret
from tests.ports import free_port

Http: TypeAlias = Callable[[Any], HttpEngine]
BODY = b'{"type":"seat.upgraded","data":{"seat":"12A"}}'
MESSAGE = WebhookMessage(body=BODY)
DELIVERY = Delivery(
    id="d1",
    notification_id="0198c0ffee",
    tenant="default",
    channel="webhook",
    address="",
    endpoint_id="e1",
    status=DeliveryStatus.SENDING,
    reason="leased",
    created_at=datetime(2026, 3, 1, tzinfo=UTC),
)


class HostsClock:
    def now(self) -> datetime:
        return datetime.now(UTC)


class OneEndpoint:
    """A directory with one endpoint, or none."""

    def __init__(self) -> None:
        self.found: SigningEndpoint | None = None
        self.loaded = True

    def point_to(self, url: str, *secrets: str, enabled: bool = True) -> None:
        endpoint = Endpoint(
            id="e1",
            tenant="default",
            owner="o",
            url=url,
            enabled=enabled,
            created_at=HostsClock().now(),
        )
        self.found = SigningEndpoint(endpoint, secrets)

    def load(self, deliveries: object) -> None: ...

    def get(self, tenant: str, endpoint_id: str) -> SigningEndpoint | None:
        assert (tenant, endpoint_id) == ("default", "e1")
        if not self.loaded:
            raise NotFound("endpoint", "it was not loaded")
        return self.found


@pytest.fixture
def directory() -> OneEndpoint:
    return OneEndpoint()


@pytest.fixture
def receiver(directory: OneEndpoint) -> Iterator[WebhookReceiver]:
    secret = generate_secret()
    with WebhookReceiver(secret) as receiver:
        directory.point_to(receiver.url, secret)
        yield receiver


@pytest.fixture(params=["aiohttp", "httpx", "httpx-aiohttp"])
def http(request: pytest.FixtureRequest) -> Http:
    """Makes every engine in turn."""
    return partial(make_engine, kind=request.param)


def new_channel(directory: OneEndpoint, http: Http, **settings: Any) -> WebhookChannel:
    defaults = {
        "webhook_allow_networks": ("127.0.0.0/8",),
        "webhook_allow_http": True,
        "webhook_allow_ports": (),
        "attempt_deadline_seconds": 5.0,
    }
    context = ChannelContext(
        settings=SimpleNamespace(**{**defaults, **settings}),
        http=http,
        endpoints=directory,
        random=Random(7),
        clock=HostsClock(),
    )
    return factory(context)


@pytest.fixture
async def channel(directory: OneEndpoint, http: Http) -> AsyncIterator[WebhookChannel]:
    channel = new_channel(directory, http)
    await channel.open()
    yield channel
    await channel.aclose()


async def test_a_2xx_is_a_delivery_and_the_receiver_can_verify_it(
    channel: WebhookChannel, receiver: WebhookReceiver
) -> None:
    receipt = await channel.send(MESSAGE, DELIVERY)
    assert (receipt.status, receipt.status_code, receipt.excerpt) == ("delivered", 200, "OK")
    (received,) = receiver.wait_for(1)
    assert received.verified
    assert (received.id, received.type, received.body) == ("0198c0ffee", "seat.upgraded", BODY)
    assert received.headers["content-type"] == "application/json"
    assert received.headers["user-agent"].startswith("claimnotify/")
    assert "cookie" not in received.headers


async def test_the_published_packages_accept_what_arrives(
    channel: WebhookChannel, receiver: WebhookReceiver
) -> None:
    await channel.send(MESSAGE, DELIVERY)
    (received,) = receiver.wait_for(1)
    (secret,) = receiver.secrets
    standardwebhooks.Webhook(secret).verify(received.body, dict(received.headers))
    svix.webhooks.Webhook(secret).verify(received.body, dict(received.headers))


async def test_during_a_rotation_every_live_secret_signs(
    channel: WebhookChannel, receiver: WebhookReceiver, directory: OneEndpoint
) -> None:
    secrets = [generate_secret() for _ in range(3)]
    directory.point_to(receiver.url, *secrets)
    await channel.send(MESSAGE, DELIVERY)
    (received,) = receiver.wait_for(1)
    assert received.headers["webhook-signature"].count("v1,") == 3
    for secret in secrets:
        standardwebhooks.Webhook(secret).verify(received.body, dict(received.headers))


@pytest.mark.parametrize("status", [201, 202, 204, 299])
async def test_every_2xx_counts(
    status: int, channel: WebhookChannel, receiver: WebhookReceiver
) -> None:
    receiver.respond(status)
    assert (await channel.send(MESSAGE, DELIVERY)).status_code == status


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422, 429, 500, 502, 503, 504, 599])
async def test_other_statuses_are_tried_again_with_the_same_id_and_body(
    status: int, channel: WebhookChannel, receiver: WebhookReceiver
) -> None:
    receiver.respond(status)
    with pytest.raises(TransientDeliveryError) as caught:
        await channel.send(MESSAGE, DELIVERY)
    assert caught.value.status_code == status
    await channel.send(MESSAGE, DELIVERY)
    first, second = receiver.wait_for(2)
    assert (first.id, first.body) == (second.id, second.body)
    assert second.verified


async def test_410_is_the_end_and_says_that_the_endpoint_is_gone(
    channel: WebhookChannel, receiver: WebhookReceiver
) -> None:
    receiver.respond(410)
    with pytest.raises(PermanentDeliveryError) as caught:
        await channel.send(MESSAGE, DELIVERY)
    assert (caught.value.reason, caught.value.status_code) == (Reason.ENDPOINT_GONE, 410)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_the_end_and_its_target_is_never_visited(
    status: int, channel: WebhookChannel, receiver: WebhookReceiver, directory: OneEndpoint
) -> None:
    redirect = f"HTTP/1.1 {status} Go\r\nLocation: {receiver.url}\r\nContent-Length: 0\r\n\r\n"
    async with RawServer(answering(redirect.encode())) as server:
        directory.point_to(f"http://127.0.0.1:{server.port}/", *receiver.secrets)
        with pytest.raises(PermanentDeliveryError) as caught:
            await channel.send(MESSAGE, DELIVERY)
    assert (caught.value.reason, caught.value.status_code) == ("redirect", status)
    assert receiver.received == []


@pytest.mark.parametrize(
    ("status", "header", "expected"),
    [
        (429, "120", 120),
        (503, " 0 ", 0),
        (502, "7", 7),
        (504, "7", 7),
        (503, "999999999999", 86_400),
        (500, "120", 120),
        (404, "120", 120),
        (429, "7200, 3", 7200),  # the header twice
        (503, "soon", None),
        (503, "-5", None),
        (503, "1.5", None),
        (503, "", None),
        (503, "Sun, 06 Nov 1994 08:49:37 GMT", 0),
        pytest.param(
            503, format_datetime(datetime.now(UTC) + timedelta(days=9)), 86_400, id="in nine days"
        ),
        (503, "Fri, 32 Foo 99999 99:99:99 GMT", None),
    ],
)
async def test_retry_after_is_understood(
    status: int, header: str, expected: int | None, channel: WebhookChannel, directory: OneEndpoint
) -> None:
    response = f"HTTP/1.1 {status} No\r\nRetry-After: {header}\r\nContent-Length: 0\r\n\r\n"
    async with RawServer(answering(response.encode())) as server:
        directory.point_to(f"http://127.0.0.1:{server.port}/", generate_secret())
        with pytest.raises(TransientDeliveryError) as caught:
            await channel.send(MESSAGE, DELIVERY)
    assert caught.value.retry_after == (None if expected is None else timedelta(seconds=expected))


async def test_a_retry_after_date_is_counted_from_now(
    channel: WebhookChannel, directory: OneEndpoint
) -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
    response = f"HTTP/1.1 503 No\r\nRetry-After: {date}\r\nContent-Length: 0\r\n\r\n"
    async with RawServer(answering(response.encode())) as server:
        directory.point_to(f"http://127.0.0.1:{server.port}/", generate_secret())
        with pytest.raises(TransientDeliveryError) as caught:
            await channel.send(MESSAGE, DELIVERY)
    assert caught.value.retry_after is not None
    assert timedelta(seconds=90) < caught.value.retry_after <= timedelta(seconds=100)


async def test_the_excerpt_is_short_and_fit_for_any_database(
    channel: WebhookChannel, directory: OneEndpoint
) -> None:
    body = b"a\x00b\r\n\x1b[31m\xff" + "é".encode() * 600
    response = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
    async with RawServer(answering(response)) as server:
        directory.point_to(f"http://127.0.0.1:{server.port}/", generate_secret())
        receipt = await channel.send(MESSAGE, DELIVERY)
    assert len(receipt.excerpt) == 512
    assert receipt.excerpt.startswith("a b   [31m\ufffdéé")


async def test_a_missing_or_disabled_endpoint_is_skipped(
    channel: WebhookChannel, directory: OneEndpoint, receiver: WebhookReceiver
) -> None:
    directory.found = None
    with pytest.raises(DeliverySkipped) as caught:
        await channel.send(MESSAGE, DELIVERY)
    assert caught.value.reason == Reason.ENDPOINT_DISABLED
    directory.point_to(receiver.url, *receiver.secrets, enabled=False)
    with pytest.raises(DeliverySkipped):
        await channel.send(MESSAGE, DELIVERY)
    assert receiver.received == []


async def test_nothing_is_sent_unsigned_or_to_an_endpoint_not_looked_up(
    channel: WebhookChannel, directory: OneEndpoint, receiver: WebhookReceiver
) -> None:
    directory.point_to(receiver.url)
    with pytest.raises(TransientDeliveryError, match="SECRET_KEYS"):
        await channel.send(MESSAGE, DELIVERY)
    directory.loaded = False
    with pytest.raises(TransientDeliveryError):
        await channel.send(MESSAGE, DELIVERY)
    assert receiver.received == []


async def test_a_forbidden_destination_is_the_end(
    receiver: WebhookReceiver, directory: OneEndpoint, http: Http
) -> None:
    channel = new_channel(directory, http, webhook_allow_networks=())
    with pytest.raises(PermanentDeliveryError) as caught:
        await channel.send(MESSAGE, DELIVERY)
    assert caught.value.reason == Reason.FORBIDDEN_DESTINATION
    assert receiver.received == []
    await channel.aclose()


async def test_a_refused_connection_gets_quick_tries_within_one_attempt(
    directory: OneEndpoint, channel: WebhookChannel
) -> None:
    port = free_port()
    directory.point_to(f"http://127.0.0.1:{port}/", generate_secret())
    sending = asyncio.create_task(channel.send(MESSAGE, DELIVERY))
    await asyncio.sleep(0)  # the first try is under way, and will be refused
    while not sending.done():
        try:
            server = RawServer(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
            server.port = port
            async with server:
                assert (await sending).status_code == 200
        except OSError:
            continue


async def test_a_connection_that_stays_refused_is_transient(
    directory: OneEndpoint, channel: WebhookChannel
) -> None:
    with closing(socket.socket()) as reserved:
        reserved.bind(("127.0.0.1", 0))
        directory.point_to(f"http://127.0.0.1:{reserved.getsockname()[1]}/", generate_secret())
        with pytest.raises(TransientDeliveryError, match="ConnectFailed"):
            await channel.send(MESSAGE, DELIVERY)


async def test_a_peer_that_breaks_off_or_never_answers_is_transient(
    directory: OneEndpoint, http: Http
) -> None:
    async def hangs_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")

    async def stays_silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    peers: list[tuple[Callable[..., Any], str]] = [
        (hangs_up, "ResponseBroken"),
        (stays_silent, "DeadlineExceeded"),
    ]
    for peer, name in peers:
        channel = new_channel(directory, http, attempt_deadline_seconds=0.3)
        async with RawServer(peer) as server:
            directory.point_to(f"http://127.0.0.1:{server.port}/", generate_secret())
            with pytest.raises(TransientDeliveryError, match=name):
                await channel.send(MESSAGE, DELIVERY)
        await channel.aclose()


async def test_what_went_wrong_is_said_without_the_urls_secrets(
    directory: OneEndpoint, channel: WebhookChannel, receiver: WebhookReceiver
) -> None:
    receiver.respond(500)
    directory.point_to(f"{receiver.url}?token=hunter2", *receiver.secrets)
    with pytest.raises(TransientDeliveryError) as caught:
        await channel.send(MESSAGE, DELIVERY)
    assert "hunter2" not in str(caught.value)


async def test_a_name_that_nobody_had_time_to_look_up_is_no_fault_of_its_endpoint(
    directory: OneEndpoint,
) -> None:
    """Other customers' silent DNS servers must not get it disabled."""

    async def busy(host: str, port: int) -> list[str]:
        raise NoPlace("too many look-ups are under way")

    async def unknown(host: str, port: int) -> list[str]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    directory.point_to("https://hooks.customer.net/", generate_secret())
    for resolver, ours in ((busy, True), (unknown, False)):
        channel = new_channel(directory, partial(HttpxEngine, resolver=resolver))
        with pytest.raises(TransientDeliveryError) as caught:
            await channel.send(MESSAGE, DELIVERY)
        assert caught.value.our_fault is ours
        await channel.aclose()
