"""The HTTP engine over httpx; each connection is a transport of its own.

httpx's pool looks through all of its connections on each request, so that one pool for many
endpoints would cost milliseconds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from claimnotify.http.destinations import Destination
from claimnotify.http.httpx_lane import HttpxLane, Transport, url_of
from claimnotify.http.lanes import Lane
from claimnotify.http.pooled_engine import PooledEngine

if TYPE_CHECKING:
    import httpx

__all__ = ["HttpxEngine"]


class HttpxEngine(PooledEngine["httpx.URL"]):
    """Sends requests over connections of httpcore's. See `PooledEngine`."""

    def _target(self, where: Destination) -> httpx.URL:
        return url_of(where)

    def _new_lane(self, *, secure: bool) -> Lane[httpx.URL]:
        return HttpxLane(Transport(self._connector, secure=secure))
