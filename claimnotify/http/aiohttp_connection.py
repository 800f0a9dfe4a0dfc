"""One connection over aiohttp's protocol and parser: bytes out, one response in. Imports aiohttp.

No `aiohttp.ClientSession`: without it there are no redirects, cookies, proxies, netrc, content
codings or second tries to switch off, nor to pay for. That is more than half of a request's cost.
"""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import ClientError, StreamReader
from aiohttp.client_proto import ResponseHandler
from aiohttp.http import HttpProcessingError, RawResponseMessage

from claimnotify.errors import ConnectFailed, ResponseBroken
from claimnotify.http.headers import HEAD_LIMIT, most_bytes

__all__ = ["FAILURES", "AiohttpConnection", "broken"]

_BUFFER = 32 * 1024
"""Bytes of a body after twice which reading pauses."""
_LONGEST_FIELD = 32 * 1024

_PROBE = b"HTTP/1.1 299 Probe\r\nContent-Length: 0\r\n\r\n"
_PROBE_READ = (299, ((b"Content-Length", b"0"),))

FAILURES = (ClientError, HttpProcessingError, OSError)
"""What aiohttp raises where a response breaks off or is none."""


def broken(error: BaseException) -> ResponseBroken:
    """Return our error for one of `FAILURES`; it repeats nothing that the peer said."""
    text = error.strerror if isinstance(error, OSError) else None
    return ResponseBroken(text or f"the peer closed or spoke no HTTP: {type(error).__name__}")


def _head_size(data: bytes) -> int:
    """Return how long the head is that `data` begins with, or 0 if that is not beyond doubt."""
    end = data.find(b"\r\n\r\n") + 4
    plain = data.count(b"\n", 0, end) == data.count(b"\r\n", 0, end)
    return end if end > 3 and plain else 0


class AiohttpConnection(ResponseHandler):
    """A connection for one request at a time."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        super().__init__(loop=loop)
        self.written = False
        """Whether any of the last request may have reached the peer."""
        self._gone = loop.create_future()
        self._busy = False
        self._paused_once = False
        self._head_left = 0
        self._arrived = 0
        self._head_size = 0
        self._body: StreamReader | None = None
        self._spent = False
        self._expect(body=True)

    @property
    def stale(self) -> bool:
        """Whether no other request can go over it: closed, broken, spoken out of turn, half read."""
        transport = self.transport
        return self._spent or transport is None or transport.is_closing() or self.should_close

    async def exchange(
        self, head: bytes, body: bytes, *, method: str
    ) -> tuple[RawResponseMessage, StreamReader]:
        """Send a request and return the response's head, and its body to be read.

        Raises:
            ConnectFailed: The connection was closed before anything was sent.
            ClientError, HttpProcessingError, OSError: There is no response, see `FAILURES`.
        """
        transport = self.transport
        if transport is None or transport.is_closing():
            raise ConnectFailed("the peer closed the connection as soon as it had accepted it")
        if method == "HEAD":
            self._expect(body=False)
        self.written = self._busy = True
        self._head_left = HEAD_LIMIT
        self._arrived = 0
        transport.write(head + body)
        message, payload = await self.read()
        if message.code < 100:
            raise HttpProcessingError(message="the response's status is none")
        return message, payload

    def rest(self) -> None:
        """Take note that the response was read: whatever comes before the next request is stray."""
        self._busy = False
        body, self._body = self._body, None
        exact = body is not None and self._arrived == self._head_size + body.total_bytes
        transport = self.transport
        if transport is not None and transport.get_write_buffer_size():
            self._spent = True  # the peer answered before it had taken the whole request
        elif not exact and not self._at_a_beginning():
            self._spent = True

    def abort(self) -> None:
        """Close at once, without waiting for a peer that might hold us up."""
        self._spent = True
        if self.transport is not None:
            self.transport.abort()

    async def aclose(self) -> None:
        """Close at once and wait until the socket is let go."""
        self.abort()
        await asyncio.wait([self._gone], timeout=1.0)

    # what asyncio and aiohttp call

    def data_received(self, data: bytes) -> None:
        if data and not self._busy:  # a response to no request must not answer the next one
            self.abort()
            return
        if not data:  # aiohttp asks for what the parser held back, also where it was never paused
            if not self._paused_once:
                return
            self._paused_once = False
        if not self._arrived:
            self._head_size = _head_size(data)
        super().data_received(data)
        self._arrived += len(data)
        if self._body is not None and self._arrived > most_bytes(self._body.total_bytes):
            self._body.set_exception(HttpProcessingError(message="the body is mostly framing"))
            self.abort()
        if self._head_left:
            self._head_left = max(self._head_left - len(data), 0)
            if not self._head_left:
                self.set_exception(HttpProcessingError(message="the response's head is too long"))
                self.abort()

    def pause_reading(self) -> None:
        self._paused_once = True
        super().pause_reading()

    def feed_data(self, data: Any, size: int = 0) -> None:
        code = data[0].code
        if 100 <= code < 200 and code != 101:
            return  # interim: the response is still to come, and its head counts on
        self._head_left = 0
        self._body = data[1]
        super().feed_data(data, size)

    def eof_received(self) -> None:
        self._spent = True
        super().eof_received()

    def connection_lost(self, exc: BaseException | None) -> None:
        super().connection_lost(exc)
        if not self._gone.done():
            self._gone.set_result(None)

    def _at_a_beginning(self) -> bool:
        """Return whether the parser holds nothing that would become a part of the next response.

        It cannot be asked, but if it reads a response of ours as just that, nothing was before it.
        """
        if self._parser is None or self.should_close:
            return False
        try:
            messages, _, rest = self._parser.feed_data(_PROBE)
        except HttpProcessingError:
            return False
        read = [(message.code, message.raw_headers) for message, _ in messages]
        return read == [_PROBE_READ] and not rest

    def _expect(self, *, body: bool) -> None:
        self._spent = not body  # HEAD's parser reads no bodies, so no other request can follow
        self.set_response_params(
            skip_payload=not body,
            read_until_eof=True,
            auto_decompress=False,
            read_bufsize=_BUFFER,
            max_line_size=_LONGEST_FIELD,
            max_field_size=_LONGEST_FIELD,
        )
