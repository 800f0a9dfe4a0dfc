"""A keep-alive HTTP/1.1 server that counts the webhook-ids it gets, and can be slow or silent.

It verifies nothing and stores nothing else, so that it costs as little as a server in Python can.
Runs as a process of its own: `python -m sinks.http_sink HOST…`.
"""

from __future__ import annotations

import asyncio
import re
import sys
from functools import partial

from sinks.counting import Counted, obey

_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)
_ID = re.compile(rb"\r\nwebhook-id: *([^\r]+)", re.IGNORECASE)
_NUMBER = re.compile(rb'"number": ?([0-9]+)')
_OK = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"


class Connection(asyncio.Protocol):
    """One connection. Requests that come before the last was answered are answered in order."""

    def __init__(self, counted: Counted, *, silent: bool) -> None:
        self._counted = counted
        self._silent = silent
        self._unread = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer every request that is complete."""
        if self._silent:
            return
        self._unread += data
        while (end := self._unread.find(b"\r\n\r\n")) >= 0:
            head = self._unread[:end]
            length = _LENGTH.search(head)
            whole = end + 4 + (int(length[1]) if length else 0)
            if len(self._unread) < whole:
                return
            body, self._unread = self._unread[end + 4 : whole], self._unread[whole:]
            self._count(head, body)
            if self._counted.delay:
                asyncio.get_running_loop().call_later(self._counted.delay, self._answer)
            else:
                self._answer()

    def _count(self, head: bytes, body: bytes) -> None:
        found = _ID.search(head)
        number = _NUMBER.search(body) if self._counted.arrivals is not None else None
        self._counted.take(found[1] if found else b"", int(number[1]) if number else None)

    def _answer(self) -> None:
        if not self._transport.is_closing():
            self._transport.write(_OK)


async def serve(hosts: list[str]) -> None:
    """Listen on every host, on one port; where a minus is before it, never answer."""
    loop = asyncio.get_running_loop()
    counted = Counted()
    port, servers = 0, []
    for host in hosts:
        make = partial(Connection, counted, silent=host.startswith("-"))
        server = await loop.create_server(make, host.removeprefix("-"), port, backlog=1024)
        port = server.sockets[0].getsockname()[1]
        servers.append(server)
    await obey(counted, port=port)


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1:]))
