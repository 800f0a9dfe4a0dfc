"""The same small application that receives webhooks, in each framework and kind of handler."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from typing import Annotated, Any, Protocol

import httpx

from claimnotify.webhooks.receiving import Intake, ReceivedWebhook

__all__ = ["SITES", "Site"]

PATH = "/webhooks"


class Site(Protocol):
    """An application whose handler does what `handle` does; it answers 204 for None."""

    def __init__(self, intake: Intake, handle: Callable[[ReceivedWebhook], int | None]) -> None: ...

    def post(self, body: bytes | Iterable[bytes], headers: Mapping[str, str]) -> tuple[int, str]:
        """Send one request, in parts if the body is an iterable; return status and text."""


class _AsgiSite:
    app: Any

    def post(self, body: bytes | Iterable[bytes], headers: Mapping[str, str]) -> tuple[int, str]:
        return asyncio.run(self._post(body, headers))

    async def _post(self, body: Any, headers: Mapping[str, str]) -> tuple[int, str]:
        async def parts() -> AsyncIterator[bytes]:
            for part in body:
                yield part

        content = body if isinstance(body, bytes) else parts()
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://site.test") as client:
            answer = await client.post(PATH, content=content, headers=dict(headers))
        return answer.status_code, answer.text


class FastApiSite(_AsgiSite):
    """FastAPI, a plain function that depends on the webhook; it fails by raising."""

    def __init__(self, intake: Intake, handle: Callable[[ReceivedWebhook], int | None]) -> None:
        from fastapi import Depends, FastAPI, HTTPException

        from claimnotify.webhooks.receiving.starlette import webhook_dependency

        def succeed_or_raise(webhook: ReceivedWebhook) -> None:
            status = handle(webhook)
            if status is not None and status >= 300:
                raise HTTPException(status)

        self.app = FastAPI()
        webhooks = Annotated[ReceivedWebhook, Depends(webhook_dependency(intake))]
        self.app.post(PATH, status_code=204)(self.operation(succeed_or_raise, webhooks))

    def operation(self, handle: Callable[[ReceivedWebhook], None], annotated: Any) -> Any:
        def receive(webhook: annotated) -> None:
            handle(webhook)

        receive.__annotations__ = {"webhook": annotated, "return": None}
        return receive


class AsyncFastApiSite(FastApiSite):
    """FastAPI, a coroutine function that depends on the webhook."""

    def operation(self, handle: Callable[[ReceivedWebhook], None], annotated: Any) -> Any:
        async def receive(webhook: annotated) -> None:
            await asyncio.to_thread(handle, webhook)

        receive.__annotations__ = {"webhook": annotated, "return": None}
        return receive


class StarletteSite(_AsgiSite):
    """Starlette, a plain function."""

    def __init__(self, intake: Intake, handle: Callable[[ReceivedWebhook], int | None]) -> None:
        from starlette.applications import Starlette
        from starlette.responses import Response
        from starlette.routing import Route

        from claimnotify.webhooks.receiving.starlette import webhook_endpoint

        def receive(webhook: ReceivedWebhook) -> Response | None:
            status = handle(webhook)
            return None if status is None else Response(status_code=status)

        endpoint = webhook_endpoint(intake, self.handler(receive))
        self.app = Starlette(routes=[Route(PATH, endpoint, methods=["POST"])])

    def handler(self, receive: Callable[[ReceivedWebhook], Any]) -> Callable[..., Any]:
        return receive


class AsyncStarletteSite(StarletteSite):
    """Starlette, a coroutine function."""

    def handler(self, receive: Callable[[ReceivedWebhook], Any]) -> Callable[..., Any]:
        async def receive_async(webhook: ReceivedWebhook) -> Any:
            return await asyncio.to_thread(receive, webhook)

        return receive_async


class FlaskSite:
    """Flask, a plain function."""

    def __init__(self, intake: Intake, handle: Callable[[ReceivedWebhook], int | None]) -> None:
        from flask import Flask

        from claimnotify.webhooks.receiving.flask import receives_webhooks

        self.app = Flask("site")

        @self.app.post(PATH)
        @receives_webhooks(intake)
        def receive(webhook: ReceivedWebhook) -> Any:
            status = handle(webhook)
            return None if status is None else ("", status)

    def post(self, body: bytes | Iterable[bytes], headers: Mapping[str, str]) -> tuple[int, str]:
        options: dict[str, Any] = {"data": body}
        if not isinstance(body, bytes):
            options = {
                "input_stream": io.BytesIO(b"".join(body)),
                "environ_overrides": {"wsgi.input_terminated": True},
                "headers": {**headers, "Transfer-Encoding": "chunked"},
            }
        answer = self.app.test_client().post(PATH, **{"headers": dict(headers), **options})
        return answer.status_code, answer.text


def configure_django() -> None:
    """Give Django settings once: no database, and the middleware that asks for CSRF tokens."""
    import django
    from django.conf import settings

    if not settings.configured:
        settings.configure(
            ALLOWED_HOSTS=["*"],
            MIDDLEWARE=["django.middleware.csrf.CsrfViewMiddleware"],
            SECRET_KEY="a key for tests",
            USE_TZ=True,
        )
        django.setup()


class DjangoSite:
    """Django, a plain function."""

    def __init__(self, intake: Intake, handle: Callable[[ReceivedWebhook], int | None]) -> None:
        configure_django()
        from django.http import HttpRequest, HttpResponse
        from django.urls import path

        from claimnotify.webhooks.receiving.django import receives_webhooks

        def receive(request: HttpRequest, webhook: ReceivedWebhook) -> Any:
            assert request.path == PATH
            status = handle(webhook)
            return None if status is None else HttpResponse(status=status)

        view = receives_webhooks(intake)(self.handler(receive))
        self.urls = (path(PATH.removeprefix("/"), view),)

    def handler(self, receive: Callable[..., Any]) -> Callable[..., Any]:
        return receive

    def post(self, body: bytes | Iterable[bytes], headers: Mapping[str, str]) -> tuple[int, str]:
        answer = self.answer(body if isinstance(body, bytes) else b"".join(body), headers)
        return answer.status_code, answer.content.decode()

    def answer(self, body: bytes, headers: Mapping[str, str]) -> Any:
        from django.test import Client

        client = Client(enforce_csrf_checks=True, raise_request_exception=False)
        _use(self.urls)
        return client.post(PATH, body, content_type="application/json", headers=headers)


class AsyncDjangoSite(DjangoSite):
    """Django, a coroutine function, over ASGI."""

    def handler(self, receive: Callable[..., Any]) -> Callable[..., Awaitable[Any]]:
        async def receive_async(request: Any, webhook: ReceivedWebhook) -> Any:
            return await asyncio.to_thread(receive, request, webhook)

        return receive_async

    def answer(self, body: bytes, headers: Mapping[str, str]) -> Any:
        from django.test import AsyncClient

        client = AsyncClient(enforce_csrf_checks=True, raise_request_exception=False)

        async def post() -> Any:
            _use(self.urls)
            return await client.post(
                PATH, body, content_type="application/json", headers=dict(headers)
            )

        return asyncio.run(post())


def _use(patterns: tuple[Any, ...]) -> None:
    from django.conf import settings

    settings.ROOT_URLCONF = patterns


SITES: dict[str, Callable[..., Site]] = {
    "fastapi": FastApiSite,
    "fastapi-async": AsyncFastApiSite,
    "starlette": StarletteSite,
    "starlette-async": AsyncStarletteSite,
    "flask": FlaskSite,
    "django": DjangoSite,
    "django-async": AsyncDjangoSite,
}
