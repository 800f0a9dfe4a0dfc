"""Our engines keep the contract of `HttpEngine`."""

from __future__ import annotations

import asyncio
import ssl
import time
from pathlib import Path
from typing import Any

import pytest
import respx
import trustme

from claimnotify.errors import ConnectFailed, DeadlineExceeded
from claimnotify.http.aiohttp_engine import AiohttpEngine
from claimnotify.http.aiohttp_transport import HttpxAiohttpEngine
from claimnotify.http.egress import EgressPolicy
from claimnotify.http.httpx_engine import HttpxEngine
from claimnotify.http.pooled_engine import PooledEngine
from claimnotify.model.http import HttpRequest
from claimnotify.testing.http_contract import HttpEngineContract
from claimnotify.testing.raw_server import RawServer, answering, read_request
from tests.contract.engines import ENGINES

_OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
_LOOPBACK = EgressPolicy(allow_networks=("127.0.0.0/8",), allow_http=True)


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


async def test_a_request_costs_the_same_however_many_connections_are_idle(
    engine_class: type[PooledEngine[Any]],
) -> None:
    """The pool that looks through all of its connections takes ten times as long, and more."""
    async with RawServer(answering(_OK), host="0.0.0.0") as server:
        engine = engine_class(_LOOPBACK)

        async def cost() -> float:
            began = time.process_time()
            for _ in range(50):
                await engine.send(HttpRequest(method="GET", url=f"http://127.0.0.1:{server.port}/"))
            return time.process_time() - began

        await cost()
        alone = min([await cost() for _ in range(5)])
        for number in range(255):
            url = f"http://127.0.{1 + number // 200}.{1 + number % 200}:{server.port}/"
            await engine.send(HttpRequest(method="GET", url=url))
        assert server.open == 256
        assert min([await cost() for _ in range(5)]) < 2 * alone
        await engine.aclose()


async def test_waiting_for_a_connection_counts_against_the_deadline(
    engine_class: type[PooledEngine[Any]],
) -> None:
    """Nothing was sent then."""

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with RawServer(silent) as server:
        engine = engine_class(_LOOPBACK, max_connections_per_origin=1)
        url = f"http://127.0.0.1:{server.port}/"
        first = asyncio.create_task(
            engine.send(HttpRequest(method="POST", url=url, body=b"1", deadline=0.3))
        )
        await server.wait_until_open(1)
        with pytest.raises(DeadlineExceeded) as caught:
            await engine.send(HttpRequest(method="POST", url=url, body=b"2", deadline=0.1))
        assert caught.value.sent is False, "it waited for a slot"
        with pytest.raises(DeadlineExceeded) as caught:
            await first
        assert caught.value.sent is True
        await server.wait_until_open(0)
        assert server.connections == 1
        await engine.aclose()


@pytest.mark.parametrize("over_aiohttp", [AiohttpEngine, HttpxAiohttpEngine])
async def test_an_answer_may_come_before_the_whole_request_was_taken(
    over_aiohttp: type[PooledEngine[Any]],
) -> None:
    """What is left of the request must not go out as the beginning of the next."""

    async def hasty(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too much\r\nContent-Length: 0\r\n\r\n")
        await asyncio.Event().wait()

    async with RawServer(hasty) as server:
        engine = over_aiohttp(_LOOPBACK)
        url = f"http://127.0.0.1:{server.port}/"
        for number in (1, 2):
            got = await engine.send(HttpRequest(method="POST", url=url, body=bytes(20_000_000)))
            assert (got.status, server.connections) == (413, number)
        await engine.aclose()


async def test_authorities_may_be_named_by_the_environment(
    engine_class: type[PooledEngine[Any]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(tmp_path / "authorities.pem")
    async with RawServer(answering(_OK), ssl_context=context) as server:
        request = HttpRequest(method="GET", url=f"https://127.0.0.1:{server.port}/")
        engine = engine_class(_LOOPBACK)
        with pytest.raises(ConnectFailed, match="certificate"):
            await engine.send(request)
        await engine.aclose()
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authorities.pem"))
        engine = engine_class(_LOOPBACK)
        assert (await engine.send(request)).status == 200
        await engine.aclose()


async def test_a_name_with_many_addresses_makes_us_knock_at_eight_doors_and_no_more(
    engine_class: type[PooledEngine[Any]],
) -> None:
    async def names(host: str, port: int) -> list[str]:
        return [*(f"127.0.1.{last}" for last in range(1, refusing + 1)), "127.0.0.1"]

    async with RawServer(answering(_OK)) as server:
        engine = engine_class(_LOOPBACK, resolver=names)
        request = HttpRequest(method="GET", url=f"http://hooks.example.com:{server.port}/")
        refusing = 8
        with pytest.raises(ConnectFailed):
            await engine.send(request)
        refusing = 7
        assert (await engine.send(request)).status == 200
        await engine.aclose()


async def test_respx_mocks_the_httpx_engine() -> None:
    """An application whose tests mock httpx chooses this engine and sees our requests as well."""
    engine = HttpxEngine(EgressPolicy())
    with respx.mock as mocked:
        route = mocked.post("https://hooks.example.com/a").respond(202, text="taken")
        got = await engine.send(
            HttpRequest(method="POST", url="https://hooks.example.com/a", body=b"{}")
        )
    assert (got.status, got.body, route.call_count) == (202, b"taken", 1)
    assert route.calls.last.request.content == b"{}"
    await engine.aclose()
