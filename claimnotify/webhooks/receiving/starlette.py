"""Receives webhooks in FastAPI, as a dependency, and in Starlette, as an endpoint; on asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from inspect import isawaitable, iscoroutinefunction
from typing import Any, TypeAlias

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from claimnotify.errors import ConfigurationError
from claimnotify.webhooks.receiving.intake import Admitted, Answer, Intake, ReceivedWebhook

__all__ = ["webhook_dependency", "webhook_endpoint"]

Handler: TypeAlias = Callable[[ReceivedWebhook], Any]
_RECEIVED = "claimnotify.received"


def webhook_dependency(intake: Intake) -> Callable[..., Awaitable[ReceivedWebhook]]:
    """Return a dependency for FastAPI's `Depends` that gives the verified webhook.

    A path operation that raises has failed, and the webhook is handled when it comes again; one
    that returns has succeeded, whatever its status. Either is noted before the answer goes out and
    background tasks run. Do not declare a body beside it.

    Args:
        intake: Verifies and remembers.

    Raises:
        ConfigurationError: FastAPI is older than 0.121, or (while a request is handled) a route
            depends on two intakes.
    """
    from fastapi import Depends

    async def handle(request: Request) -> AsyncIterator[ReceivedWebhook]:
        by, webhook = request.scope.get(_RECEIVED, (intake, None))
        if by is not intake:
            raise ConfigurationError(
                "webhook_dependency", "is declared for two intakes on one route", "Declare one."
            )
        if webhook is not None:  # declared for the router too, say; that one settles
            yield webhook
            return
        found = await _admit(intake, request)
        if isinstance(found, Answer):
            raise HTTPException(found.status, found.text)
        request.scope[_RECEIVED] = intake, found.webhook
        succeeded = False
        try:
            yield found.webhook
            succeeded = True
        finally:
            await asyncio.to_thread(intake.settle, found, succeeded=succeeded)

    try:
        # Else FastAPI comes back to the generator after the response and the background tasks.
        handled = Depends(handle, scope="function")
    except TypeError:
        raise ConfigurationError(
            "fastapi", "notes success only after background tasks", "Install 0.121 or newer."
        ) from None

    async def receive(webhook: ReceivedWebhook = handled) -> ReceivedWebhook:
        return webhook

    return receive


def webhook_endpoint(intake: Intake, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
    """Return an endpoint for Starlette's `Route`, to be given `methods=["POST"]`.

    Args:
        intake: Verifies and remembers.
        handler: Takes the webhook and returns a response, or None for 204. It may be a coroutine
            function; others run in a thread. If it raises or answers with anything but a 2xx, the
            webhook is handled when it comes again.
    """

    async def endpoint(request: Request) -> Response:
        found = await _admit(intake, request)
        if isinstance(found, Answer):
            return PlainTextResponse(found.text, found.status)
        succeeded = False
        try:
            response = await _called(handler, found.webhook)
            succeeded = 200 <= response.status_code < 300
        finally:
            await asyncio.to_thread(intake.settle, found, succeeded=succeeded)
        return response

    return endpoint


async def _admit(intake: Intake, request: Request) -> Admitted | Answer:
    """Read the body, no further than its limit, and ask the intake in a thread, as it may block."""
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        parts.append(part)
        size += len(part)
        if size > intake.max_body:
            break
    return await asyncio.to_thread(intake.admit, b"".join(parts), request.headers)


async def _called(handler: Handler, webhook: ReceivedWebhook) -> Response:
    if iscoroutinefunction(handler):
        result = await handler(webhook)
    else:
        result = await asyncio.to_thread(handler, webhook)
        if isawaitable(result):
            result = await result
    response: Response = Response(status_code=204) if result is None else result
    return response
