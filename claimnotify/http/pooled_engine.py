"""What all HTTP engines share: deadlines, checked URLs, and which connection carries a request.

Every connection is a lane of its own, kept in a stack per origin, so that taking one costs the same
however many are idle. An engine adds what its lanes are made of.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from abc import ABC, abstractmethod
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Generic, TypeAlias, TypeVar

from claimnotify.errors import DeadlineExceeded
from claimnotify.http.connecting import Connector
from claimnotify.http.deadlines import Deadlines
from claimnotify.http.destinations import Destination
from claimnotify.http.egress import EgressPolicy
from claimnotify.http.lanes import Lane
from claimnotify.http.resolving import Resolver, SystemResolver
from claimnotify.model.http import HttpRequest, HttpResponse

__all__ = ["PooledEngine"]

_KEEP_SECONDS = 4.0
"""How long an idle connection is kept: less than the 5 s after which common servers close theirs,
so that we rarely write to one that is about to go."""
_MOST_IDLE = 256
_MOST_KNOWN_URLS = 1024

T = TypeVar("T")
_Key: TypeAlias = tuple[str, str, int]


class _Origin(Generic[T]):
    """The connections to one scheme, host and port."""

    __slots__ = ("idle", "key", "slots", "users")

    def __init__(self, key: _Key, most: int) -> None:
        self.key = key
        self.slots = asyncio.Semaphore(most)
        self.idle: deque[Lane[T]] = deque()
        self.users = 0


class PooledEngine(ABC, Generic[T]):
    """Sends requests within an egress policy. See `claimnotify.ports.HttpEngine`.

    Memory is bounded by the requests under way and 256 idle connections, however many origins
    there are. To be used on one event loop.

    Args:
        policy: Where requests may go.
        resolver: Returns the addresses of (host, port); the system's resolver unless given.
        max_connections_per_origin: Requests beyond this number wait, their deadline running.
        ssl_context: Whom to trust; certifi's list, or SSL_CERT_FILE, unless given. TLS older than
            1.2 is switched off in it.
        monotonic: Seconds that never go back.
    """

    def __init__(
        self,
        policy: EgressPolicy,
        *,
        resolver: Resolver | None = None,
        max_connections_per_origin: int = 64,
        ssl_context: ssl.SSLContext | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._policy = policy
        self._connector = Connector(policy, resolver or SystemResolver(), ssl_context)
        self._most = max_connections_per_origin
        self._monotonic = monotonic
        self._deadlines = Deadlines()
        self._origins: dict[_Key, _Origin[T]] = {}
        self._idle: OrderedDict[Lane[T], tuple[_Origin[T], float]] = OrderedDict()
        self._urls: OrderedDict[str, tuple[T, _Key]] = OrderedDict()
        self._sweeping: asyncio.TimerHandle | None = None

    @abstractmethod
    def _target(self, where: Destination) -> T:
        """Return the form in which lanes take a URL that was checked; kept for its next requests."""

    @abstractmethod
    def _new_lane(self, *, secure: bool) -> Lane[T]:
        """Return a lane for https or, if it need not be `secure`, for http."""

    async def send(self, request: HttpRequest) -> HttpResponse:
        """Send `request` and return the response. See `claimnotify.ports.HttpEngine.send`."""
        target, key = self._urls.get(request.url) or self._checked(request.url)
        origin = self._origins.get(key)
        if origin is None:
            origin = self._origins[key] = _Origin(key, self._most)
        lane: Lane[T] | None = None
        origin.users += 1
        try:
            with self._deadlines.within(request.deadline):
                async with origin.slots:
                    lane = self._lane(origin)
                    response = await lane.exchange(target, request)
                    if lane.reusable and not response.truncated:
                        self._keep(origin, lane)
                        lane = None
                    return response
        except TimeoutError:
            sent = lane is not None and lane.sent
            raise DeadlineExceeded(f"no response in {request.deadline:g} s", sent=sent) from None
        finally:
            if lane is not None:
                lane.abort()
            origin.users -= 1
            if not origin.idle:
                self._forget_if_unused(origin)

    async def aclose(self) -> None:
        """Close every idle connection. Called on the loop that used the engine."""
        if self._sweeping is not None:
            self._sweeping.cancel()
            self._sweeping = None
        self._deadlines.close()
        lanes = list(self._idle)
        self._idle.clear()
        self._origins.clear()
        await asyncio.gather(*(lane.aclose() for lane in lanes))

    def _checked(self, url: str) -> tuple[T, _Key]:
        """Return the URL, checked and parsed, and its origin."""
        where = self._policy.destination(url)
        known = (self._target(where), (where.scheme, where.host, where.port))
        self._urls[url] = known
        if len(self._urls) > _MOST_KNOWN_URLS:
            self._urls.popitem(last=False)
        return known

    def _lane(self, origin: _Origin[T]) -> Lane[T]:
        """Return the connection used last, if it is still good, or room for a new one."""
        while origin.idle:
            lane = origin.idle.pop()
            del self._idle[lane]
            if lane.reusable:
                return lane
            lane.abort()
        return self._new_lane(secure=origin.key[0] == "https")

    def _keep(self, origin: _Origin[T], lane: Lane[T]) -> None:
        origin.idle.append(lane)
        self._idle[lane] = (origin, self._monotonic())
        if len(self._idle) > _MOST_IDLE:
            self._drop_oldest()
        if self._sweeping is None:
            self._sweep_later()

    def _sweep_later(self) -> None:
        self._sweeping = asyncio.get_running_loop().call_later(_KEEP_SECONDS, self._sweep)

    def _sweep(self) -> None:
        """Close what has been idle for too long."""
        self._sweeping = None
        before = self._monotonic() - _KEEP_SECONDS
        while self._idle and next(iter(self._idle.values()))[1] <= before:
            self._drop_oldest()
        if self._idle:
            self._sweep_later()

    def _drop_oldest(self) -> None:
        lane, (origin, _) = self._idle.popitem(last=False)
        origin.idle.popleft()  # the oldest of all is the oldest of its origin
        lane.abort()
        self._forget_if_unused(origin)

    def _forget_if_unused(self, origin: _Origin[T]) -> None:
        if not origin.users and not origin.idle and self._origins.get(origin.key) is origin:
            del self._origins[origin.key]
