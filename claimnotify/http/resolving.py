"""Looks names up with the system's resolver, on threads of its own: a slow server blocks no other work."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeAlias

__all__ = ["Resolver", "SystemResolver"]

Resolver: TypeAlias = Callable[[str, int], Awaitable[Sequence[str]]]
"""Returns every address of (host, port); raises OSError if the name does not resolve."""


class SystemResolver:
    """Asks `getaddrinfo`.

    It cannot be called off once it runs, so look-ups whose deadline passed keep their thread until
    the system gives up; that is why they do not share the event loop's executor. Whoever asks for a
    name that is being looked up waits for the same answer, so that one name whose server is silent
    takes one thread and leaves the others to other names. Nothing is kept longer than that.

    Args:
        threads: How many look-ups run at the same time.
    """

    def __init__(self, threads: int = 32) -> None:
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="claimnotify-dns")
        self._running: dict[str, asyncio.Future[list[str]]] = {}

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        """Return the addresses of `host`, in the system's order of preference."""
        loop = asyncio.get_running_loop()
        answer = self._running.get(host)
        if answer is None or answer.get_loop() is not loop:
            answer = loop.run_in_executor(self._executor, _look_up, host, port)
            self._running[host] = answer
            answer.add_done_callback(lambda done: self._forget(host, done))
        found = await asyncio.shield(answer)
        return list(dict.fromkeys(found))

    def _forget(self, host: str, done: asyncio.Future[list[str]]) -> None:
        if self._running.get(host) is done:
            del self._running[host]
        if not done.cancelled():
            done.exception()  # nobody may be waiting any more, which is no fault

    def close(self) -> None:
        """Let go of the threads that are idle and call off what has not begun."""
        self._executor.shutdown(wait=False, cancel_futures=True)


def _look_up(host: str, port: int) -> list[str]:
    return [str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
