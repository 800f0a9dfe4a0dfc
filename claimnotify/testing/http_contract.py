"""What every `HttpEngine` must do, as a suite to subclass; runs against real sockets on loopback."""

from __future__ import annotations

import asyncio
import gzip
import socket
import ssl
import tracemalloc
import warnings
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from claimnotify.errors import (
    ConnectFailed,
    DeadlineExceeded,
    ForbiddenDestination,
    ResponseBroken,
)
from claimnotify.http.egress import EgressPolicy
from claimnotify.model.http import HttpRequest, HttpResponse
from claimnotify.ports import HttpEngine
from claimnotify.testing.raw_server import RawServer, answering, read_request

__all__ = ["HttpEngineContract"]

_NAME = "hooks.example.com"
_OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
_LOOPBACK = EgressPolicy(allow_networks=("127.0.0.0/8",), allow_http=True)
_METADATA = "169.254.169.254"


class _Names:
    """A resolver that gives one scripted answer after another, the last one for ever."""

    def __init__(self, *answers: Sequence[str] | OSError) -> None:
        self._answers = list(answers)
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, OSError):
            raise answer
        return answer


async def _post(engine: HttpEngine, url: str, **options: Any) -> HttpResponse:
    return await engine.send(
        HttpRequest(**{"method": "POST", "url": url, "body": b"{}", **options})
    )


