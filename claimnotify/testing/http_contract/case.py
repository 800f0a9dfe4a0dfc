"""What the parts of the engine's contract share: the engine under test, scripted names, a post."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from claimnotify.http.egress import EgressPolicy
from claimnotify.model.http import HttpRequest, HttpResponse
from claimnotify.ports import HttpEngine

__all__ = ["LOOPBACK", "METADATA", "NAME", "OK", "EngineCase", "Names", "post", "tls_contexts"]

NAME = "hooks.example.com"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
LOOPBACK = EgressPolicy(allow_networks=("127.0.0.0/8",), allow_http=True)
METADATA = "169.254.169.254"


class EngineCase:
    """Makes the engine under test."""

    def make_engine(
        self,
        policy: EgressPolicy,
        *,
        resolver: Callable[..., Any] | None = None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> HttpEngine:
        """Override: return the engine under test."""
        raise NotImplementedError("override make_engine")

    @asynccontextmanager
    async def engine(
        self, policy: EgressPolicy = LOOPBACK, **options: Any
    ) -> AsyncIterator[HttpEngine]:
        """Yield an engine and close it."""
        engine = self.make_engine(policy, **options)
        try:
            yield engine
        finally:
            await engine.aclose()


class Names:
    """A resolver that gives one scripted answer after another, the last one for ever."""

    def __init__(self, *answers: Sequence[str] | OSError) -> None:
        self._answers = list(answers)
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, OSError):
            raise answer
        return answer


async def post(engine: HttpEngine, url: str, **options: Any) -> HttpResponse:
    """Post a small body to `url`."""
    return await engine.send(
        HttpRequest(**{"method": "POST", "url": url, "body": b"{}", **options})
    )


def tls_contexts(name: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return a server's context with a certificate for `name`, and a client's that trusts it."""
    import trustme

    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(server)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    return server, client
