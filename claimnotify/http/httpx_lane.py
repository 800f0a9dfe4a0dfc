"""A lane over an httpx transport, the translation to and from it, and the transport over httpcore.

No `httpx.AsyncClient`: with a bare transport there are no redirects, cookies, proxies or content
codings to switch off.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterable
from contextlib import aclosing
from typing import Any, Protocol

import httpcore
import httpx

from claimnotify.errors import ConnectFailed, HttpEngineError, ResponseBroken
from claimnotify.http.connecting import Connector, failure_text
from claimnotify.http.destinations import Destination, refusal
from claimnotify.http.headers import HEAD_LIMIT, most_bytes, received, sendable
from claimnotify.http.lanes import Connection, Lane
from claimnotify.http.wire import Wire
from claimnotify.model.http import HttpRequest, HttpResponse

__all__ = ["HttpxLane", "OneConnection", "Transport", "url_of"]

_MOST = "claimnotify.max_response_bytes"


class OneConnection(Protocol):
    """An httpx transport with room for one connection, which it makes when first used."""

    @property
    def connection(self) -> Connection | None:
        """The connection, once there is one."""

    @property
    def overread(self) -> bool:
        """Whether more was read than the last response, to be taken for the next one."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request. See `httpx.AsyncBaseTransport`."""


def url_of(where: Destination) -> httpx.URL:
    """Return a URL that was checked, in httpx's form.

    Raises:
        ForbiddenDestination: httpx cannot read it.
    """
    try:
        return httpx.URL(f"{where.scheme}://{where.authority}{where.target}")
    except httpx.InvalidURL:
        raise refusal("is not a valid URL") from None


class HttpxLane(Lane[httpx.URL]):
    """A lane over any transport of one connection."""

    def __init__(self, transport: OneConnection) -> None:
        self._transport = transport

    @property
    def connection(self) -> Connection | None:
        return self._transport.connection

    @property
    def reusable(self) -> bool:
        return super().reusable and not self._transport.overread

    async def exchange(self, target: httpx.URL, request: HttpRequest) -> HttpResponse:
        if self.connection is not None:
            self.connection.written = False
        try:
            response = await self._transport.handle_async_request(_outgoing(target, request))
            headers = received(response.status_code, response.headers.raw)
            body, truncated = await _read(response, request.max_response_bytes)
        except (httpx.TransportError, httpx.InvalidURL) as error:
            raise self._failure(error) from None
        return HttpResponse(
            status=response.status_code, headers=headers, body=body, truncated=truncated
        )

    def _failure(self, error: Exception) -> HttpEngineError:
        # Not in its own words: they repeat what the peer said, which may be a secret, or long.
        problem = "the peer closed or spoke no HTTP"
        if isinstance(error, httpx.LocalProtocolError):
            problem = "the request is none that HTTP allows"
        failed = f"{problem}: {type(error).__name__}"
        if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout) or not self.sent:
            return ConnectFailed(failed)
        return ResponseBroken(failed)


class Transport(httpx.AsyncHTTPTransport):
    """A transport over one connection of httpcore's.

    Args:
        connector: Makes the connection, within its policy.
        secure: Whether it is for https.
    """

    def __init__(self, connector: Connector, *, secure: bool) -> None:
        self._backend = _Backend(connector)
        # httpx has no way to be given a network backend, so its pool is made here; its own
        # constructor would make one of its own, and another TLS context with it.
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=connector.ssl_context if secure else None,
            max_connections=1,
            network_backend=self._backend,
        )

    @property
    def connection(self) -> Wire | None:
        return self._backend.wire

    @property
    def overread(self) -> bool:
        # httpcore keeps what follows a response for the next one and has no way to be asked. Where
        # its insides have other names than these, no connection is used twice.
        for each in self._pool.connections:
            state = getattr(getattr(each, "_connection", None), "_h11_state", None)
            if state is None or state.trailing_data[0]:
                return True
        return False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        backend = self._backend
        backend.left, backend.problem = HEAD_LIMIT, "the response's head is too long"
        response = await super().handle_async_request(request)
        backend.left = most_bytes(request.extensions[_MOST])
        backend.problem = "the response's body is mostly framing"
        return response


def _outgoing(url: httpx.URL, request: HttpRequest) -> httpx.Request:
    return httpx.Request(
        request.method,
        url,
        headers={**sendable(request), "accept-encoding": "identity"},
        content=request.body,
        extensions={_MOST: request.max_response_bytes},
    )


async def _read(response: httpx.Response, most: int) -> tuple[bytes, bool]:
    """Return at most `most` raw bytes of the body, and whether there was more (left unread)."""
    body = bytearray()
    try:
        async with aclosing(response.aiter_raw()) as chunks:  # type: ignore[type-var]  # a generator
            async for chunk in chunks:
                body += chunk
                if len(body) > most:
                    break
    finally:
        await response.aclose()
    return bytes(body[:most]), len(body) > most


class _Backend(httpcore.AsyncNetworkBackend):
    """Makes httpcore's connections: to checked addresses only."""

    def __init__(self, connector: Connector) -> None:
        self.wire: Wire | None = None
        self.left = HEAD_LIMIT
        """How many bytes may still come of the part of the response that is being read."""
        self.problem = ""
        """What is wrong if more come."""
        self._connector = connector

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        self.wire = await self._connector.connect(host, port, Wire, secure=False)  # TLS comes later
        return _Stream(self, self.wire)


class _Stream(httpcore.AsyncNetworkStream):
    """A wire in httpcore's terms. Timeouts are the engine's: one deadline for everything."""

    def __init__(self, backend: _Backend, wire: Wire) -> None:
        self._backend = backend
        self._wire = wire

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        backend = self._backend
        if backend.left <= 0:
            raise ResponseBroken(backend.problem)
        try:
            data = await self._wire.read(max_bytes)
        except OSError as error:
            failed = ResponseBroken if self._wire.written else ConnectFailed
            raise failed(failure_text(error)) from None
        backend.left -= len(data)
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        try:
            await self._wire.write(buffer)
        except OSError as error:
            raise httpcore.WriteError(failure_text(error)) from None

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.AsyncNetworkStream:
        try:
            await self._wire.start_tls(ssl_context, server_hostname or "")
        except OSError as error:
            self._wire.abort()
            raise ConnectFailed(failure_text(error)) from None
        return self

    async def aclose(self) -> None:
        self._wire.abort()

    def get_extra_info(self, info: str) -> Any:
        return self._wire.stale if info == "is_readable" else None
