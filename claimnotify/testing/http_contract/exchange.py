"""What every engine must do with requests and responses."""

from __future__ import annotations

import asyncio
import gzip
import tracemalloc
from pathlib import Path

import pytest

from claimnotify.errors import InvalidInput
from claimnotify.testing.http_contract.case import (
    NAME,
    OK,
    EngineCase,
    Names,
    post,
)
from claimnotify.testing.raw_server import RawServer, answering, read_request

__all__ = ["ExchangeContract"]


@pytest.mark.asyncio
class ExchangeContract(EngineCase):
    """Requests go out as given, responses come back capped."""

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

    @pytest.mark.parametrize(
        ("response", "body"),
        [
            (
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n",
                b"abc",
            ),
            (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
            (b"HTTP/1.1 103 Early Hints\r\nX: 1\r\n\r\n" + OK, b"ok"),
            (b"HTTP/1.1 100 Continue\r\n\r\n" * 3 + OK, b"ok"),
        ],
    )
    @pytest.mark.parametrize("pieces", [1, 1000])
    async def test_understands_a_response_however_it_is_cut(
        self, response: bytes, body: bytes, pieces: int
    ) -> None:
        async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while True:
                await read_request(reader)
                step = max(len(response) // pieces, 1)
                for start in range(0, len(response), step):
                    writer.write(response[start : start + step])
                    await writer.drain()
                    await asyncio.sleep(0)

        async with RawServer(peer) as server, self.engine() as engine:
            for _ in range(3):
                got = await post(engine, f"http://127.0.0.1:{server.port}/")
                assert (got.body, got.truncated) == (body, False)
            assert server.connections == 1

    async def test_a_body_may_end_with_the_connection(self) -> None:
        async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await read_request(reader)
            writer.write(b"HTTP/1.1 200 OK\r\n\r\nuntil the end")

        async with RawServer(peer) as server, self.engine() as engine:
            for _ in range(2):
                got = await post(engine, f"http://127.0.0.1:{server.port}/")
                assert (got.body, got.truncated) == (b"until the end", False)

    async def test_the_answer_to_head_has_no_body(self) -> None:
        async with RawServer(answering(OK.partition(b"ok")[0])) as server, self.engine() as engine:
            url = f"http://127.0.0.1:{server.port}/"
            for method in ("HEAD", "HEAD"):
                got = await post(engine, url, method=method, body=b"", deadline=5.0)
                assert (got.status, got.body, got.truncated) == (200, b"", False)

    @pytest.mark.parametrize(
        "header", [b"Content-Length: 3000000\r\n", b"Transfer-Encoding: chunked\r\n", b""]
    )
    async def test_sends_and_reads_more_than_any_buffer_holds(self, header: bytes) -> None:
        requests: list[tuple[bytes, bytes]] = []
        long = bytes(range(250)) * 12_000
        sent = long
        if b"chunked" in header:
            sent = b"".join(
                b"7d0\r\n%b\r\n" % long[start : start + 2000] for start in range(0, len(long), 2000)
            )
            sent += b"0\r\n\r\n"

        async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            requests.append(await read_request(reader))
            writer.write(b"HTTP/1.1 200 OK\r\n" + header + b"\r\n" + sent)
            await writer.drain()

        async with RawServer(peer) as server, self.engine() as engine:
            url = f"http://127.0.0.1:{server.port}/"
            got = await post(engine, url, body=long, max_response_bytes=len(long))
        assert requests[0][1] == long
        assert (got.body == long, got.truncated) == (True, False)

    @pytest.mark.parametrize(
        "headers",
        [
            {"X-Mine": "a\r\nX-Theirs: b"},
            {"X-Mine": "a\nb"},
            {"X-Mine": "a\x00b"},
            {"X-Mine": "naïve"},
            {"X-Mine: a\r\nX-Theirs": "b"},
            {"X Mine": "b"},
            {"": "b"},
        ],
    )
    async def test_headers_that_would_break_the_request_are_refused(
        self, headers: dict[str, str]
    ) -> None:
        async with RawServer(answering(OK)) as server, self.engine() as engine:
            with pytest.raises(InvalidInput):
                await post(engine, f"http://127.0.0.1:{server.port}/", headers=headers)
            assert server.connections == 0

    @pytest.mark.parametrize(
        "method",
        [
            "POST /x HTTP/1.1\r\nHost: other.example.com\r\n\r\nGET",
            "POST\r\nX: y",
            "POST ",
            "POST\n",
            "P\u017fST",
            "",
            b"POST",
        ],
    )
    async def test_a_method_that_would_break_the_request_is_refused(self, method: str) -> None:
        async with RawServer(answering(OK)) as server, self.engine() as engine:
            with pytest.raises(InvalidInput, match="method"):
                await post(engine, f"http://127.0.0.1:{server.port}/", method=method)
            assert server.connections == 0

    async def test_the_engine_alone_says_where_a_request_goes_and_where_it_ends(self) -> None:
        requests: list[tuple[bytes, bytes]] = []
        headers = {
            "Host": "other.example.com",
            "content-length": "1",
            "Transfer-Encoding": "chunked",
        }
        async with RawServer(answering(OK, requests)) as server, self.engine() as engine:
            await post(engine, f"http://127.0.0.1:{server.port}/", headers=headers)
        head, body = requests[0]
        assert head.lower().count(b"\r\nhost: ") == head.lower().count(b"content-length: ") == 1
        assert f"host: 127.0.0.1:{server.port}\r\n".encode() in head.lower()
        assert b"transfer-encoding" not in head.lower()
        assert body == b"{}"

    async def test_sends_no_cookie_and_no_password_of_its_own(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        netrc = tmp_path / "netrc"
        netrc.write_text(f"machine 127.0.0.1 login l password p\nmachine {NAME} login l password p")
        netrc.chmod(0o600)
        monkeypatch.setenv("NETRC", str(netrc))
        requests: list[tuple[bytes, bytes]] = []
        response = OK.replace(b"\r\n", b"\r\nSet-Cookie: a=b; Path=/\r\n", 1)
        async with (
            RawServer(answering(response, requests)) as server,
            self.engine(resolver=Names(["127.0.0.1"])) as engine,
        ):
            for host in ("127.0.0.1", NAME) * 2:
                await post(engine, f"http://{host}:{server.port}/")
        assert len(requests) == 4
        assert not any(b"cookie" in head.lower() for head, _ in requests)
        assert not any(b"authorization" in head.lower() for head, _ in requests)
