"""A real HTTP server on loopback that receives webhooks, verifies them and answers as told."""

from __future__ import annotations

import asyncio
import json
import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Self

from claimnotify.errors import WebhookVerificationError
from claimnotify.testing.http_peer import Answer, Request
from claimnotify.testing.http_server import HttpServer
from claimnotify.webhooks.signing import Webhook

__all__ = ["Received", "WebhookReceiver"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """One request that arrived.

    Args:
        id: Its `webhook-id`, or empty.
        type: The event type its body names, or empty.
        timestamp: Its `webhook-timestamp`, seconds since the Unix epoch, or 0.
        body: The bytes.
        headers: Header names in lower case.
        path: The request's target.
        verified: Whether its signature fits one of the receiver's secrets.
        status: What was answered.
    """

    id: str
    type: str
    timestamp: int
    body: bytes = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    path: str = "/"
    verified: bool
    status: int


class WebhookReceiver:
    """An HTTP/1.1 server on a thread of its own; a context manager.

        with WebhookReceiver() as receiver:
            endpoint, secret = notifier.endpoints.register(receiver.url, owner="cus_7")
            receiver.add_secret(secret)
            ...
            receiver.wait_for(1)

    The notifier must allow the address: `webhook_allow_networks=["127.0.0.0/8"]` and
    `webhook_allow_http=True`.

    Args:
        secrets: Signing secrets to verify with; more can be added.
        host: The address to listen on.
        port: The port, or 0 for a free one.
    """

    def __init__(self, *secrets: str, host: str = "127.0.0.1", port: int = 0) -> None:
        self.secrets = list(secrets)
        self.delay = timedelta(0)
        """How long to wait before each answer."""
        self._host = host
        self._port = port
        self._received: list[Received] = []
        self._answers: deque[tuple[int, int | None]] = deque()
        self._changed = threading.Condition()
        self._started = threading.Event()
        self._failure: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._serve()), name="webhook-receiver", daemon=True
        )
        self._thread.start()
        self._started.wait()
        if self._failure is not None:
            raise self._failure
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._loop is not None and self._stop is not None and self._thread is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join()

    @property
    def url(self) -> str:
        """Where to post to."""
        return f"http://{self._host}:{self._port}/webhooks"

    @property
    def received(self) -> list[Received]:
        """Every request so far, in order."""
        with self._changed:
            return list(self._received)

    @property
    def accepted(self) -> list[Received]:
        """The requests that were verified and answered with a 2xx."""
        return [each for each in self.received if each.verified and 200 <= each.status < 300]

    def add_secret(self, secret: str) -> None:
        """Verify with `secret` as well, from now on."""
        self.secrets.append(secret)

    def respond(self, *statuses: int, retry_after: int | None = None) -> None:
        """Answer the next requests with `statuses`, one each, and those after them with 200.

        Args:
            statuses: HTTP status codes.
            retry_after: Seconds to put into the Retry-After header of those answers.
        """
        with self._changed:
            self._answers.extend((status, retry_after) for status in statuses)

    def wait_for(self, count: int, timeout: float = 10.0) -> list[Received]:
        """Wait until `count` requests have arrived and return all so far.

        Args:
            count: How many.
            timeout: Seconds.

        Raises:
            TimeoutError: Fewer arrived in time.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: len(self._received) >= count, timeout):
                raise TimeoutError(
                    f"{len(self._received)} of {count} requests arrived in {timeout} s"
                )
            return list(self._received)

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        try:
            async with HttpServer(self._answer, host=self._host, port=self._port) as server:
                self._port = server.port
                self._started.set()
                await self._stop.wait()
        except OSError as error:
            self._failure = error
            self._started.set()

    async def _answer(self, request: Request) -> Answer:
        verified = self._verify(request.body, request.headers)
        with self._changed:
            status, retry_after = self._answers.popleft() if self._answers else (200, None)
        if self.delay:
            await asyncio.sleep(self.delay.total_seconds())
        self._keep(request, verified, status)
        headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
        return Answer.text(status, headers=headers)

    def _verify(self, body: bytes, headers: Mapping[str, str]) -> bool:
        for secret in tuple(self.secrets):
            try:
                Webhook(secret).verify(body, headers, json_parse=False)
            except WebhookVerificationError:
                continue
            return True
        return False

    def _keep(self, request: Request, verified: bool, status: int) -> None:
        timestamp = request.headers.get("webhook-timestamp", "")
        received = Received(
            id=request.headers.get("webhook-id", ""),
            type=_type(request.body),
            timestamp=int(timestamp) if timestamp.isdecimal() else 0,
            body=request.body,
            headers=request.headers,
            path=request.target,
            verified=verified,
            status=status,
        )
        with self._changed:
            self._received.append(received)
            self._changed.notify_all()


def _type(body: bytes) -> str:
    try:
        parsed = json.loads(body)
    except ValueError:
        return ""
    found = parsed.get("type") if isinstance(parsed, dict) else None
    return found if isinstance(found, str) else ""
