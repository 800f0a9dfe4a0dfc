"""Every engine refuses every hostile URL without a look-up and without a packet."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from claimnotify.errors import ConnectFailed, ForbiddenDestination
from claimnotify.http.egress import EgressPolicy
from claimnotify.http.pooled_engine import PooledEngine
from claimnotify.model.http import HttpRequest
from tests.contract.engines import ENGINES
from tests.hostile_urls import HOSTILE_URLS, ORDINARY_URLS

_OUTWARD = {"socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"}


class _Audit:
    """Sees what Python's sockets are told to do; an audit hook cannot be taken out again."""

    seen: list[str] | None = None
    installed = False

    @classmethod
    def hook(cls, event: str, arguments: Any) -> None:
        if cls.seen is not None and event in _OUTWARD:
            cls.seen.append(event)

    @classmethod
    @contextmanager
    def watching(cls) -> Iterator[list[str]]:
        """Collect the calls that look up or connect."""
        if not cls.installed:
            sys.addaudithook(cls.hook)
            cls.installed = True
        cls.seen = []
        try:
            yield cls.seen
        finally:
            cls.seen = None


class _NoNames:
    """Notes what it is asked and finds nothing."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        return []


async def _send(engine: PooledEngine[Any], url: str) -> None:
    await engine.send(HttpRequest(method="POST", url=url, body=b"{}", deadline=5.0))


@pytest.mark.parametrize("engine_class", ENGINES)
async def test_a_hostile_url_is_refused_without_a_look_up_or_a_packet(
    engine_class: type[PooledEngine[Any]],
) -> None:
    names = _NoNames()
    engine = engine_class(EgressPolicy(), resolver=names)
    with _Audit.watching() as seen:
        for url in HOSTILE_URLS:
            with pytest.raises(ForbiddenDestination):
                await _send(engine, url)
    await engine.aclose()
    assert (names.asked, seen) == ([], [])


@pytest.mark.parametrize("engine_class", ENGINES)
async def test_an_ordinary_url_gets_as_far_as_a_look_up_of_its_name(
    engine_class: type[PooledEngine[Any]],
) -> None:
    names = _NoNames()
    engine = engine_class(EgressPolicy(), resolver=names)
    with _Audit.watching() as seen:
        for url in ORDINARY_URLS:
            with pytest.raises(ConnectFailed):
                await _send(engine, url)
    await engine.aclose()
    assert len(names.asked) == len(ORDINARY_URLS)
    assert all(name.isascii() and name == name.lower() for name in names.asked)
    assert seen == []


@pytest.mark.parametrize("engine_class", ENGINES)
async def test_the_audit_sees_a_look_up_and_a_connection(
    engine_class: type[PooledEngine[Any]],
) -> None:
    """So that an empty list means something."""
    engine = engine_class(EgressPolicy.unrestricted())
    with _Audit.watching() as seen:
        for url in ("http://localhost:1/", "http://127.0.0.1:1/"):
            with pytest.raises(ConnectFailed):
                await _send(engine, url)
    await engine.aclose()
    assert {"socket.getaddrinfo", "socket.connect"} <= set(seen)
