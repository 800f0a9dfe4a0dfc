"""One TCP or TLS connection on asyncio, as httpcore wants it: read, write, start TLS, abort.

Knows nothing of HTTP. Has no timeouts of its own: whoever awaits sets the deadline.
"""

from __future__ import annotations

import asyncio
import ssl

from claimnotify.http.connecting import failure_text

__all__ = ["Wire"]

_UNREAD_LIMIT = 64 * 1024


class Wire(asyncio.Protocol):
    """A connection: buffers what arrives, up to a limit, and waits where the peer is slow."""

    def __init__(self) -> None:
        self.written = False
        """Whether anything was handed over; the user of the wire sets it back."""
        self._transport: asyncio.Transport | None = None
        self._unread = bytearray()
        self._ended = False
        self._error: Exception | None = None
        self._paused_reading = False
        self._readable: asyncio.Future[None] | None = None
        self._writable: asyncio.Future[None] | None = None
        self._closed = asyncio.get_running_loop().create_future()

    @property
    def stale(self) -> bool:
        """Whether an idle connection is of no use: the peer closed it, or spoke out of turn."""
        transport = self._transport
        gone = transport is None or transport.is_closing()
        return gone or self._ended or bool(self._unread)

    async def read(self, limit: int) -> bytes:
        """Return what has arrived, at most `limit` bytes; empty at the end of the stream.

        Raises:
            OSError: The connection broke.
        """
        while not self._unread and not self._ended:
            self._readable = asyncio.get_running_loop().create_future()
            try:
                await self._readable
            finally:
                self._readable = None
        if not self._unread:
            if self._error is not None:
                raise ConnectionError(failure_text(self._error))
            return b""
        data = bytes(self._unread[:limit])
        del self._unread[:limit]
        if self._paused_reading and len(self._unread) < _UNREAD_LIMIT:
            self._paused_reading = False
            self._live().resume_reading()
        return data

    async def write(self, data: bytes) -> None:
        """Hand `data` over, waiting while the peer takes none.

        Raises:
            OSError: The connection broke.
        """
        transport = self._live()
        if self._error is not None or transport.is_closing():
            raise ConnectionError("the connection is closed")
        self.written = True
        transport.write(data)
        if self._writable is not None:
            await self._writable

    async def start_tls(self, context: ssl.SSLContext, server_hostname: str) -> None:
        """Speak TLS from here on, with a peer whose certificate is for `server_hostname`.

        Raises:
            OSError: The handshake failed; `ssl.SSLError` is one.
        """
        loop = asyncio.get_running_loop()
        transport = await loop.start_tls(
            self._live(), self, context, server_hostname=server_hostname
        )
        if transport is None:
            raise ConnectionError("the peer closed during the TLS handshake")
        self._transport = transport

    def abort(self) -> None:
        """Close at once, without waiting for a peer that might hold us up."""
        if self._transport is not None:
            self._transport.abort()

    async def aclose(self) -> None:
        """Close at once and wait until the socket is let go."""
        if self._transport is not None:
            self._transport.abort()
            await asyncio.wait([self._closed], timeout=1.0)

    # what asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # asyncio hands stream transports to Protocols

    def data_received(self, data: bytes) -> None:
        self._unread += data
        if len(self._unread) >= _UNREAD_LIMIT and not self._paused_reading:
            self._paused_reading = True
            self._live().pause_reading()
        self._wake(self._readable)

    def eof_received(self) -> bool:
        self._ended = True
        self._wake(self._readable)
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended = True
        self._error = self._error or exc
        self._wake(self._readable)
        self._wake(self._writable)
        self._wake(self._closed)

    def pause_writing(self) -> None:
        self._writable = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        self._wake(self._writable)
        self._writable = None

    def _live(self) -> asyncio.Transport:
        if self._transport is None:
            raise ConnectionError("the connection is closed")
        return self._transport

    @staticmethod
    def _wake(future: asyncio.Future[None] | None) -> None:
        if future is not None and not future.done():
            future.set_result(None)
