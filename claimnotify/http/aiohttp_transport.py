"""The HTTP engine with httpx's requests and responses over aiohttp's connections. Imports both."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
from aiohttp import StreamReader

from claimnotify.http.aiohttp_connection import FAILURES, AiohttpConnection, broken
from claimnotify.http.connecting import Connector
from claimnotify.http.httpx_engine import HttpxEngine
from claimnotify.http.httpx_lane import HttpxLane
from claimnotify.http.lanes import Lane

__all__ = ["AiohttpTransport", "HttpxAiohttpEngine"]


class HttpxAiohttpEngine(HttpxEngine):
    """Sends httpx's requests over connections of aiohttp's. See `PooledEngine`."""

    def _new_lane(self, *, secure: bool) -> Lane[httpx.URL]:
        return HttpxLane(AiohttpTransport(self._connector))


class AiohttpTransport(httpx.AsyncBaseTransport):
    """A transport over one connection of aiohttp's: one request at a time, to one origin.

    Args:
        connector: Makes the connection, within its policy.
    """

    def __init__(self, connector: Connector) -> None:
        self.connection: AiohttpConnection | None = None
        self._connector = connector

    @property
    def overread(self) -> bool:
        """Whether more was read than the last response; its connection would be stale then."""
        return False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request whose body is in memory.

        Raises:
            ForbiddenDestination: The policy refuses the host, the port or one of the addresses.
            HttpEngineError: There is no response.
        """
        body = await request.aread()
        connection = self.connection
        if connection is None:
            url, secure = request.url, request.url.scheme == "https"
            connection = self.connection = await self._connector.connect(
                url.raw_host.decode("ascii"),
                url.port or (443 if secure else 80),
                AiohttpConnection,
                secure=secure,
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
