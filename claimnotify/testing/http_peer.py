"""One connection of an HTTP/1.1 server: whole requests, within limits, and the answers to them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import h11

__all__ = ["Answer", "Peer", "Refusal", "Request"]

_CHUNK = 64 * 1024
_LONGEST_HEAD = 64 * 1024
_LINGER_SECONDS = 1.0
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


class Refusal(Exception):
    """A request that is not served: the status answered, and why."""

    def __init__(self, status: int, problem: str) -> None:
        self.status = status
        self.problem = problem
        super().__init__(status, problem)


class Peer:
    """One connection: reads its requests in turn and writes the answers.

    Args:
        reader: What comes.
        writer: Where answers go.
        largest_body: Bytes.
        deadline: Seconds that a request may take to arrive, and an answer to be taken.
        idle: Seconds to wait for a request to begin.
    """

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        largest_body: int,
        deadline: float,
        idle: float,
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._largest_body = largest_body
        self._deadline = deadline
        self._idle = idle
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=_LONGEST_HEAD)

    async def request(self) -> Request | None:
        """Return the next request, or None if the peer closed or has asked nothing for long.

        Raises:
            Refusal: It is malformed, too large or too slow.
        """
        try:
            if not self._http.trailing_data[0]:
                async with asyncio.timeout(self._idle):
                    first = await self._reader.read(_CHUNK)
                if first.startswith(_TLS):
                    raise Refusal(400, "this is TLS, and the server's URL begins with http://")
                self._http.receive_data(first)
        except TimeoutError:
            return None
        try:
            async with asyncio.timeout(self._deadline):
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
        if size > self._largest_body:
            raise Refusal(413, f"the body is longer than {self._largest_body} bytes")

    async def answer(self, method: str, answer: Answer) -> None:
        """Write the answer."""
        headers = dict(answer.headers)
        if answer.status not in _NO_CONTENT:
            headers["Content-Length"] = str(len(answer.body))
        response = h11.Response(
            status_code=answer.status, headers=list(headers.items()), reason=_phrase(answer.status)
        )
        bare = method == "HEAD" or answer.status in _NO_CONTENT
        async with asyncio.timeout(self._deadline):
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
