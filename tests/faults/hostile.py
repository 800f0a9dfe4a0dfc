"""A webhook receiver that misbehaves when told to, and is a good one otherwise."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
import zlib
from collections import deque
from functools import cache
from typing import Literal, Self, TypeAlias

from claimnotify.testing.raw_server import RawServer, read_request
from claimnotify.webhooks import Webhook, WebhookVerificationError

__all__ = ["HostileReceiver", "Misdeed"]

Misdeed: TypeAlias = Literal["slow_loris", "reset", "reset_in_answer", "gzip_bomb"]

_DRIP_SECONDS = 0.1
_DELAY_SECONDS = 0.03
_BOMB_MEGABYTES = 256
_GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK"


@cache
def _bomb() -> bytes:
    """Return a quarter of a gigabyte of zeros, compressed to a megabyte."""
    squeeze = zlib.compressobj(1, zlib.DEFLATED, 31)
    zeros = bytes(1024 * 1024)
    return b"".join([*(squeeze.compress(zeros) for _ in range(_BOMB_MEGABYTES)), squeeze.flush()])


class HostileReceiver:
    """An HTTP server on a thread of its own; a context manager.

    A request to which it answers with a status has been received, a bomb included; one that it
    resets or answers without end has not.
    """

    def __init__(self) -> None:
        self._secrets: list[str] = []
        self._planned: deque[Misdeed] = deque()
        self._received: list[str] = []
        self._started = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="hostile", daemon=True)
        self.done = 0
        """How many misdeeds were done."""

    def __enter__(self) -> Self:
        self._thread.start()
        self._started.wait(10)
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        self._loop.close()

    @property
    def received(self) -> list[str]:
        """The ids received, in order."""
        return list(self._received)

    def add_secret(self, secret: str) -> None:
        """Verify with `secret` as well."""
        self._secrets.append(secret)

    def misbehave(self, misdeed: Misdeed) -> None:
        """Do `misdeed` to the next request."""
        if misdeed == "gzip_bomb":
            _bomb()  # made here, as that takes a while
        self._planned.append(misdeed)

    def _run(self) -> None:
        self._loop.run_until_complete(self._serve())

    async def _serve(self) -> None:
        async with RawServer(self._peer) as server:
            self.url = f"http://127.0.0.1:{server.port}/webhooks"
            self._started.set()
            await self._stop.wait()

    async def _peer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head, body = await read_request(reader)
            misdeed = self._planned.popleft() if self._planned else None
            if misdeed is None:
                await asyncio.sleep(_DELAY_SECONDS)
                self._keep(head, body)
                writer.write(_GOOD)
                await writer.drain()
                continue
            self.done += 1
            if misdeed == "slow_loris":
                await _drip(writer)
            elif misdeed == "gzip_bomb":
                self._keep(head, body)
                bomb = _bomb()
                writer.write(
                    b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Type: text/plain\r\n"
                    b"Content-Length: %d\r\n\r\n" % len(bomb)
                )
                writer.write(bomb)
                await writer.drain()
            else:
                if misdeed == "reset_in_answer":
                    writer.write(_GOOD[:12])
                    await writer.drain()
                _reset(writer)
                return

    def _keep(self, head: bytes, body: bytes) -> None:
        lines = (line.partition(b":") for line in head.split(b"\r\n")[1:])
        headers = {
            name.decode("latin-1").lower(): text.strip().decode("latin-1")
            for name, _, text in lines
        }
        for secret in self._secrets:
            try:
                Webhook(secret).verify(body, headers, json_parse=False)
            except WebhookVerificationError:
                continue
            self._received.append(headers["webhook-id"])
            return


async def _drip(writer: asyncio.StreamWriter) -> None:
    """Send an answer whose header never ends, a byte now and then, until the client has enough."""
    writer.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    while not writer.is_closing():
        writer.write(b"z")
        await writer.drain()
        await asyncio.sleep(_DRIP_SECONDS)


def _reset(writer: asyncio.StreamWriter) -> None:
    """Reset the connection, instead of closing it."""
    raw = writer.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
