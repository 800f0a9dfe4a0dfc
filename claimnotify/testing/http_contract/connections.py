"""What every engine must do with connections: keep, drop and bound them, and go nowhere else."""

from __future__ import annotations

import asyncio

import pytest

from claimnotify.testing.http_contract.case import NAME, OK, EngineCase, Names, post, tls_contexts
from claimnotify.testing.raw_server import RawServer, answering, read_request

__all__ = ["ConnectionContract"]


@pytest.mark.asyncio
class ConnectionContract(EngineCase):
    """Connections are kept while they are good, and never hold another origin up."""

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

    @pytest.mark.parametrize(
        "stray",
        [b"HTTP/1.1 500 Stray\r\nContent-Length: 0\r\n\r\n", b"HTTP/1.1 500 Stray\r\n", b"\r\n"],
    )
    async def test_a_response_to_no_request_does_not_answer_the_next_one(
        self, stray: bytes
    ) -> None:
        may_speak, spoke = asyncio.Event(), asyncio.Event()

        async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await read_request(reader)
            writer.write(OK)
            await writer.drain()
            await may_speak.wait()
            writer.write(stray)
            await writer.drain()
            spoke.set()
            await reader.read()

        async with RawServer(peer) as server, self.engine() as engine:
            for number in (1, 2, 3):
                may_speak.clear()
                spoke.clear()
                got = await post(engine, f"http://127.0.0.1:{server.port}/", deadline=5.0)
                assert (got.status, server.connections) == (200, number)
                may_speak.set()
                await spoke.wait()
                for _ in range(20):  # let the loop read it
                    await asyncio.sleep(0)

    async def test_a_peer_that_writes_and_never_reads_is_dropped_over_tls_as_well(self) -> None:
        """It would never answer a polite goodbye."""
        server_context, client_context = tls_contexts(NAME)

        async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await read_request(reader)
            writer.transport.pause_reading()  # type: ignore[attr-defined]  # a stream's transport can
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
            while True:
                writer.write(b"x" * 65_536)
                await writer.drain()

        async with (
            RawServer(deaf, ssl_context=server_context) as server,
            self.engine(resolver=Names(["127.0.0.1"]), ssl_context=client_context) as engine,
        ):
            got = await post(engine, f"https://{NAME}:{server.port}/")
            assert got.truncated
            await server.wait_until_open(0, timeout=2.0)

    async def test_a_connection_whose_response_was_too_long_is_dropped(self) -> None:
        async with RawServer(answering(OK)) as server, self.engine() as engine:
            for number in (1, 2):
                got = await post(engine, f"http://127.0.0.1:{server.port}/", max_response_bytes=1)
                assert (got.body, got.truncated, server.connections) == (b"o", True, number)

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
