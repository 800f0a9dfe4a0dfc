"""The HTTP engine over aiohttp's protocol and parser. Imports aiohttp."""

from __future__ import annotations

from aiohttp import StreamReader

from claimnotify.http.aiohttp_connection import FAILURES, AiohttpConnection, broken
from claimnotify.http.connecting import Connector
from claimnotify.http.destinations import Destination
from claimnotify.http.headers import received, sendable
from claimnotify.http.lanes import Lane
from claimnotify.http.pooled_engine import PooledEngine
from claimnotify.model.http import HttpRequest, HttpResponse

__all__ = ["AiohttpEngine"]

_WITHOUT_BODY = frozenset({"GET", "HEAD"})


class AiohttpEngine(PooledEngine[Destination]):
    """Sends requests over connections of aiohttp's. See `PooledEngine`."""

    def _target(self, where: Destination) -> Destination:
        return where

    def _new_lane(self, *, secure: bool) -> Lane[Destination]:
        return _Lane(self._connector, secure=secure)


class _Lane(Lane[Destination]):
    connection: AiohttpConnection | None = None

    def __init__(self, connector: Connector, *, secure: bool) -> None:
        self._connector = connector
        self._secure = secure

    async def exchange(self, target: Destination, request: HttpRequest) -> HttpResponse:
        head = _head(target, request)
        connection = self.connection
        if connection is None:
            connection = self.connection = await self._connector.connect(
                target.host, target.port, AiohttpConnection, secure=self._secure
            )
        try:
            message, payload = await connection.exchange(head, request.body, method=request.method)
            headers = received(message.code, message.raw_headers)
            body = await _read(payload, request.max_response_bytes)
        except FAILURES as error:
            raise broken(error) from None
        connection.rest()
        most = request.max_response_bytes
        return HttpResponse(
            status=message.code, headers=headers, body=body[:most], truncated=len(body) > most
        )


def _head(where: Destination, request: HttpRequest) -> bytes:
    headers = [f"{name}: {value}\r\n" for name, value in sendable(request).items()]
    if request.body or request.method not in _WITHOUT_BODY:
        headers.append(f"content-length: {len(request.body)}\r\n")
    text = (
        f"{request.method} {where.target} HTTP/1.1\r\nhost: {where.authority}\r\n"
        f"accept-encoding: identity\r\n{''.join(headers)}\r\n"
    )
    return text.encode("ascii")


async def _read(payload: StreamReader, most: int) -> bytes:
    """Return the raw body; one byte more than `most` where it is longer, and the rest unread."""
    if payload.is_eof():  # as it mostly is: head and body come in one piece
        return payload.read_nowait(most + 1)
    body = bytearray()
    while len(body) <= most:
        chunk = await payload.readany()
        if not chunk:
            break
        body += chunk
    return bytes(body[: most + 1])
