"""What every engine must do with requests, responses and connections."""

from __future__ import annotations

import asyncio
import gzip
import tracemalloc

import pytest

from claimnotify.testing.http_contract.case import METADATA, NAME, OK, EngineCase, Names, post
from claimnotify.testing.raw_server import RawServer, answering, read_request

__all__ = ["ExchangeContract"]


@pytest.mark.asyncio
class ExchangeContract(EngineCase):
    """Requests go out as given, responses come back capped, connections are kept."""

    # what is sent and what comes back

    async def test_sends_the_request_as_given_and_returns_the_response(self) -> None:
        requests: list[tuple[bytes, bytes]] = []
        response = (
            b"HTTP/1.1 422 Nope\r\nX-One: 1\r\nX-Two: a\r\nx-two: b\r\nContent-Length: 3\r\n\r\nbad"
        )
        async with RawServer(answering(response, requests)) as server, self.engine() as engine:
            url = f"http://127.0.0.1:{server.port}/a%20b?c=d"
            got = await post(engine, url, body=b"\x00raw", headers={"X-Mine": "yes"})
        head, body = requests[0]
        assert head.startswith(b"POST /a%20b?c=d HTTP/1.1\r\n")
        assert b"x-mine: yes" in head.lower()
        assert b"content-length: 4" in head.lower()
        assert body == b"\x00raw"
        assert (got.status, got.body, got.truncated) == (422, b"bad", False)
        assert got.headers["x-one"] == "1"
        assert got.headers["x-two"] == "b", "of repeated headers the last"

    async def test_asks_for_no_content_coding_and_decodes_none(self) -> None:
        requests: list[tuple[bytes, bytes]] = []
        bomb = gzip.compress(bytes(20_000_000))
        head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(bomb)}\r\n\r\n"
        async with (
            RawServer(answering(head.encode() + bomb, requests)) as server,
            self.engine() as engine,
        ):
            got = await post(
                engine, f"http://127.0.0.1:{server.port}/", headers={"Accept-Encoding": "gzip"}
            )
        assert b"accept-encoding: identity\r\n" in requests[0][0].lower()
        assert b"gzip" not in requests[0][0].lower()
        assert got.body == bomb[: 16 * 1024]

    async def test_keeps_the_body_up_to_the_cap_and_reads_no_further(self) -> None:
        async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await read_request(reader)
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
            while True:
                writer.write(b"x" * 65_536)
                await writer.drain()

        async with RawServer(endless) as server, self.engine() as engine:
            url = f"http://127.0.0.1:{server.port}/"
            await post(engine, url, max_response_bytes=1000)  # warms up what is loaded lazily
            tracemalloc.start()
            got = await post(engine, url, max_response_bytes=1000)
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            assert (got.body, got.truncated) == (b"x" * 1000, True)
            assert peak < 4_000_000
            await server.wait_until_open(0)

    async def test_a_body_of_exactly_the_cap_is_not_truncated(self) -> None:
        async with RawServer(answering(OK)) as server, self.engine() as engine:
            got = await post(engine, f"http://127.0.0.1:{server.port}/", max_response_bytes=2)
        assert (got.body, got.truncated) == (b"ok", False)

    async def test_follows_no_redirect(self) -> None:
        requests: list[tuple[bytes, bytes]] = []
        for status in (301, 302, 303, 307, 308):
            location = f"http://{METADATA}/latest/meta-data/"
            response = f"HTTP/1.1 {status} Go\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n"
            peer = answering(response.encode(), requests)
            async with RawServer(peer) as server, self.engine() as engine:
                got = await post(engine, f"http://127.0.0.1:{server.port}/")
            assert (got.status, got.headers["location"]) == (status, location)
        assert len(requests) == 5

    # connections

    async def test_keeps_a_connection_for_the_next_request(self) -> None:
        async with RawServer(answering(OK)) as server, self.engine() as engine:
            for _ in range(5):
                await post(engine, f"http://127.0.0.1:{server.port}/")
            assert server.connections == 1

    async def test_does_not_write_to_a_connection_the_peer_has_closed(self) -> None:
        async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await read_request(reader)
            writer.write(OK)

        async with RawServer(once) as server, self.engine() as engine:
            for number in range(1, 6):
                got = await post(engine, f"http://127.0.0.1:{server.port}/")
                assert got.status == 200
                await server.wait_until_open(0)
                for _ in range(20):  # let the loop see that the peer closed
                    await asyncio.sleep(0)
                assert server.connections == number

    async def test_serves_many_requests_to_one_origin_at_once(self) -> None:
        arrived = 0
        all_there = asyncio.Event()

        async def together(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal arrived
            await read_request(reader)
            arrived += 1
            if arrived == 30:
                all_there.set()
            await all_there.wait()
            writer.write(OK)

        async with RawServer(together) as server, self.engine() as engine:
            url = f"http://127.0.0.1:{server.port}/"
            got = await asyncio.gather(*(post(engine, url) for _ in range(30)))
        assert [each.status for each in got] == [200] * 30

    async def test_an_origin_that_never_answers_does_not_delay_another(self) -> None:
        async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()

        async with (
            RawServer(silent) as dead,
            RawServer(answering(OK)) as alive,
            self.engine() as engine,
        ):
            stuck = [
                asyncio.create_task(post(engine, f"http://127.0.0.1:{dead.port}/"))
                for _ in range(100)
            ]
            got = await post(engine, f"http://127.0.0.1:{alive.port}/", deadline=2.0)
            for task in stuck:
                task.cancel()
            await asyncio.gather(*stuck, return_exceptions=True)
        assert got.status == 200

    async def test_closing_the_engine_closes_its_connections(self) -> None:
        async with RawServer(answering(OK)) as server:
            async with self.engine() as engine:
                await post(engine, f"http://127.0.0.1:{server.port}/")
            await server.wait_until_open(0)

    async def test_takes_no_proxy_from_the_environment(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async with (
            RawServer(answering(OK)) as proxy,
            RawServer(answering(OK)) as server,
        ):
            for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
                monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
                monkeypatch.setenv(name.lower(), f"http://127.0.0.1:{proxy.port}")
            async with self.engine(resolver=Names(["127.0.0.1"])) as engine:
                await post(engine, f"http://{NAME}:{server.port}/")
            assert (proxy.connections, server.connections) == (0, 1)
