"""A small HTTP/1.1 server on asyncio that hands whole requests to a function and sends its answers.

Knows nothing of webhooks. What a peer may do wrong costs no more than its own connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Self, TypeAlias

from claimnotify.testing.http_peer import Answer, Peer, Refusal, Request

__all__ = ["Handler", "HttpServer"]

_BACKLOG = 512

Handler: TypeAlias = Callable[[Request], Awaitable[Answer]]


class HttpServer:
    """Serves on the current loop; an async context manager.

    Args:
        handler: Returns the answer to a request.
        host: The address to listen on.
        port: The port, or 0 for a free one.
        largest_body: Bytes; a longer body is answered with 413.
        deadline: Seconds that a request may take to arrive, and an answer to be taken.
        idle: Seconds that a connection is kept on which nothing is asked.
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
        idle: float = 60.0,
        most_connections: int = 512,
        grace: float = 0.0,
        on_refusal: Callable[[Refusal], object] = lambda refusal: None,
    ) -> None:
        self.port = port
        """The port; the one that was picked, once it listens."""
        self._handler = handler
        self._host = host
        self._peer = partial(Peer, largest_body=largest_body, deadline=deadline, idle=idle)
        self._on_refusal = on_refusal
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
        peer = self._peer(reader, writer)
        try:
            if len(self._tasks) > self._most_connections:
                raise Refusal(503, "too many connections are open")
            while (request := await peer.request()) is not None:
                self._in_hand.add(task)
                await peer.answer(request.method, await self._handler(request))
                self._in_hand.discard(task)
                if self._closing or not peer.goes_on():
                    break
        except Refusal as refusal:
            self._on_refusal(refusal)
            with suppress(OSError, asyncio.CancelledError):
                await peer.refuse(refusal)
        except (OSError, asyncio.CancelledError):
            pass  # the peer went away, which is its right, or we are ending
        finally:
            self._tasks.discard(task)
            self._in_hand.discard(task)
            writer.close()
