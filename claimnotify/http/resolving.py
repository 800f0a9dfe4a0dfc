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
    the system gives up; that is why they do not share the event loop's executor.

    Args:
        threads: How many look-ups run at the same time.
    """

    def __init__(self, threads: int = 16) -> None:
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="claimnotify-dns")

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        """Return the addresses of `host`, in the system's order of preference."""
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(self._executor, _look_up, host, port)
        return list(dict.fromkeys(found))

    def close(self) -> None:
        """Let go of the threads that are idle and call off what has not begun."""
        self._executor.shutdown(wait=False, cancel_futures=True)


def _look_up(host: str, port: int) -> list[str]:
    return [str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
