"""Prints what a request costs over each HTTP engine, as a ratio to the bare loop over the same client.

Run with `python benchmarks/http_engines.py [ROUNDS]`; seven rounds take about half a minute. Every
contestant posts the same small webhook, 64 at a time, to a keep-alive sink in another process on
loopback. What counts is the processor time of this process, not the sink's. Rounds are interleaved
and each ratio is the median of the rounds' ratios, so that what else the machine does weighs little.
"""

from __future__ import annotations

import asyncio
import itertools
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from datetime import UTC, datetime
from functools import partial
from random import Random
from types import SimpleNamespace

import aiohttp
import httpx

from claimnotify.channels.webhook import factory
from claimnotify.http import EngineKind, make_engine
from claimnotify.http.egress import EgressPolicy
from claimnotify.model.endpoints import Endpoint
from claimnotify.model.http import HttpRequest
from claimnotify.model.messages import WebhookMessage
from claimnotify.model.notifications import Delivery
from claimnotify.model.states import DeliveryStatus
from claimnotify.ports import ChannelContext, HttpEngine, SigningEndpoint
from claimnotify.webhooks import generate_secret

CONCURRENCY = 64
REQUESTS = 1500
BODY = b'{"type":"claim.approved","timestamp":"2026-03-01T09:00:00Z","data":{"note":"%b"}}' % (
    b"x" * 220
)
HEADERS = {
    "webhook-id": "0198c0ffee0198c0ffee0198c0ffee01",
    "webhook-timestamp": "1772355600",
    "webhook-signature": "v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4=",
    "content-type": "application/json",
    "user-agent": "benchmark/1",
    "accept-encoding": "identity",
}
RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok"
LOOPBACK = EgressPolicy(allow_networks=("127.0.0.0/8",), allow_http=True)

BARE_AIOHTTP = "bare loop: aiohttp ClientSession"
BARE_HTTPX = "bare loop: httpx AsyncClient, one connection each"
BARE_BOTH = "bare loop: httpx AsyncClient over aiohttp"
RATIOS = (
    # what, over what
    ("engine aiohttp", BARE_AIOHTTP),
    ("webhook channel, aiohttp", BARE_AIOHTTP),
    ("engine httpx-aiohttp", BARE_BOTH),
    ("webhook channel, httpx-aiohttp", BARE_BOTH),
    ("engine httpx", BARE_HTTPX),
    ("webhook channel, httpx", BARE_HTTPX),
    ("engine httpx-aiohttp", BARE_AIOHTTP),
    ("engine httpx", BARE_AIOHTTP),
)
Post = Callable[[], Awaitable[object]]


class Sink(asyncio.Protocol):
    """Answers every request on a connection that it keeps."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._unread = b""

    def data_received(self, data: bytes) -> None:
        unread = self._unread + data
        while (end := unread.find(b"\r\n\r\n") + 4) >= 4:
            length = unread[:end].lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
            end += int(length or b"0")
            if len(unread) < end:
                break
            unread = unread[end:]
            self._transport.write(RESPONSE)
        self._unread = unread


async def serve() -> None:
    """Print the port and serve until killed."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Sink, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


@contextmanager
def sink() -> Iterator[str]:
    """Yield the URL of a sink in a process of its own."""
    command = [sys.executable, __file__, "--sink"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}/hook"
        finally:
            process.terminate()


