"""Receives webhooks in Django."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import wraps
from inspect import iscoroutinefunction
from typing import Any, TypeAlias

from django.db import connections, transaction
from django.http import HttpRequest, HttpResponse

from claimnotify.errors import ConfigurationError
from claimnotify.webhooks.receiving.intake import Admitted, Answer, Intake

__all__ = ["receives_webhooks"]

View: TypeAlias = Callable[..., Any]
_CHUNK = 64 * 1024


def receives_webhooks(intake: Intake) -> Callable[[View], View]:
    """Make a view of a function that takes the request, a verified webhook, and the URL's parts.

        @receives_webhooks(intake)
        def receive(request, webhook): ...

    The function may be a coroutine function. It returns a response, or None for 204. If it raises
    or answers with anything but a 2xx, the webhook is handled when it comes again. The body has
    been read: it is `webhook.body`. The view needs no CSRF token, as the signature says who sent
    it. With `ATOMIC_REQUESTS` the function, and not the view, is in the transaction, so that a
    webhook counts as handled only once that is committed. Django has no such transaction for
    coroutine functions: declare them `@transaction.non_atomic_requests`, below this decorator.

    Args:
        intake: Verifies and remembers.

    Raises:
        ConfigurationError: A coroutine function is to be in a transaction.
    """

    def decorate(handler: View) -> View:
        atomic = _atomic_aliases(handler)
        if iscoroutinefunction(handler):
            if atomic:
                raise ConfigurationError(
                    "ATOMIC_REQUESTS",
                    f"has no transaction for the coroutine function {handler.__qualname__}",
                    f"Put @transaction.non_atomic_requests(using={atomic[0]!r}) directly on it.",
                )
            view = _asynchronous(intake, handler)
        else:
            view = _synchronous(intake, handler, atomic)
        view = wraps(handler)(view)
        view.csrf_exempt = True  # type: ignore[attr-defined]  # what Django's own decorator sets
        for alias in connections:
            view = transaction.non_atomic_requests(using=alias)(view)
        return view

    return decorate


def _synchronous(intake: Intake, handler: View, atomic: Sequence[str]) -> View:
    for alias in atomic:
        handler = transaction.atomic(using=alias)(handler)

    def view(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        found = _admit(intake, request)
        if isinstance(found, Answer):
            return _response(found)
        succeeded = False
        try:
            response = _response(handler(request, found.webhook, *args, **kwargs))
            succeeded = 200 <= response.status_code < 300
        finally:
            intake.settle(found, succeeded=succeeded)
        return response

    return view


def _asynchronous(intake: Intake, handler: View) -> View:
    async def view(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        found = await asyncio.to_thread(_admit, intake, request)
        if isinstance(found, Answer):
            return _response(found)
        succeeded = False
        try:
            response = _response(await handler(request, found.webhook, *args, **kwargs))
            succeeded = 200 <= response.status_code < 300
        finally:
            await asyncio.to_thread(intake.settle, found, succeeded=succeeded)
        return response

    return view


def _admit(intake: Intake, request: HttpRequest) -> Admitted | Answer:
    """Read the body, no further than its limit, and ask the intake."""
    parts: list[bytes] = []
    size = 0
    while size <= intake.max_body and (part := request.read(_CHUNK)):
        parts.append(part)
        size += len(part)
    return intake.admit(b"".join(parts), request.headers)


def _atomic_aliases(handler: View) -> list[str]:
    """Return the databases in whose transactions Django would have put the handler, as a view."""
    exempt = getattr(handler, "_non_atomic_requests", ())  # what Django's own decorator sets
    return [
        alias
        for alias, settings in connections.settings.items()
        if settings["ATOMIC_REQUESTS"] and alias not in exempt
    ]


def _response(result: Any) -> HttpResponse:
    if isinstance(result, Answer):
        return HttpResponse(result.text, status=result.status, content_type="text/plain")
    return HttpResponse(status=204) if result is None else result
