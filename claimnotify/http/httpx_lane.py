"""One connection over httpx, and the translation to and from it; the only module that imports it.

No `httpx.AsyncClient`: with a bare transport there are no redirects, cookies, proxies or content
codings to switch off.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterable
from contextlib import aclosing
from typing import Any

import httpcore
import httpx

from claimnotify.errors import ConnectFailed, HttpEngineError, ResponseBroken
from claimnotify.http.destinations import Destination, refusal
from claimnotify.http.egress import EgressPolicy
from claimnotify.http.resolving import Resolver
from claimnotify.http.wire import Wire, connect, failure_text
from claimnotify.model.http import HttpRequest, HttpResponse

__all__ = ["Lane", "make_ssl_context", "parse_url"]

_HEADER_LIMIT = 32 * 1024


def make_ssl_context() -> ssl.SSLContext:
    """Return a context that verifies certificates: SSL_CERT_FILE or SSL_CERT_DIR, else certifi's."""
    return httpx.create_ssl_context()


def parse_url(text: str, where: Destination) -> httpx.URL:
    """Return a URL that was checked, in httpx's form and without its fragment.

    Raises:
        ForbiddenDestination: httpx cannot read it.
    """
    try:
        return httpx.URL(text).copy_with(host=where.host, fragment=None)
    except httpx.InvalidURL:
        raise refusal("is not a valid URL") from None


class Lane(httpx.AsyncHTTPTransport):
    """A transport with room for one connection, which it makes when first used.

    Args:
        policy: Where it may connect to.
        resolver: Returns the addresses of (host, port).
        ssl_context: For https; None for http.
    """

    def __init__(
        self, policy: EgressPolicy, resolver: Resolver, ssl_context: ssl.SSLContext | None
    ) -> None:
        self._backend = _Backend(policy, resolver)
        # httpx has no way to be given a network backend, so its pool is made here; its own
        # constructor would make one of its own, and another TLS context with it.
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=ssl_context, max_connections=1, network_backend=self._backend
        )
        self._used_up = False

    @property
    def sent(self) -> bool:
        """Whether any of the last request may have reached the peer."""
        wire = self._backend.wire
        return wire is not None and wire.written

    @property
    def reusable(self) -> bool:
        """Whether another request can go over the same connection."""
        wire = self._backend.wire
        return not self._used_up and (wire is None or not wire.stale)

    async def exchange(self, url: httpx.URL, request: HttpRequest) -> HttpResponse:
        """Send the request and read the response, up to its cap.

        Raises:
            ForbiddenDestination: The guard refused the connection.
            HttpEngineError: It did not come to a response.
        """
        if self._backend.wire is not None:
            self._backend.wire.written = False
        self._used_up = True
        try:
            response = await self.handle_async_request(_outgoing(url, request))
            headers = _headers(response.headers.raw)
            body, truncated = await _read(response, request.max_response_bytes)
        except (httpx.TransportError, httpx.InvalidURL) as error:
            raise self._failure(error) from None
        self._used_up = truncated
        return HttpResponse(
            status=response.status_code, headers=headers, body=body, truncated=truncated
        )

    def abort(self) -> None:
        """Close the connection at once."""
        if self._backend.wire is not None:
            self._backend.wire.abort()

    async def aclose(self) -> None:
        """Close the connection at once and wait until its socket is let go."""
        if self._backend.wire is not None:
            await self._backend.wire.aclose()

    def _failure(self, error: Exception) -> HttpEngineError:
        problem = failure_text(error)
        if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout) or not self.sent:
            return ConnectFailed(problem)
        return ResponseBroken(problem)


def _outgoing(url: httpx.URL, request: HttpRequest) -> httpx.Request:
    given = {name.lower(): value for name, value in request.headers.items()}
    headers = {**given, "accept-encoding": "identity"}
    return httpx.Request(request.method, url, headers=headers, content=request.body)


def _headers(raw: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    headers = list(raw)
    if sum(len(name) + len(value) for name, value in headers) > _HEADER_LIMIT:
        raise ResponseBroken(f"the response's headers exceed {_HEADER_LIMIT} bytes")
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in headers}


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

    def __init__(self, policy: EgressPolicy, resolver: Resolver) -> None:
        self.wire: Wire | None = None
        self._policy = policy
        self._resolver = resolver

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        self.wire = await connect(host, port, policy=self._policy, resolver=self._resolver)
        return _Stream(self.wire)


class _Stream(httpcore.AsyncNetworkStream):
    """A wire in httpcore's terms. Timeouts are the engine's: one deadline for everything."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        try:
            return await self._wire.read(max_bytes)
        except OSError as error:
            raise httpcore.ReadError(failure_text(error)) from None

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