@pytest.mark.asyncio
class HttpEngineContract:
    """Subclass it and define `make_engine`."""

    def make_engine(
        self,
        policy: EgressPolicy,
        *,
        resolver: Callable[..., Any] | None = None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> HttpEngine:
        """Return the engine under test."""
        raise NotImplementedError

    @asynccontextmanager
    async def engine(
        self, policy: EgressPolicy = _LOOPBACK, **options: Any
    ) -> AsyncIterator[HttpEngine]:
        """Yield an engine and close it."""
        engine = self.make_engine(policy, **options)
        try:
            yield engine
        finally:
            await engine.aclose()

    # what is sent and what comes back

    async def test_sends_the_request_as_given_and_returns_the_response(self) -> None:
        requests: list[tuple[bytes, bytes]] = []
        response = (
            b"HTTP/1.1 422 Nope\r\nX-One: 1\r\nX-Two: a\r\nx-two: b\r\nContent-Length: 3\r\n\r\nbad"
        )
        async with RawServer(answering(response, requests)) as server, self.engine() as engine:
            url = f"http://127.0.0.1:{server.port}/a%20b?c=d"
            got = await _post(engine, url, body=b"\x00raw", headers={"X-Mine": "yes"})
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
            got = await _post(
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
            await _post(engine, url, max_response_bytes=1000)  # warms up what is loaded lazily
            tracemalloc.start()
            got = await _post(engine, url, max_response_bytes=1000)
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            assert (got.body, got.truncated) == (b"x" * 1000, True)
            assert peak < 4_000_000
            await server.wait_until_open(0)

    async def test_a_body_of_exactly_the_cap_is_not_truncated(self) -> None:
        async with RawServer(answering(_OK)) as server, self.engine() as engine:
            got = await _post(engine, f"http://127.0.0.1:{server.port}/", max_response_bytes=2)
        assert (got.body, got.truncated) == (b"ok", False)

    async def test_follows_no_redirect(self) -> None:
        requests: list[tuple[bytes, bytes]] = []
        for status in (301, 302, 303, 307, 308):
            location = f"http://{_METADATA}/latest/meta-data/"
            response = f"HTTP/1.1 {status} Go\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n"
            peer = answering(response.encode(), requests)
            async with RawServer(peer) as server, self.engine() as engine:
                got = await _post(engine, f"http://127.0.0.1:{server.port}/")
            assert (got.status, got.headers["location"]) == (status, location)
        assert len(requests) == 5

    # connections

    async def test_keeps_a_connection_for_the_next_request(self) -> None:
        async with RawServer(answering(_OK)) as server, self.engine() as engine:
            for _ in range(5):
                await _post(engine, f"http://127.0.0.1:{server.port}/")
            assert server.connections == 1

    async def test_does_not_write_to_a_connection_the_peer_has_closed(self) -> None:
        async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await read_request(reader)
            writer.write(_OK)

        async with RawServer(once) as server, self.engine() as engine:
            for number in range(1, 6):
                got = await _post(engine, f"http://127.0.0.1:{server.port}/")
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
            writer.write(_OK)

        async with RawServer(together) as server, self.engine() as engine:
            url = f"http://127.0.0.1:{server.port}/"
            got = await asyncio.gather(*(_post(engine, url) for _ in range(30)))
        assert [each.status for each in got] == [200] * 30

    async def test_an_origin_that_never_answers_does_not_delay_another(self) -> None:
        async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()

        async with (
            RawServer(silent) as dead,
            RawServer(answering(_OK)) as alive,
            self.engine() as engine,
        ):
            stuck = [
                asyncio.create_task(_post(engine, f"http://127.0.0.1:{dead.port}/"))
                for _ in range(100)
            ]
            got = await _post(engine, f"http://127.0.0.1:{alive.port}/", deadline=2.0)
            for task in stuck:
                task.cancel()
            await asyncio.gather(*stuck, return_exceptions=True)
        assert got.status == 200

    async def test_closing_the_engine_closes_its_connections(self) -> None:
        async with RawServer(answering(_OK)) as server:
            async with self.engine() as engine:
                await _post(engine, f"http://127.0.0.1:{server.port}/")
            await server.wait_until_open(0)

    async def test_takes_no_proxy_from_the_environment(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async with (
            RawServer(answering(_OK)) as proxy,
            RawServer(answering(_OK)) as server,
        ):
            for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
                monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
                monkeypatch.setenv(name.lower(), f"http://127.0.0.1:{proxy.port}")
            async with self.engine(resolver=_Names(["127.0.0.1"])) as engine:
                await _post(engine, f"http://{_NAME}:{server.port}/")
            assert (proxy.connections, server.connections) == (0, 1)

    # the guard

    @pytest.mark.parametrize(
        "answers",
        [
            ["127.0.0.1"],
            ["93.184.216.34", "127.0.0.1"],
            ["127.0.0.1", "93.184.216.34"],
            ["::ffff:127.0.0.1"],
            ["2606:2800:220:1::1", "::1"],
            ["93.184.216.34", _METADATA],
            ["64:ff9b::7f00:1"],
            ["not an address"],
        ],
    )
    async def test_one_forbidden_address_refuses_the_name(self, answers: list[str]) -> None:
        async with RawServer(answering(_OK)) as server:
            policy = EgressPolicy(allow_http=True, allow_ports=(server.port,))
            async with self.engine(policy, resolver=_Names(answers)) as engine:
                with pytest.raises(ForbiddenDestination):
                    await _post(engine, f"http://{_NAME}:{server.port}/")
            assert server.connections == 0

    async def test_a_name_that_changes_its_answer_is_judged_by_what_is_connected_to(self) -> None:
        """One look-up per connection: there is no second answer to be tricked with."""
        names = _Names(["127.0.0.1"], [_METADATA])

        async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await read_request(reader)
            writer.write(_OK.replace(b"\r\n", b"\r\nConnection: close\r\n", 1))

        async with RawServer(once) as server, self.engine(resolver=names) as engine:
            url = f"http://{_NAME}:{server.port}/"
            assert (await _post(engine, url)).status == 200
            assert names.asked == [_NAME]
            with pytest.raises(ForbiddenDestination):
                await _post(engine, url)
            assert server.connections == 1

    async def test_connects_to_the_address_but_names_the_host(self) -> None:
        requests: list[tuple[bytes, bytes]] = []
        async with (
            RawServer(answering(_OK, requests)) as server,
            self.engine(resolver=_Names(["127.0.0.1"])) as engine,
        ):
            await _post(engine, f"http://{_NAME}:{server.port}/")
            assert f"host: {_NAME}:{server.port}\r\n".encode() in requests[0][0].lower()

    @pytest.mark.parametrize(
        "url",
        [
            f"http://{_METADATA}/latest/",
            "http://127.0.0.1:{port}/",
            "http://2130706433:{port}/",
            "https://user:pass@example.com/",
            "ftp://example.com/",
            "http://localhost:{port}/",
        ],
    )
    async def test_a_forbidden_url_is_refused_without_a_connection(self, url: str) -> None:
        names = _Names(["127.0.0.1"])
        async with RawServer(answering(_OK)) as server:
            policy = EgressPolicy(allow_http=True, allow_ports=(server.port,))
            async with self.engine(policy, resolver=names) as engine:
                with pytest.raises(ForbiddenDestination):
                    await _post(engine, url.replace("{port}", str(server.port)))
            assert (server.connections, names.asked) == (0, [])

    async def test_the_port_rule_holds_for_a_public_name_and_not_for_an_allowed_network(
        self,
    ) -> None:
        async with RawServer(answering(_OK)) as server:
            url = f"http://{_NAME}:{server.port}/"
            async with self.engine(resolver=_Names(["93.184.216.34"])) as engine:
                with pytest.raises(ForbiddenDestination):
                    await _post(engine, url)
            async with self.engine(resolver=_Names(["127.0.0.1"])) as engine:
                assert (await _post(engine, url)).status == 200

    # TLS

    async def test_the_certificate_and_server_name_are_the_hosts(self) -> None:
        server_context, client_context = _tls(_NAME)
        names: list[str | None] = []
        server_context.sni_callback = lambda _socket, name, _context: names.append(name)
        async with (
            RawServer(answering(_OK), ssl_context=server_context) as server,
            self.engine(resolver=_Names(["127.0.0.1"]), ssl_context=client_context) as engine,
        ):
            for _ in range(2):
                assert (await _post(engine, f"https://{_NAME}:{server.port}/")).status == 200
            assert (names, server.connections) == ([_NAME], 1)

    async def test_a_certificate_for_another_name_is_refused(self) -> None:
        server_context, client_context = _tls("other.example.com")
        await self._refuses_tls(server_context, client_context)

    async def test_a_certificate_of_an_unknown_authority_is_refused(self) -> None:
        server_context, _ = _tls(_NAME)
        await self._refuses_tls(server_context, ssl.create_default_context())

    async def test_tls_older_than_1_2_is_refused(self) -> None:
        server_context, client_context = _tls(_NAME)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            for context in (server_context, client_context):
                context.minimum_version = ssl.TLSVersion.TLSv1
                context.set_ciphers("ALL:@SECLEVEL=0")
            server_context.maximum_version = ssl.TLSVersion.TLSv1_1
        await self._refuses_tls(server_context, client_context)

    async def _refuses_tls(
        self, server_context: ssl.SSLContext, client_context: ssl.SSLContext
    ) -> None:
        requests: list[tuple[bytes, bytes]] = []
        async with (
            RawServer(answering(_OK, requests), ssl_context=server_context) as server,
            self.engine(resolver=_Names(["127.0.0.1"]), ssl_context=client_context) as engine,
        ):
            with pytest.raises(ConnectFailed):
                await _post(engine, f"https://{_NAME}:{server.port}/")
        assert requests == []

    # failures

    async def test_a_refused_connection_is_connect_failed(self) -> None:
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            port = unused.getsockname()[1]
            async with self.engine() as engine:
                with pytest.raises(ConnectFailed) as caught:
                    await _post(engine, f"http://127.0.0.1:{port}/")
        assert caught.value.sent is False

    async def test_the_next_address_is_tried_when_one_refuses(self) -> None:
        names = _Names(["127.0.0.2", "127.0.0.1"])
        async with RawServer(answering(_OK)) as server, self.engine(resolver=names) as engine:
            assert (await _post(engine, f"http://{_NAME}:{server.port}/")).status == 200

    async def test_a_name_that_does_not_resolve_is_connect_failed(self) -> None:
        unknown = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        answers: tuple[Sequence[str] | OSError, ...] = (unknown, ())
        for answer in answers:
            async with self.engine(resolver=_Names(answer)) as engine:
                with pytest.raises(ConnectFailed):
                    await _post(engine, f"https://{_NAME}/")

    @pytest.mark.parametrize(
        "response",
        [
            b"",  # the peer closes without a word
            b"220 mail.example.com ESMTP\r\n",  # it speaks something else
            b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            b"HTTP/1.1 200 OK\r\nX: " + b"a" * 300_000 + b"\r\n\r\n",
            b"HTTP/1.1 200 OK\r\n" + b"X: aaaaaaaaaaaaaaaaaaaa\r\n" * 3000 + b"\r\n",
        ],
    )
    async def test_a_broken_response_is_response_broken(self, response: bytes) -> None:
        async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await read_request(reader)
            writer.write(response)

        async with RawServer(peer) as server, self.engine() as engine:
            with pytest.raises(ResponseBroken) as caught:
                await _post(engine, f"http://127.0.0.1:{server.port}/")
        assert caught.value.sent is True

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
            await self._exceeds(engine, f"https://{_NAME}/", sent=False)

    async def test_the_deadline_covers_the_tls_handshake(self) -> None:
        async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while await reader.read(1000):
                pass

        async with RawServer(silent) as server, self.engine() as engine:
            await self._exceeds(engine, f"https://127.0.0.1:{server.port}/", sent=False)

    async def test_works_after_every_kind_of_failure(self) -> None:
        answers = [b"", b"nonsense\r\n\r\n", _OK]

        async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await read_request(reader)
            writer.write(answers.pop(0))

        async with RawServer(peer) as server, self.engine() as engine:
            url = f"http://127.0.0.1:{server.port}/"
            for _ in range(2):
                with pytest.raises(ResponseBroken):
                    await _post(engine, url)
            assert (await _post(engine, url)).status == 200

    async def _exceeds(self, engine: HttpEngine, url: str, *, sent: bool) -> None:
        began = asyncio.get_running_loop().time()
        with pytest.raises(DeadlineExceeded) as caught:
            await _post(engine, url, deadline=0.3)
        assert caught.value.sent is sent
        assert asyncio.get_running_loop().time() - began < 2.0


def _tls(name: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return a server's context with a certificate for `name`, and a client's that trusts it."""
    import trustme

    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(server)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    return server, client
