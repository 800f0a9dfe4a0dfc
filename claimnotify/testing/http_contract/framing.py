"""What every engine must make of responses that lie about where they end, or never do."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from claimnotify.errors import ResponseBroken
from claimnotify.testing.http_contract.case import OK, EngineCase, post
from claimnotify.testing.raw_server import RawServer, answering, read_request

__all__ = ["FramingContract"]

_OK = b"HTTP/1.1 200 OK\r\n"
_CHUNKED = _OK + b"Transfer-Encoding: chunked\r\n\r\n"
_STRAY = b"HTTP/1.1 500 Stray\r\nContent-Length: 0\r\n\r\n"

_AMBIGUOUS = {
    "two lengths": _OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nokk",
    "a list of lengths": _OK + b"Content-Length: 2, 3\r\n\r\nokk",
    "a length with a sign": _OK + b"Content-Length: +2\r\n\r\nok",
    "a length below zero": _OK + b"Content-Length: -1\r\n\r\nok",
    "a hexadecimal length": _OK + b"Content-Length: 0x2\r\n\r\nok",
    "a length of thirty digits": _OK + b"Content-Length: " + b"9" * 30 + b"\r\n\r\nok",
    "a length in Arabic digits": _OK + "Content-Length: \u0662\r\n\r\nok".encode(),
    "chunks and a length": _OK
    + b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "a length and chunks": _OK
    + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "folded chunks and a length": _OK
    + b"Transfer-Encoding:\r\n chunked\r\nContent-Length: 2\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "a lone carriage return": _OK + b"X: a\rContent-Length: 0\r\nContent-Length: 2\r\n\r\nok",
    "a NUL": _OK + b"X: a\x00b\r\nContent-Length: 2\r\n\r\nok",
    "a header without a colon": _OK + b"Xoops\r\nContent-Length: 2\r\n\r\nok",
    "a chunk size with a sign": _CHUNKED + b"+2\r\nok\r\n0\r\n\r\n",
    "a chunk size below zero": _CHUNKED + b"-1\r\nok\r\n0\r\n\r\n",
    "a chunk size with 0x": _CHUNKED + b"0x2\r\nok\r\n0\r\n\r\n",
    "a chunk longer than its size": _CHUNKED + b"2\r\nokXX0\r\n\r\n",
    "a length with a space before its colon": _OK + b"Content-Length : 2\r\n\r\nok",
    "chunks with a tab before their colon": _OK
    + b"Transfer-Encoding\t: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "a transfer coding that is not chunked": _OK + b"Transfer-Encoding: gzip\r\n\r\nok",
    "an unknown transfer coding": _OK + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "a transfer coding below chunks": _OK
    + b"Transfer-Encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "a transfer coding above chunks": _OK
    + b"Transfer-Encoding: chunked, identity\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "chunks twice": _OK + b"Transfer-Encoding: chunked\r\n" * 2 + b"\r\n2\r\nok\r\n0\r\n\r\n",
    "a body where the status has none": b"HTTP/1.1 204 None\r\nContent-Length: 2\r\n\r\nok",
    "chunks where the status has none": b"HTTP/1.1 204 None\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "a switch of protocols": b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\n"
    b"Connection: upgrade\r\n\r\n\x81\x01a",
    "a switch of protocols without a word": b"HTTP/1.1 101 Switching\r\n\r\n",
    "status 0": b"HTTP/1.1 000 None\r\nContent-Length: 2\r\n\r\nok",
    "status 99": b"HTTP/1.1 99 Low\r\nContent-Length: 2\r\n\r\nok",
    "status 2000": b"HTTP/1.1 2000 High\r\nContent-Length: 2\r\n\r\nok",
    "too many headers": _OK
    + b"".join(b"X-%d: a\r\n" % number for number in range(1000))
    + b"Content-Length: 2\r\n\r\nok",
}

_ENDLESS = {
    "headers": (_OK, b"".join(b"X-%d: aaaaaaaaaa\r\n" % number for number in range(2000))),
    "a header": (_OK + b"X: ", b"a" * 65_536),
    "a reason": (b"HTTP/1.1 200 ", b"a" * 65_536),
    "interim responses": (b"", b"HTTP/1.1 103 Early Hints\r\nX: a\r\n\r\n" * 1000),
    "empty lines": (b"", b"\r\n" * 10_000),
    "trailers": (
        _CHUNKED + b"2\r\nok\r\n0\r\n",
        b"".join(b"X-%d: aaaaaaaaaa\r\n" % number for number in range(2000)),
    ),
    "a trailer": (_CHUNKED + b"2\r\nok\r\n0\r\nX: ", b"a" * 65_536),
    "a chunk's extension": (_CHUNKED + b"1;x=", b"a" * 65_536),
    "chunks' extensions": (_CHUNKED, (b"1;x=" + b"a" * 1000 + b"\r\na\r\n") * 50),
    "a chunk's size": (_CHUNKED, b"0" * 65_536),
}


@pytest.mark.asyncio
class FramingContract(EngineCase):
    """One response answers one request, has one end, and its framing is bounded as its body is."""

    @pytest.mark.parametrize("response", _AMBIGUOUS.values(), ids=_AMBIGUOUS)
    async def test_an_ambiguous_response_is_broken_and_ends_its_connection(
        self, response: bytes
    ) -> None:
        async with RawServer(answering(response)) as server, self.engine() as engine:
            for number in (1, 2):
                with pytest.raises(ResponseBroken):
                    await post(engine, f"http://127.0.0.1:{server.port}/", deadline=5.0)
                assert server.connections == number

    @pytest.mark.parametrize("status", [204, 304])
    @pytest.mark.parametrize("length", [b"", b"Content-Length: 0\r\n"])
    async def test_a_status_that_has_no_body_may_say_so(self, status: int, length: bytes) -> None:
        response = b"HTTP/1.1 %d None\r\n%b\r\n" % (status, length)
        async with RawServer(answering(response)) as server, self.engine() as engine:
            for _ in range(2):
                got = await post(engine, f"http://127.0.0.1:{server.port}/", deadline=5.0)
                assert (got.status, got.body, got.truncated) == (status, b"", False)

    async def test_not_modified_may_tell_the_length_that_it_leaves_out(self) -> None:
        response = b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n"
        async with RawServer(answering(response)) as server, self.engine() as engine:
            for _ in range(2):
                got = await post(engine, f"http://127.0.0.1:{server.port}/", deadline=5.0)
                assert (got.status, got.body) == (304, b"")

    @pytest.mark.parametrize(
        "response", [OK, _CHUNKED + b"2\r\nok\r\n0\r\n\r\n"], ids=["length", "chunks"]
    )
    @pytest.mark.parametrize("stray", [_STRAY, _STRAY[:-2], _STRAY[:20]])
    async def test_what_follows_a_response_in_the_same_packet_does_not_answer_the_next_request(
        self, response: bytes, stray: bytes
    ) -> None:
        """Whoever can put it there would decide on the deliveries of others to the same origin.

        Whether the response before it still counts is left to the engine.
        """
        async with RawServer(answering(response + stray)) as server, self.engine() as engine:
            for number in (1, 2, 3):
                with contextlib.suppress(ResponseBroken):
                    got = await post(engine, f"http://127.0.0.1:{server.port}/", deadline=5.0)
                    assert (got.status, got.body) == (200, b"ok")
                assert server.connections == number

    @pytest.mark.parametrize(("begin", "flood"), _ENDLESS.values(), ids=_ENDLESS)
    async def test_what_never_ends_and_is_no_body_is_broken_off_early(
        self, begin: bytes, flood: bytes
    ) -> None:
        """Not only at the deadline: until then it would keep us busy."""
        sent = 0

        async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal sent
            await read_request(reader)
            writer.write(begin)
            while True:
                writer.write(flood)
                await writer.drain()
                sent += len(flood)

        async with RawServer(peer) as server, self.engine() as engine:
            with pytest.raises(ResponseBroken):
                await post(engine, f"http://127.0.0.1:{server.port}/", deadline=20.0)
            await server.wait_until_open(0)
        assert sent < 10_000_000, "what the sockets' buffers hold, and little more"

    async def test_a_body_in_chunks_of_one_byte_is_read(self) -> None:
        chunks = b"1\r\na\r\n" * 20_000
        async with (
            RawServer(answering(_CHUNKED + chunks + b"0\r\n\r\n")) as server,
            self.engine() as engine,
        ):
            url = f"http://127.0.0.1:{server.port}/"
            got = await post(engine, url)
            assert (got.body, got.truncated) == (b"a" * 16_384, True)
            got = await post(engine, url, max_response_bytes=20_000)
            assert (got.body, got.truncated) == (b"a" * 20_000, False)
