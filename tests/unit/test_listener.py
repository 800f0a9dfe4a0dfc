"""The receiver behind `claimnotify listen` answers, whatever becomes of showing or forwarding."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import aclosing
from datetime import UTC, datetime, timedelta

import pytest

from claimnotify.cli.forwarding import Forwarder
from claimnotify.cli.hearing import Heard
from claimnotify.cli.listen_display import PlainText
from claimnotify.cli.listening import Behaviour, Listener
from claimnotify.http import make_engine
from claimnotify.testing.http_peer import Request

_NOW = datetime(2026, 11, 2, 12, tzinfo=UTC)


class _Broken:
    """A display that fails."""

    def listening(self, url: str, hints: Sequence[str]) -> None:
        raise NotImplementedError

    def heard(self, heard: Heard) -> None:
        raise RecursionError(heard.request.body)

    def refused(self, at: datetime, status: int, problem: str) -> None:
        raise NotImplementedError

    def ended(self, received: int, verified: int) -> None:
        raise NotImplementedError


async def test_an_error_while_showing_is_one_line_in_the_log_and_costs_no_answer(
    caplog: pytest.LogCaptureFixture,
) -> None:
    listener = Listener(verifiers=(), behaviour=Behaviour(), display=_Broken(), clock=lambda: _NOW)
    request = Request(method="POST", target="/", headers={}, body=b"private")
    with caplog.at_level(logging.ERROR, "claimnotify"):
        assert (await listener(request)).status == 204
    assert caplog.messages == ["a request could not be shown: RecursionError"]
    assert "private" not in caplog.text
    assert not listener.ended.is_set()


async def test_what_comes_back_is_answered_without_delay() -> None:
    """It is ourselves who wait for that answer."""
    async with aclosing(make_engine(None)) as engine:
        listener = Listener(
            verifiers=(),
            behaviour=Behaviour(delay=timedelta(hours=1)),
            display=PlainText(),
            clock=lambda: _NOW,
            forwarder=Forwarder("http://127.0.0.1:9/", engine, mark="ours"),
        )
        headers = {"claimnotify-listen": "theirs, ours,another"}
        request = Request(method="POST", target="/", headers=headers, body=b"{}")
        async with asyncio.timeout(10):
            assert (await listener(request)).status == 508
