"""An SMTP server that accepts every mail, counts their Message-IDs and keeps nothing.

Runs as a process of its own: `python -m sinks.smtp_sink HOST`.
"""

from __future__ import annotations

import asyncio
import re
import sys
from functools import partial

from sinks.counting import Counted, obey

_ID = re.compile(rb"^message-id:\s*(\S+)", re.IGNORECASE | re.MULTILINE)
_END = b"\r\n.\r\n"
_HELLO = b"250-sink\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250 SIZE 10485760\r\n"
_REPLIES = {
    b"EHLO": _HELLO,
    b"HELO": b"250 sink\r\n",
    b"DATA": b"354 go on\r\n",
    b"QUIT": b"221 bye\r\n",
}
_FINE = b"250 ok\r\n"


class Session(asyncio.Protocol):
    """One connection (RFC 5321); it reads lines, and after DATA all up to the lone dot."""

    def __init__(self, counted: Counted) -> None:
        self._counted = counted
        self._unread = b""
        self._in_data = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(b"220 sink\r\n")

    def data_received(self, data: bytes) -> None:
        """Reply to every line, and to every mail."""
        self._unread += data
        while True:
            ending = _END if self._in_data else b"\r\n"
            end = self._unread.find(ending)
            if end < 0:
                return
            part, self._unread = self._unread[:end], self._unread[end + len(ending) :]
            if self._in_data:
                self._mail(part)
            else:
                self._command(part[:4].upper())

    def _command(self, verb: bytes) -> None:
        self._in_data = verb == b"DATA"
        self._transport.write(_REPLIES.get(verb, _FINE))
        if verb == b"QUIT":
            self._transport.close()

    def _mail(self, content: bytes) -> None:
        self._in_data = False
        found = _ID.search(content)
        self._counted.take(found[1] if found else b"")
        self._transport.write(_FINE)


async def serve(host: str) -> None:
    """Listen on a free port and obey."""
    counted = Counted()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(partial(Session, counted), host, 0, backlog=1024)
    await obey(counted, port=server.sockets[0].getsockname()[1])


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1]))