class OverAiohttp(httpx.AsyncBaseTransport):
    """The least that carries httpx's requests over an aiohttp session."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        async with self._session.request(
            request.method,
            str(request.url),
            data=await request.aread(),
            headers=dict(request.headers),
        ) as response:
            return httpx.Response(
                response.status, headers=list(response.raw_headers), content=await response.read()
            )


@asynccontextmanager
async def contestants(url: str) -> AsyncIterator[dict[str, Post]]:
    """Yield what posts once, by name."""
    async with AsyncExitStack() as stack:
        posts: dict[str, Post] = {}
        connector = partial(aiohttp.TCPConnector, limit=CONCURRENCY)
        session = await stack.enter_async_context(aiohttp.ClientSession(connector=connector()))

        async def over_session() -> None:
            async with session.post(url, data=BODY, headers=HEADERS) as response:
                await response.read()

        posts[BARE_AIOHTTP] = over_session

        second = await stack.enter_async_context(aiohttp.ClientSession(connector=connector()))
        client = await stack.enter_async_context(httpx.AsyncClient(transport=OverAiohttp(second)))
        posts[BARE_BOTH] = partial(client.post, url, content=BODY, headers=HEADERS)

        context = httpx.create_ssl_context()  # one for all: making one costs as much as 20 requests
        clients = [
            await stack.enter_async_context(httpx.AsyncClient(verify=context, trust_env=False))
            for _ in range(CONCURRENCY)
        ]

        async def over_a_client_of_its_own() -> None:
            mine = clients.pop()
            await mine.post(url, content=BODY, headers=HEADERS)
            clients.append(mine)

        posts[BARE_HTTPX] = over_a_client_of_its_own

        kinds: tuple[EngineKind, ...] = ("aiohttp", "httpx-aiohttp", "httpx")
        for kind in kinds:
            engine = make_engine(LOOPBACK, kind)
            stack.push_async_callback(engine.aclose)
            posts[f"engine {kind}"] = partial(over_engine, engine, url)
            channel = factory(channel_context(url, kind))
            stack.push_async_callback(channel.aclose)
            message, delivery = WebhookMessage(body=BODY), a_delivery()
            posts[f"webhook channel, {kind}"] = partial(channel.send, message, delivery)
        yield posts


async def over_engine(engine: HttpEngine, url: str) -> None:
    """Post once, as a channel would."""
    await engine.send(
        HttpRequest(method="POST", url=url, headers=HEADERS, body=BODY, deadline=15.0)
    )


def a_delivery() -> Delivery:
    """Return a delivery to the one endpoint there is."""
    return Delivery(
        id="d",
        notification_id=HEADERS["webhook-id"],
        tenant="default",
        channel="webhook",
        address="",
        endpoint_id="e",
        status=DeliveryStatus.SENDING,
        reason="leased",
        created_at=datetime.now(UTC),
    )


def channel_context(url: str, kind: EngineKind) -> ChannelContext:
    """Return what the webhook channel's factory is given."""
    endpoint = Endpoint(
        id="e", tenant="default", owner="o", url=url, enabled=True, created_at=datetime.now(UTC)
    )
    found = SigningEndpoint(endpoint, (generate_secret(),))
    settings = SimpleNamespace(
        webhook_allow_networks=LOOPBACK.allow_networks,
        webhook_allow_http=True,
        webhook_allow_ports=(),
        attempt_deadline_seconds=15.0,
    )
    return ChannelContext(
        settings=settings,
        http=partial(make_engine, kind=kind),
        endpoints=SimpleNamespace(get=lambda tenant, endpoint_id: found),
        random=Random(7),
        clock=SimpleNamespace(now=lambda: datetime.now(UTC)),
    )


async def cost(post: Post, requests: int) -> float:
    """Return the microseconds of processor time for one of `requests`, `CONCURRENCY` at a time."""
    left = itertools.repeat(None, requests)

    async def one_after_another() -> None:
        for _ in left:
            await post()

    began = time.process_time()
    await asyncio.gather(*(one_after_another() for _ in range(CONCURRENCY)))
    return (time.process_time() - began) / requests * 1e6


async def measure(url: str, rounds: int) -> dict[str, list[float]]:
    """Return each contestant's costs, one a round."""
    async with contestants(url) as posts:
        for post in posts.values():
            await cost(post, CONCURRENCY * 2)  # connects, and loads what is loaded lazily
        costs: dict[str, list[float]] = {name: [] for name in posts}
        for _ in range(rounds):
            for name, post in posts.items():
                costs[name].append(await cost(post, REQUESTS))
        return costs


def main(rounds: int = 7) -> None:
    """Measure and print."""
    with sink() as url:
        costs = asyncio.run(measure(url, rounds))
    print(f"CPU µs a request (median of {rounds} rounds of {REQUESTS}; concurrency {CONCURRENCY})")
    for name, each in costs.items():
        print(f"{statistics.median(each):8.1f}  {name}")
    print("\nratio of CPU, lowest to highest round in brackets")
    for what, base in RATIOS:
        ratios = sorted(mine / bare for mine, bare in zip(costs[what], costs[base], strict=True))
        middle = statistics.median(ratios)
        print(f"{middle:8.2f}  [{ratios[0]:.2f}, {ratios[-1]:.2f}]  {what}, over {base}")


if __name__ == "__main__":
    if sys.argv[1:] == ["--sink"]:
        asyncio.run(serve())
    else:
        main(*(int(argument) for argument in sys.argv[1:2]))
