"""How every engine must fail: with the error that says what is known, and within the deadline."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence

import pytest

from claimnotify.errors import ConnectFailed, DeadlineExceeded, ResponseBroken
from claimnotify.ports import HttpEngine
from claimnotify.testing.http_contract.case import NAME, OK, EngineCase, Names, post
from claimnotify.testing.raw_server import RawServer, answering, read_request

__all__ = ["FailureContract"]


@pytest.mark.asyncio
class FailureContract(EngineCase):
    """Refused, broken, trickling or silent peers, and names that do not resolve."""

    # failures

    async def test_a_refused_connection_is_connect_failed(self) -> None:
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            port = unused.getsockname()[1]
            async with self.engine() as engine:
                with pytest.raises(ConnectFailed) as caught:
                    await post(engine, f"http://127.0.0.1:{port}/")
        assert caught.value.sent is False
        assert "refused" in str(caught.value)
        assert "127.0.0.1" not in str(caught.value), "where a name leads is not the log's business"

    async def test_the_next_address_is_tried_when_one_refuses(self) -> None:
        names = Names(["127.0.0.2", "127.0.0.1"])
        async with RawServer(answering(OK)) as server, self.engine(resolver=names) as engine:
            assert (await post(engine, f"http://{NAME}:{server.port}/")).status == 200

    async def test_a_name_that_does_not_resolve_is_connect_failed(self) -> None:
        unknown = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        answers: tuple[Sequence[str] | OSError, ...] = (unknown, ())
        for answer in answers:
            async with self.engine(resolver=Names(answer)) as engine:
                with pytest.raises(ConnectFailed):
                    await post(engine, f"https://{NAME}/")

    @pytest.mark.parametrize(
        "response",
        [
            b"",  # the peer closes without a word
            b"220 mail.example.com ESMTP\r\n",  # it speaks something else
            b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            b"HTTP/1.1 200 OK\r\nX: " + b"a" * 300_000 + b"\r\n\r\n",
            b"HTTP/1.1 200 OK\r\n" + b"X: aaaaaaaaaaaaaaaaaaaa\r\n" * 3000 + b"\r\n",
            b"HTTP/1.1 103 Early Hints\r\nX: aaaaaaaaaaa\r\n\r\n" * 30_000 + OK,
        ],
    )
    async def test_a_broken_response_is_response_broken(self, response: bytes) -> None:
        async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await read_request(reader)
            writer.write(response)

        async with RawServer(peer) as server, self.engine() as engine:
            with pytest.raises(ResponseBroken) as caught:
                await post(engine, f"http://127.0.0.1:{server.port}/")
        assert caught.value.sent is True

    @pytest.mark.parametrize(
        "response",
        [
            b"HTTP/1.1 200 OK\r\nSet-Cookie : session=SECRET\r\nContent-Length: z\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nSECRET\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: SECRET\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nSECRET\r\n",
            b"HTTP/1.1 SECRET\r\n\r\n",
            b"SECRET\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nX : SECRET" + b"a" * 30_000 + b"\r\nA\x00: b\r\n\r\n",
        ],
    )
    async def test_the_error_repeats_nothing_that_the_peer_said(self, response: bytes) -> None:
        """It goes to logs and to the log of attempts, where secrets are cut out of headers."""
        async with RawServer(answering(response)) as server, self.engine() as engine:
            with pytest.raises(ResponseBroken) as caught:
                await post(engine, f"http://127.0.0.1:{server.port}/", deadline=5.0)
        assert "SECRET" not in f"{caught.value}{caught.value!r}"
        assert len(str(caught.value)) < 200

    @pytest.mark.parametrize(
        ("begin", "drip"),
        [
            (b"HTTP/1.1 200 OK\r\nX: ", b"a"),  # a header that never ends
            (b"HTTP/1.1 200 OK\r\n\r\n", b"a"),  # a body that never ends
            (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),  # a response that never begins
        ],
    )
    async def test_the_deadline_covers_a_response_that_trickles(
        self, begin: bytes, drip: bytes
    ) -> None:
        async def loris(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await read_request(reader)
            writer.write(begin)
            while True:
                writer.write(drip)
                await writer.drain()
                await asyncio.sleep(0.02)

        async with RawServer(loris) as server, self.engine() as engine:
            await self._exceeds(engine, f"http://127.0.0.1:{server.port}/", sent=True)
            await server.wait_until_open(0)

    async def test_the_deadline_covers_name_resolution(self) -> None:
        async def never(host: str, port: int) -> Sequence[str]:
            await asyncio.Event().wait()
            return []

        async with self.engine(resolver=never) as engine:
            await self._exceeds(engine, f"https://{NAME}/", sent=False)

    async def test_the_deadline_covers_the_tls_handshake(self) -> None:
        async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while await reader.read(1000):
                pass

        async with RawServer(silent) as server, self.engine() as engine:
            await self._exceeds(engine, f"https://127.0.0.1:{server.port}/", sent=False)

    async def test_works_after_every_kind_of_failure(self) -> None:
        answers = [b"", b"nonsense\r\n\r\n", OK]

        async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await read_request(reader)
            writer.write(answers.pop(0))

        async with RawServer(peer) as server, self.engine() as engine:
            url = f"http://127.0.0.1:{server.port}/"
            for _ in range(2):
                with pytest.raises(ResponseBroken):
                    await post(engine, url)
            assert (await post(engine, url)).status == 200

    async def _exceeds(self, engine: HttpEngine, url: str, *, sent: bool) -> None:
        began = asyncio.get_running_loop().time()
        with pytest.raises(DeadlineExceeded) as caught:
            await post(engine, url, deadline=0.3)
        assert caught.value.sent is sent
        assert asyncio.get_running_loop().time() - began < 2.0
