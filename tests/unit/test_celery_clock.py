"""The clock of a Celery worker: it rings what is due, survives outages, and keeps forks clean."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from claimnotify.errors import ConfigurationError, SchemaMissing, StoreUnavailable
from claimnotify.testing.dispatchers import RecordingDispatcher
from claimnotify.worker.celery_clock import DueClock

_SECONDS = 10.0


class _Notifier:
    """Says of each queue when something is due, or raises."""

    def __init__(self) -> None:
        self.dispatcher = RecordingDispatcher()
        self.due_at: dict[str, float] = {}
        self.error: Exception | None = None
        self.looks = 0

    def due_in(self, queue: str) -> timedelta | None:
        self.looks += 1
        if self.error is not None:
            raise self.error
        due_at = self.due_at.get(queue)
        return None if due_at is None else timedelta(seconds=due_at - time.monotonic())


def _wait(condition: Callable[[], Any]) -> None:
    pause = threading.Event()
    for _ in range(int(_SECONDS / 0.01)):
        if condition():
            return
        pause.wait(0.01)
    raise AssertionError("the condition did not come about")


@pytest.fixture
def notifier() -> _Notifier:
    return _Notifier()


@pytest.fixture
def clock(notifier: Any) -> Iterator[DueClock]:
    clock = DueClock(lambda: notifier, queues=("one", "two"))
    yield clock
    clock.stop()
    clock.join(_SECONDS)


def test_what_is_due_is_rung_for_and_nothing_else(notifier: _Notifier, clock: DueClock) -> None:
    notifier.due_at["one"] = time.monotonic() - 1
    clock.start()
    _wait(lambda: notifier.dispatcher.rings["one"] >= 2)
    assert notifier.dispatcher.rings["two"] == 0


def test_what_becomes_due_is_rung_for_then(notifier: _Notifier, clock: DueClock) -> None:
    """Not a second later, as it would be if the clock only looked every second."""
    due = notifier.due_at["two"] = time.monotonic() + 0.3
    clock.start()
    _wait(lambda: notifier.dispatcher.rings["two"])
    assert 0 <= time.monotonic() - due < 0.5


@pytest.mark.parametrize(
    "error",
    [
        StoreUnavailable("database_url", "cannot be reached", "Start it."),
        SchemaMissing("database_url", "lacks our tables", "Run claimnotify db upgrade."),
    ],
)
def test_a_database_that_cannot_be_used_is_said_once_and_tried_again(
    notifier: _Notifier, clock: DueClock, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    caplog.set_level("INFO", "claimnotify.worker")
    notifier.error = error
    clock.start()
    _wait(lambda: notifier.looks >= 3)
    notifier.error = None
    notifier.due_at["one"] = time.monotonic()
    _wait(lambda: notifier.dispatcher.rings["one"])
    _wait(lambda: "can be looked at again" in caplog.text)
    assert caplog.text.count("cannot be looked at") == 1


def test_an_unexpected_error_does_not_end_it(
    notifier: _Notifier, clock: DueClock, caplog: pytest.LogCaptureFixture
) -> None:
    notifier.error = RuntimeError("as told by the test")
    clock.start()
    _wait(lambda: "unexpected error" in caplog.text)
    notifier.error = None
    notifier.due_at["one"] = time.monotonic()
    _wait(lambda: notifier.dispatcher.rings["one"])


def test_a_wrong_configuration_ends_it_and_is_said(
    notifier: _Notifier, clock: DueClock, caplog: pytest.LogCaptureFixture
) -> None:
    notifier.error = ConfigurationError("secret_keys", "is needed", "Set it.")
    clock.start()
    clock.join(_SECONDS)
    assert notifier.looks == 1
    assert "secret_keys" in caplog.text
