"""The HTTP engine over httpx: which connection carries a request, and for how long it is kept.

Every connection is a lane of its own (`httpx_lane`), kept in a stack per origin: httpx's pool looks
through all of its connections on each request, so one pool for many endpoints costs milliseconds.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, TypeAlias

from claimnotify.errors import DeadlineExceeded
from claimnotify.http.egress import EgressPolicy
from claimnotify.http.httpx_lane import Lane, make_ssl_context, parse_url
from claimnotify.http.resolving import Resolver, SystemResolver
from claimnotify.model.http import HttpRequest, HttpResponse

if TYPE_CHECKING:
    import httpx

__all__ = ["HttpxEngine"]

_KEEP_SECONDS = 4.0
"""How long an idle connection is kept: less than the 5 s after which common servers close theirs,
so that we rarely write to one that is about to go."""
_MOST_IDLE = 256
_MOST_KNOWN_URLS = 1024

_Key: TypeAlias = tuple[str, str, int]


class _Origin:
    """The connections to one scheme, host and port."""

    def __init__(self, key: _Key, most: int) -> None:
        self.key = key
        self.slots = asyncio.Semaphore(most)
        self.idle: deque[Lane] = deque()
        self.users = 0


class HttpxEngine:
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
        self._system_resolver = None if resolver is not None else SystemResolver()
        self._resolver: Resolver = resolver or self._system_resolver  # type: ignore[assignment]  # one of the two is there
        self._most = max_connections_per_origin
        self._given_context = ssl_context
        self._monotonic = monotonic
        self._origins: dict[_Key, _Origin] = {}
        self._idle: OrderedDict[Lane, tuple[_Origin, float]] = OrderedDict()
        self._urls: OrderedDict[str, tuple[httpx.URL, _Key]] = OrderedDict()
        self._sweeping: asyncio.TimerHandle | None = None

    async def send(self, request: HttpRequest) -> HttpResponse:
        """Send `request` and return the response, whatever its status; follow no redirect.

        Raises:
            ForbiddenDestination: The guard refuses the URL or an address of its host.
            ConnectFailed: Nothing was sent.
            DeadlineExceeded: The deadline passed; `sent` says whether the request was under way.
            ResponseBroken: The peer broke off after the request had gone out.
        """
        url, key = self._target(request.url)
        origin = self._origins.get(key)
        if origin is None:
            origin = self._origins[key] = _Origin(key, self._most)
        lane: Lane | None = None
        origin.users += 1
        try:
            async with asyncio.timeout(request.deadline), origin.slots:
                lane = self._lane(origin)
                response = await lane.exchange(url, request)
                if lane.reusable:
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
            self._forget_if_unused(origin)

    async def aclose(self) -> None:
        """Close every idle connection. Called on the loop that used the engine."""
        if self._sweeping is not None:
            self._sweeping.cancel()
            self._sweeping = None
        lanes = list(self._idle)
        self._idle.clear()
        self._origins.clear()
        await asyncio.gather(*(lane.aclose() for lane in lanes))
        if self._system_resolver is not None:
            self._system_resolver.close()

    @cached_property
    def _context(self) -> ssl.SSLContext:
        """The one TLS context: making another costs as much as twenty handshakes."""
        context = self._given_context or make_ssl_context()
        context.minimum_version = max(context.minimum_version, ssl.TLSVersion.TLSv1_2)
        return context

    def _target(self, text: str) -> tuple[httpx.URL, _Key]:
        """Return the URL, checked and parsed, and its origin."""
        known = self._urls.get(text)
        if known is None:
            where = self._policy.destination(text)
            known = (parse_url(text, where), (where.scheme, where.host, where.port))
            self._urls[text] = known
            if len(self._urls) > _MOST_KNOWN_URLS:
                self._urls.popitem(last=False)
        return known

    def _lane(self, origin: _Origin) -> Lane:
        """Return the connection used last, if it is still good, or room for a new one."""
        while origin.idle:
            lane = origin.idle.pop()
            del self._idle[lane]
            if lane.reusable:
                return lane
            lane.abort()
        context = self._context if origin.key[0] == "https" else None
        return Lane(self._policy, self._resolver, context)

    def _keep(self, origin: _Origin, lane: Lane) -> None:
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

    def _forget_if_unused(self, origin: _Origin) -> None:
        if not origin.users and not origin.idle and self._origins.get(origin.key) is origin:
            del self._origins[origin.key]
