"""Looks names up with the system's resolver, on threads of its own: a slow server blocks no other work."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future
from typing import TypeAlias, TypeVar

from claimnotify.http.look_up_places import LookUpPlaces, Standing

__all__ = ["NoPlace", "Resolver", "SystemResolver"]

Resolver: TypeAlias = Callable[[str, int], Awaitable[Sequence[str]]]
"""Returns every address of (host, port); raises OSError if the name does not resolve."""

_PATIENCE = 0.5
"""Seconds to wait for a place, which is what many names of one domain at the same moment need."""

T = TypeVar("T")


class NoPlace(OSError):
    """A name was not looked up, because too many look-ups were under way."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.strerror = problem


class SystemResolver:
    """Asks `getaddrinfo`.

    It cannot be called off once it runs, so look-ups whose deadline passed keep their thread until
    the system gives up. Up to 256 run at the same time; `LookUpPlaces` says which, so that customers
    whose servers are silent do not hold up the others. Whoever asks for a name that is being looked
    up waits for the same answer, on whatever event loop. Addresses are not kept.

    The threads are made when they are needed and do not keep the process from ending.

    Args:
        look_up: Returns the addresses of (host, port), blocking; raises OSError if there are none.
        places: Says which names may be looked up at the same time.
    """

    def __init__(
        self,
        *,
        look_up: Callable[[str, int], Sequence[str]] | None = None,
        places: LookUpPlaces | None = None,
    ) -> None:
        self._look_up = look_up or _system_look_up
        self._places = places or LookUpPlaces()
        self._lock = threading.Lock()
        self._running: dict[str, Future[Sequence[str]]] = {}
        self._freed: Future[None] = _begun()

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        """Return the addresses of `host`, in the system's order of preference.

        Raises:
            NoPlace: Too many look-ups are under way: for a name that was slow at once, else after
                half a second.
            OSError: The name does not resolve.
        """
        ends = asyncio.get_running_loop().time() + _PATIENCE
        while True:
            freed = self._freed  # before asking: what is given back meanwhile counts
            answer = self._ask(host, port)
            if answer is not None:
                found: Sequence[str] = await asyncio.wrap_future(answer)
                return list(dict.fromkeys(found))
            if self._places.standing(host) is Standing.SLOW:
                raise NoPlace("its look-ups are slow and too many are under way")
            try:
                async with asyncio.timeout_at(ends):
                    await asyncio.wrap_future(freed)
            except TimeoutError:
                raise NoPlace("too many look-ups are under way") from None

    def _ask(self, host: str, port: int) -> Future[Sequence[str]] | None:
        """Return the look-up of `host` that is under way or begins; None if it has no place."""
        with self._lock:
            answer = self._running.get(host)
            if answer is not None or not self._places.take(host):
                return answer
            answer = self._running[host] = _begun()
        thread = threading.Thread(
            target=self._run, args=(host, port, answer), name="claimnotify-dns", daemon=True
        )
        try:
            thread.start()
        except RuntimeError:  # the system gives no more threads
            self._end(host)
            answer.set_exception(NoPlace("no thread is to be had"))
        return answer

    def _run(self, host: str, port: int, answer: Future[Sequence[str]]) -> None:
        try:
            found = self._look_up(host, port)
        except Exception as error:  # it is for whoever waits
            self._end(host)
            answer.set_exception(error)
        else:
            self._end(host)
            answer.set_result(found)

    def _end(self, host: str) -> None:
        with self._lock:
            del self._running[host]
            self._places.give_back(host)
            freed, self._freed = self._freed, _begun()
        freed.set_result(None)


def _begun() -> Future[T]:
    """Return a future that those who wait cannot cancel for each other."""
    future: Future[T] = Future()
    future.set_running_or_notify_cancel()
    return future


def _system_look_up(host: str, port: int) -> list[str]:
    return [str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
