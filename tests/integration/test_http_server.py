"""The small HTTP server takes whole requests within limits, whatever its peers do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from claimnotify.testing.http_peer import Answer, Refusal, Request
from claimnotify.testing.http_server import HttpServer

_POST = b"POST /hook?x=1 HTTP/1.1\r\nHost: here\r\n"
_SECONDS = 10.0


@asynccontextmanager
async def _connected(server: HttpServer) -> AsyncIterator[Callable[..., Awaitable[bytes]]]:
    """Yield what sends bytes and returns the answer read until `until`, or until the end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)

    async def exchange(data: bytes, until: bytes = b"") -> bytes:
        async with asyncio.timeout(_SECONDS):
            writer.write(data)
            await writer.drain()
            return await (reader.readuntil(until) if until else reader.read())

    try:
        yield exchange
    finally:
        writer.close()


class Served:
    """A handler that answers 200 with the body it got, and what the server refused."""

    def __init__(self, **options: Any) -> None:
        self.requests: list[Request] = []
        self.refusals: list[Refusal] = []
        self.server = HttpServer(self, on_refusal=self.refusals.append, **options)

    async def __call__(self, request: Request) -> Answer:
        self.requests.append(request)
        return Answer(status=200, body=request.body + b"!")


async def test_requests_follow_one_another_on_one_connection_also_sent_at_once() -> None:
    served = Served()
    one = _POST + b"Content-Length: 2\r\nX-Two: a\r\n\r\nhi"
    async with served.server as server, _connected(server) as exchange:
        assert (await exchange(one, b"hi!")).startswith(b"HTTP/1.1 200 OK\r\n")
        answers = await exchange(one + one.replace(b"hi", b"ho"), b"ho!")
        assert answers.count(b"HTTP/1.1 200 OK") == 2
        assert b"hi!" in answers
    assert [each.body for each in served.requests] == [b"hi", b"hi", b"ho"]
    request = served.requests[0]
    assert (request.method, request.target, request.headers["x-two"]) == ("POST", "/hook?x=1", "a")


async def test_a_chunked_body_arrives_whole() -> None:
    served = Served()
    head = _POST + b"Transfer-Encoding: chunked\r\n\r\n"
    async with served.server as server, _connected(server) as exchange:
        await exchange(head + b"2\r\nhi\r\n4;x=y\r\n you\r\n0\r\nTrailer: 1\r\n\r\n", b"hi you!")
    assert served.requests[0].body == b"hi you"


async def test_who_waits_to_be_told_to_go_on_is_told() -> None:
    head = _POST + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n"
    async with Served().server as server, _connected(server) as exchange:
        assert await exchange(head, b"\r\n\r\n") == b"HTTP/1.1 100 \r\n\r\n"
        assert (await exchange(b"hi", b"hi!")).startswith(b"HTTP/1.1 200 OK\r\n")


@pytest.mark.parametrize("status", [204, 304])
async def test_an_answer_that_has_no_body_sends_none(status: int) -> None:
    async def handler(request: Request) -> Answer:
        return Answer.text(status, "never")

    async with HttpServer(handler) as server, _connected(server) as exchange:
        answer = await exchange(_POST + b"Connection: close\r\nContent-Length: 0\r\n\r\n")
    assert answer.endswith(b"\r\n\r\n")
    assert b"never" not in answer


async def test_the_answer_to_head_has_no_body() -> None:
    async with Served().server as server, _connected(server) as exchange:
        answer = await exchange(b"HEAD / HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n")
    assert answer.endswith(b"Content-Length: 1\r\nConnection: close\r\n\r\n")


