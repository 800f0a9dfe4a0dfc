"""A TCP server on loopback that does whatever a test wants a peer to do, also to break the rules."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from typing import Self, TypeAlias

__all__ = ["Peer", "RawServer", "answering", "read_request"]

Peer: TypeAlias = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class RawServer:
    """Runs `peer` for each connection, on the current loop; an async context manager.

    Args:
        peer: Serves one connection; the connection is closed when it returns.
        ssl_context: To speak TLS.
        host: The address to listen on.
    """

    def __init__(
        self, peer: Peer, *, ssl_context: ssl.SSLContext | None = None, host: str = "127.0.0.1"
    ) -> None:
        self.port = 0
        self.connections = 0
        """How many were ever made."""
        self._peer = peer
        self._ssl_context = ssl_context
        self._host = host
        self._tasks: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(
            self._serve, self._host, self.port, ssl=self._ssl_context, backlog=512
        )
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def open(self) -> int:
        """How many connections are open now."""
        return len(self._tasks)

    async def wait_until_open(self, count: int, timeout: float = 5.0) -> None:
        """Wait until exactly `count` connections are open."""
        async with asyncio.timeout(timeout):
            while self.open != count:
                self._changed.clear()
                await self._changed.wait()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        self._changed.set()
        try:
            await self._peer(reader, writer)
        except (OSError, EOFError, asyncio.CancelledError):
            pass  # the client went away, which is its right, or the test is over
        finally:
            self._tasks.discard(task)
            self._changed.set()
            writer.close()


async def read_request(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """Return head and body of one request with a Content-Length.

    Raises:
        EOFError: The client closed.
    """
    head = await reader.readuntil(b"\r\n\r\n")
    length = 0
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    return head, await reader.readexactly(length)


def answering(response: bytes, requests: list[tuple[bytes, bytes]] | None = None) -> Peer:
    """Return a peer that answers every request with `response`, and notes them in `requests`."""

    async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            request = await read_request(reader)
            if requests is not None:
                requests.append(request)
            writer.write(response)
            await writer.drain()

    return peer
