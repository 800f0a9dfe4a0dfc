"""The HTTP engine with httpx's requests and responses over aiohttp's connections. Imports both."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator

import httpx
from aiohttp import StreamReader

from claimnotify.http.aiohttp_connection import FAILURES, AiohttpConnection, broken
from claimnotify.http.connecting import connect
from claimnotify.http.egress import EgressPolicy
from claimnotify.http.httpx_engine import HttpxEngine
from claimnotify.http.httpx_lane import HttpxLane
from claimnotify.http.lanes import Lane
from claimnotify.http.resolving import Resolver

__all__ = ["AiohttpTransport", "HttpxAiohttpEngine"]


class HttpxAiohttpEngine(HttpxEngine):
    """Sends httpx's requests over connections of aiohttp's. See `PooledEngine`."""

    def _new_lane(self, ssl_context: ssl.SSLContext | None) -> Lane[httpx.URL]:
        return HttpxLane(AiohttpTransport(self._policy, self._resolver, ssl_context))


class AiohttpTransport(httpx.AsyncBaseTransport):
    """A transport over one connection of aiohttp's: one request at a time, to one origin.

    Args:
        policy: Where it may connect to.
        resolver: Returns the addresses of (host, port).
        ssl_context: For https; None for http.
    """

    def __init__(
        self, policy: EgressPolicy, resolver: Resolver, ssl_context: ssl.SSLContext | None
    ) -> None:
        self.connection: AiohttpConnection | None = None
        self._policy = policy
        self._resolver = resolver
        self._ssl_context = ssl_context

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request whose body is in memory.

        Raises:
            ForbiddenDestination: The policy refuses the host, the port or one of the addresses.
            HttpEngineError: There is no response.
        """
        body = await request.aread()
        connection = self.connection
        if connection is None:
            url = request.url
            connection = self.connection = await connect(
                url.raw_host.decode("ascii"),
                url.port or (443 if self._ssl_context is not None else 80),
                policy=self._policy,
                resolver=self._resolver,
                protocol=AiohttpConnection,
                ssl_context=self._ssl_context,
            )
        try:
            message, payload = await connection.exchange(
                _head(request), body, method=request.method
            )
        except FAILURES as error:
            raise broken(error) from None
        return httpx.Response(
            message.code, headers=list(message.raw_headers), stream=_Body(connection, payload)
        )

    async def aclose(self) -> None:
        """Close the connection."""
        if self.connection is not None:
            await self.connection.aclose()


class _Body(httpx.AsyncByteStream):
    """A response's body as it arrives."""

    def __init__(self, connection: AiohttpConnection, payload: StreamReader) -> None:
        self._connection = connection
        self._payload = payload

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            while chunk := await self._payload.readany():
                yield chunk
        except FAILURES as error:
            raise broken(error) from None

    async def aclose(self) -> None:
        if self._payload.is_eof():
            self._connection.rest()
        else:
            self._connection.abort()


def _head(request: httpx.Request) -> bytes:
    lines = [b"%b: %b\r\n" % (name, value) for name, value in request.headers.raw]
    return b"%b %b HTTP/1.1\r\n%b\r\n" % (
        request.method.encode("ascii"),
        request.url.raw_path,
        b"".join(lines),
    )
