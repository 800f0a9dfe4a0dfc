"""Our engines keep the contract of `HttpEngine`."""

from __future__ import annotations

import asyncio
import ssl
from typing import Any

import pytest

from claimnotify.http.aiohttp_engine import AiohttpEngine
from claimnotify.http.aiohttp_transport import HttpxAiohttpEngine
from claimnotify.http.egress import EgressPolicy
from claimnotify.http.httpx_engine import HttpxEngine
from claimnotify.http.pooled_engine import PooledEngine
from claimnotify.model.http import HttpRequest
from claimnotify.testing.http_contract import HttpEngineContract
from claimnotify.testing.raw_server import RawServer, answering, read_request

_OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
_LOOPBACK = EgressPolicy(allow_networks=("127.0.0.0/8",), allow_http=True)


ENGINES = (HttpxEngine, AiohttpEngine, HttpxAiohttpEngine)


@pytest.fixture(params=ENGINES)
def engine_class(request: pytest.FixtureRequest) -> type[PooledEngine[Any]]:
    """Every engine of ours."""
    engine: type[PooledEngine[Any]] = request.param
    return engine


class _Ours(HttpEngineContract):
    engine_class: type[PooledEngine[Any]]

    def make_engine(
        self,
        policy: EgressPolicy,
        *,
        resolver: Any = None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> PooledEngine[Any]:
        return self.engine_class(policy, resolver=resolver, ssl_context=ssl_context)


class TestHttpxEngine(_Ours):
    engine_class = HttpxEngine


class TestAiohttpEngine(_Ours):
    engine_class = AiohttpEngine


class TestHttpxAiohttpEngine(_Ours):
    engine_class = HttpxAiohttpEngine


async def test_idle_connections_are_bounded_however_many_origins_there_are(
    engine_class: type[PooledEngine[Any]],
) -> None:
    async with RawServer(answering(_OK), host="0.0.0.0") as server:
        engine = engine_class(_LOOPBACK)
        for number in range(300):
            url = f"http://127.0.{1 + number // 200}.{1 + number % 200}:{server.port}/"
            await engine.send(HttpRequest(method="GET", url=url))
        await server.wait_until_open(256)
        await engine.aclose()


async def test_connections_idle_for_long_are_closed_without_another_request(
    engine_class: type[PooledEngine[Any]],
) -> None:
    class Time:
        now = 0.0

    async with RawServer(answering(_OK)) as server:
        engine = engine_class(_LOOPBACK, monotonic=lambda: Time.now)
        await engine.send(HttpRequest(method="GET", url=f"http://127.0.0.1:{server.port}/"))
        Time.now = 3.9
        engine._sweep()
        assert server.open == 1
        Time.now = 4.0
        engine._sweep()
        await server.wait_until_open(0)
        await engine.aclose()


async def test_no_more_connections_per_origin_than_allowed(
    engine_class: type[PooledEngine[Any]],
) -> None:
    most = 0

    async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal most
        while True:
            await read_request(reader)
            most = max(most, server.open)
            writer.write(_OK)

    async with RawServer(peer) as server:
        engine = engine_class(_LOOPBACK, max_connections_per_origin=3)
        request = HttpRequest(method="GET", url=f"http://127.0.0.1:{server.port}/")
        await asyncio.gather(*(engine.send(request) for _ in range(30)))
        assert most <= 3
        await engine.aclose()


async def test_a_cancelled_request_leaves_no_connection_behind(
    engine_class: type[PooledEngine[Any]],
) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with RawServer(silent) as server:
        engine = engine_class(_LOOPBACK)
        request = HttpRequest(method="GET", url=f"http://127.0.0.1:{server.port}/")
        task = asyncio.create_task(engine.send(request))
        await server.wait_until_open(1)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert task.cancelled()
        await engine.aclose()
        await server.wait_until_open(0, timeout=1.0)
