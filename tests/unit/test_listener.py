"""The receiver behind `claimnotify listen` answers whatever becomes of showing the request."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from claimnotify.cli.hearing import Heard
from claimnotify.cli.listening import Behaviour, Listener
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