@pytest.mark.parametrize(
    ("data", "status"),
    [
        # longer than the limit, said before
        (_POST + b"Content-Length: 101\r\n\r\n" + b"x" * 101, 413),
        # said before, and never sent
        (_POST + b"Content-Length: 9999999999\r\nExpect: 100-continue\r\n\r\n", 413),
        # longer than the limit, found out on the way
        (_POST + b"Transfer-Encoding: chunked\r\n\r\n" + b"32\r\n" + b"x" * 50 + b"\r\n33\r\n" + b"x" * 51, 413),
        # longer than both, and still coming when it is refused
        (_POST + b"Content-Length: 5000000\r\n\r\n" + b"x" * 5_000_000, 413),
        (_POST + b"Content-Length: -1\r\n\r\n", 400),
        (_POST + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n", 400),
        (_POST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx", 400),
        (_POST + b"Transfer-Encoding: gzip\r\n\r\n", 501),
        (_POST + b"Transfer-Encoding: chunked\r\n\r\nno number\r\n", 400),
        (b"POST / HTTP/1.1\r\n\r\n", 400),
        (b"POST / HTTP/2.0\r\nHost: here\r\n\r\n", 505),
        (b"hello\r\n\r\n", 400),
        (b"\x00\xff" * 100 + b"\r\n\r\n", 400),
        (_POST + b"X-Long: " + b"x" * 200_000 + b"\r\n\r\n", 431),
        # TLS, where there is none
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    ],
)  # fmt: skip
async def test_what_is_malformed_or_too_large_is_refused_and_others_are_served(
    data: bytes, status: int
) -> None:
    served = Served(largest_body=100)
    async with served.server as server:
        async with _connected(server) as exchange:
            answer = await exchange(data)
            assert answer.startswith(b"HTTP/1.1 %d " % status), answer[:200]
            assert b"\r\nConnection: close\r\n" in answer
        assert [each.status for each in served.refusals] == [status]
        async with _connected(server) as exchange:
            await exchange(_POST + b"Content-Length: 2\r\n\r\nhi", b"hi!")
    assert len(served.requests) == 1


async def test_a_request_that_takes_too_long_is_refused_however_busy_its_peer_is() -> None:
    """Each byte comes in time; the whole does not."""
    served = Served(deadline=0.3)
    async with served.server as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        answering = asyncio.create_task(reader.read())
        async with asyncio.timeout(_SECONDS):
            writer.write(_POST)
            while not answering.done():
                writer.write(b"X: y\r\n")
                await asyncio.wait([answering], timeout=0.02)
        assert (await answering).startswith(b"HTTP/1.1 408 ")
        writer.close()
    assert served.requests == []


async def test_a_peer_that_says_nothing_or_goes_away_is_no_refusal() -> None:
    served = Served()
    async with served.server as server, _connected(server):
        _, silent = await asyncio.open_connection("127.0.0.1", server.port)
        silent.close()
        async with _connected(server) as exchange:
            await exchange(_POST + b"Content-Length: 2\r\n\r\nhi", b"hi!")
    assert served.refusals == []


async def test_a_connection_on_which_nothing_is_asked_is_closed() -> None:
    served = Served(idle=0.2, deadline=0.1)
    async with served.server as server, _connected(server) as exchange:
        await exchange(_POST + b"Content-Length: 2\r\n\r\nhi", b"hi!")
        assert await exchange(b"") == b""
    assert served.refusals == []


async def test_connections_beyond_the_limit_are_told_so_and_served_when_others_close() -> None:
    served = Served(most_connections=2)
    whole = _POST + b"Content-Length: 2\r\n\r\nhi"
    async with served.server as server:
        async with _connected(server) as first, _connected(server) as second:
            await first(whole, b"hi!")
            await second(whole, b"hi!")
            async with _connected(server) as third:
                assert (await third(whole)).startswith(b"HTTP/1.1 503 ")
            await first(whole, b"hi!")
        async with asyncio.timeout(_SECONDS):
            while True:
                async with _connected(server) as later:
                    if (await later(whole, b"\r\n\r\n")).startswith(b"HTTP/1.1 200 "):
                        break
    assert {each.status for each in served.refusals} == {503}


async def test_a_hundred_connections_at_once_are_served() -> None:
    served = Served()

    async def one(server: HttpServer) -> bytes:
        async with _connected(server) as exchange:
            return await exchange(_POST + b"Content-Length: 2\r\n\r\nhi", b"hi!")

    async with served.server as server:
        answers = await asyncio.gather(*(one(server) for _ in range(100)))
    assert all(answer.startswith(b"HTTP/1.1 200 OK") for answer in answers)


@pytest.mark.parametrize(("grace", "is_answered"), [(_SECONDS, True), (0.0, False)])
async def test_a_request_in_hand_is_answered_within_the_grace_when_the_server_ends(
    grace: float, is_answered: bool
) -> None:
    begun, may_end = asyncio.Event(), asyncio.Event()

    async def handler(request: Request) -> Answer:
        begun.set()
        await may_end.wait()
        return Answer.text(200)

    async with HttpServer(handler, grace=grace) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        idle_reader, idle_writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(_POST + b"Content-Length: 0\r\n\r\n")
        await asyncio.wait_for(begun.wait(), _SECONDS)
        asyncio.get_running_loop().call_later(0.05, may_end.set)
    async with asyncio.timeout(_SECONDS):
        answer = await reader.read()
        assert await idle_reader.read() == b""
    assert answer.startswith(b"HTTP/1.1 200 ") == is_answered
    writer.close()
    idle_writer.close()
