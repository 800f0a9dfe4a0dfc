"""A small HTTP/1.1 server on asyncio: takes whole requests, within limits, and answers as it is told.

Knows nothing of webhooks. What a peer may do wrong costs no more than its own connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Self, TypeAlias

import h11

__all__ = ["Answer", "Handler", "HttpServer", "Refusal", "Request"]

_CHUNK = 64 * 1024
_LONGEST_HEAD = 64 * 1024
_IDLE_SECONDS = 60.0
_LINGER_SECONDS = 1.0
_BACKLOG = 512
_TLS = b"\x16\x03"
"""How a TLS handshake begins."""
_VERSIONS = frozenset({b"1.0", b"1.1"})
_NO_CONTENT = frozenset({204, 304})


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request that arrived whole.

    Args:
        method: `POST`, `GET` …
        target: What the request line names: path and query.
        headers: Header names in lower case; of repeated ones the last.
        body: The bytes, of a chunked body too.
    """

    method: str
    target: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What to answer.

    Args:
        status: The HTTP status code, 200 or more.
        headers: Names and values; `Content-Length` is added.
        body: The bytes; left out where the status or the method has none.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = field(default=b"", repr=False)

    @classmethod
    def text(
        cls, status: int, text: str = "", *, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Return an answer in plain text; the status' own phrase unless another text is given."""
        if status in _NO_CONTENT:
            return cls(status=status, headers=headers or {})
        said = {"Content-Type": "text/plain; charset=utf-8", **(headers or {})}
        return cls(status=status, headers=said, body=(text or _phrase(status)).encode())


Handler: TypeAlias = Callable[[Request], Awaitable[Answer]]


class Refusal(Exception):
    """A request that is not served: the status answered, and why."""

    def __init__(self, status: int, problem: str) -> None:
        self.status = status
        self.problem = problem
        super().__init__(status, problem)


class HttpServer:
    """Serves on the current loop; an async context manager.

    Args:
        handler: Returns the answer to a request.
        host: The address to listen on.
        port: The port, or 0 for a free one.
        largest_body: Bytes; a longer body is answered with 413.
        deadline: Seconds that a request may take to arrive, and an answer to be taken.
        most_connections: How many are open at once; a further one is answered with 503.
        grace: Seconds that requests in hand are given when the server ends.
        on_refusal: Told of every request that the handler never sees.

    Raises:
        OSError: On entering: the address cannot be listened on.
    """

    def __init__(
        self,
        handler: Handler,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        largest_body: int = 10 * 1024 * 1024,
        deadline: float = 30.0,
        most_connections: int = 512,
        grace: float = 0.0,
        on_refusal: Callable[[Refusal], object] = lambda refusal: None,
    ) -> None:
        self.port = port
        """The port; the one that was picked, once it listens."""
        self.handler = handler
        self.largest_body = largest_body
        self.deadline = deadline
        self.on_refusal = on_refusal
        self._host = host
        self._most_connections = most_connections
        self._grace = grace
        self._tasks: set[asyncio.Task[None]] = set()
        self._in_hand: set[asyncio.Task[None]] = set()
        self._closing = False

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(
            self._serve, self._host, self.port, backlog=_BACKLOG
        )
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._closing = True
        self._server.close()
        for task in self._tasks - self._in_hand:
            task.cancel()
        if self._grace and self._in_hand:
            await asyncio.wait(set(self._in_hand), timeout=self._grace)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        peer = _Peer(reader, writer, self)
        try:
            if len(self._tasks) > self._most_connections:
                raise Refusal(503, "too many connections are open")
            while (request := await peer.request()) is not None:
                self._in_hand.add(task)
                await peer.answer(request.method, await self.handler(request))
                self._in_hand.discard(task)
                if self._closing or not peer.goes_on():
                    break
        except Refusal as refusal:
            self.on_refusal(refusal)
            with suppress(OSError, asyncio.CancelledError):
                await peer.refuse(refusal)
        except (OSError, asyncio.CancelledError):
            pass  # the peer went away, which is its right, or we are ending
        finally:
            self._tasks.discard(task)
            self._in_hand.discard(task)
            writer.close()


class _Peer:
    """One connection: reads its requests in turn and writes the answers."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, server: HttpServer
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._server = server
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=_LONGEST_HEAD)

    async def request(self) -> Request | None:
        """Return the next request, or None if the peer closed or has asked nothing for long.

        Raises:
            Refusal: It is malformed, too large or too slow.
        """
        try:
            if not self._http.trailing_data[0]:
                async with asyncio.timeout(_IDLE_SECONDS):
                    first = await self._reader.read(_CHUNK)
                if first.startswith(_TLS):
                    raise Refusal(400, "this is TLS, and the server's URL begins with http://")
                self._http.receive_data(first)
        except TimeoutError:
            return None
        try:
            async with asyncio.timeout(self._server.deadline):
                return await self._whole()
        except TimeoutError:
            raise Refusal(408, "the request did not arrive in time") from None
        except h11.RemoteProtocolError as error:
            raise Refusal(error.error_status_hint, f"this is not HTTP/1.1: {error}") from None

    async def _whole(self) -> Request | None:
        head = await self._event()
        if not isinstance(head, h11.Request):
            return None
        if head.http_version not in _VERSIONS:
            raise Refusal(505, "this is not HTTP/1.1")
        headers = {
            name.decode("latin-1"): value.decode("latin-1")
            for name, value in head.headers  # h11 gives names in lower case
        }
        self._check_size(int(headers.get("content-length", "0")))
        if self._http.they_are_waiting_for_100_continue:
            await self._write(h11.InformationalResponse(status_code=100, headers=[]))
        body = bytearray()
        while isinstance(part := await self._event(), h11.Data):
            body += part.data
            self._check_size(len(body))
        return Request(
            method=head.method.decode("latin-1"),
            target=head.target.decode("latin-1"),
            headers=headers,
            body=bytes(body),
        )

    async def _event(self) -> Any:
        while (event := self._http.next_event()) is h11.NEED_DATA:
            self._http.receive_data(await self._reader.read(_CHUNK))
        return event

    def _check_size(self, size: int) -> None:
        if size > self._server.largest_body:
            raise Refusal(413, f"the body is longer than {self._server.largest_body} bytes")

    async def answer(self, method: str, answer: Answer) -> None:
        """Write the answer."""
        headers = dict(answer.headers)
        if answer.status not in _NO_CONTENT:
            headers["Content-Length"] = str(len(answer.body))
        response = h11.Response(
            status_code=answer.status, headers=list(headers.items()), reason=_phrase(answer.status)
        )
        bare = method == "HEAD" or answer.status in _NO_CONTENT
        async with asyncio.timeout(self._server.deadline):
            await self._write(
                response, h11.Data(data=b"" if bare else answer.body), h11.EndOfMessage()
            )

    def goes_on(self) -> bool:
        """Return whether another request may come, and be ready for it."""
        if self._http.our_state is not h11.DONE or self._http.their_state is not h11.DONE:
            return False
        self._http.start_next_cycle()
        return True

    async def refuse(self, refusal: Refusal) -> None:
        """Say why, and take for a moment what still comes: else the peer is reset before it reads."""
        if self._http.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            return
        headers = {"Connection": "close"}
        await self.answer("", Answer.text(refusal.status, refusal.problem, headers=headers))
        with suppress(TimeoutError):
            async with asyncio.timeout(_LINGER_SECONDS):
                self._writer.write_eof()
                while await self._reader.read(_CHUNK):
                    pass

    async def _write(self, *events: h11.Event) -> None:
        self._writer.write(b"".join([self._http.send(event) or b"" for event in events]))
        await self._writer.drain()


def _phrase(status: int) -> str:
    return HTTPStatus(status).phrase if status in set(HTTPStatus) else "Status"
