"""Draining inside a task: for a while, one drain per queue, whatever strikes the task's thread."""

from __future__ import annotations

import signal
import threading
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from celery.exceptions import SoftTimeLimitExceeded

from claimnotify.errors import StoreUnavailable
from claimnotify.testing.dispatchers import RecordingDispatcher
from claimnotify.worker.celery_shifts import Hours, Shifts

_SECONDS = 10.0


class _Drain:
    """A drain whose work is to wait until it is let go or stopped."""

    def __init__(self, ended: dict[str, int], *, endless: bool, error: Exception | None) -> None:
        self._ended = Counter(ended)
        self._error = error
        self.begun = threading.Event()
        self.stopped = False
        self._go = threading.Event()
        if not endless:
            self._go.set()

    def let_go(self) -> None:
        self._go.set()

    def stop(self) -> None:
        self.stopped = True
        self._go.set()

    def until_idle(self) -> Counter[str]:
        self.begun.set()
        assert self._go.wait(_SECONDS)
        if self._error is not None:
            raise self._error
        return self._ended


class _JobDrain(_Drain):
    """One of jobs: what is under way goes on when it is stopped, and ends when it is hastened."""

    def __init__(self, ended: dict[str, int], *, endless: bool, error: Exception | None) -> None:
        super().__init__(ended, endless=endless, error=error)
        self.hastened: list[tuple[float, bool]] = []

    def stop(self) -> None:
        self.stopped = True

    def hasten(self, grace: timedelta, *, ending: bool) -> None:
        self.hastened.append((grace.total_seconds(), ending))
        self.let_go()


class _Notifier:
    def __init__(self) -> None:
        self.dispatcher = RecordingDispatcher()
        self.drains: list[_Drain] = []
        self.endless = False
        self.error: Exception | None = None
        self.kind = _Drain

    def queue_drain(self, queue: str) -> _Drain:
        ended = {"delivered": 1 + len(self.drains)}
        self.drains.append(self.kind(ended, endless=self.endless, error=self.error))
        return self.drains[-1]


@pytest.fixture
def notifier() -> _Notifier:
    return _Notifier()


def _shifts(notifier: Any, stopping: Callable[[], bool] = lambda: False) -> Shifts:
    return Shifts(lambda: notifier, stopping=stopping)


def _aside(work: Callable[[], Any]) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def _wait(condition: Callable[[], Any]) -> None:
    pause = threading.Event()
    for _ in range(int(_SECONDS / 0.01)):
        if condition():
            return
        pause.wait(0.01)
    raise AssertionError("the condition did not come about")


def test_a_shift_says_what_became_of_the_deliveries(notifier: _Notifier) -> None:
    assert _shifts(notifier).work("notifications", Hours(length=60)) == {"delivered": 1}
    assert not notifier.dispatcher.rings


def test_a_ring_during_a_shift_makes_it_look_again(notifier: _Notifier) -> None:
    """In a pool of threads a second task may run beside the first; it does not drain as well."""
    shifts, ended = _shifts(notifier), []
    notifier.endless = True
    first = _aside(lambda: ended.append(shifts.work("notifications", Hours(length=60))))
    _wait(lambda: notifier.drains and notifier.drains[0].begun.is_set())
    notifier.endless = False
    assert shifts.work("notifications", Hours(length=60)) == {}
    assert len(notifier.drains) == 1
    notifier.drains[0].let_go()
    first.join(_SECONDS)
    assert len(notifier.drains) == 2
    assert ended == [{"delivered": 3}]


def test_queues_are_drained_beside_each_other(notifier: _Notifier) -> None:
    shifts = _shifts(notifier)
    notifier.endless = True
    threads = [
        _aside(lambda name=name: shifts.work(name, Hours(length=60))) for name in ("one", "two")
    ]
    _wait(lambda: len(notifier.drains) == 2)
    for drain in notifier.drains:
        drain.let_go()
    for thread in threads:
        thread.join(_SECONDS)
        assert not thread.is_alive()


def test_a_shift_that_is_over_stops_and_rings_for_the_rest(notifier: _Notifier) -> None:
    notifier.endless = True
    assert _shifts(notifier).work("notifications", Hours(length=0.01)) == {"delivered": 1}
    assert notifier.drains[0].stopped
    assert notifier.dispatcher.rings == {"notifications": 1}


def test_a_worker_that_shuts_down_ends_the_shift(notifier: _Notifier) -> None:
    notifier.endless = True
    stopping = threading.Event()
    shift = _aside(
        lambda: _shifts(notifier, stopping.is_set).work("notifications", Hours(length=60))
    )
    _wait(lambda: notifier.drains and notifier.drains[0].begun.is_set())
    assert not notifier.drains[0].stopped
    stopping.set()
    shift.join(_SECONDS)
    assert notifier.drains[0].stopped
    assert notifier.dispatcher.rings == {"notifications": 1}


def test_a_soft_time_limit_ends_the_shift_in_order(notifier: _Notifier) -> None:
    """Celery raises it by a signal, wherever the main thread is; the drain is on another."""

    def raise_it(_signum: int, _frame: Any) -> None:
        raise SoftTimeLimitExceeded(1)

    notifier.endless = True
    before = signal.signal(signal.SIGALRM, raise_it)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        assert _shifts(notifier).work("notifications", Hours(length=60)) == {"delivered": 1}
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert notifier.drains[0].stopped
    assert notifier.dispatcher.rings == {"notifications": 1}


@pytest.fixture
def jobs(notifier: _Notifier) -> _Notifier:
    """A notifier whose queue has a job that does not end by itself."""
    notifier.kind, notifier.endless = _JobDrain, True
    return notifier


def _drain(notifier: _Notifier) -> _JobDrain:
    _wait(lambda: notifier.drains and notifier.drains[0].begun.is_set())
    drain = notifier.drains[0]
    assert isinstance(drain, _JobDrain)
    return drain


def test_the_end_of_a_shift_lets_jobs_end(jobs: _Notifier) -> None:
    shift = _aside(lambda: _shifts(jobs).work("processing", Hours(length=0.01, grace=2)))
    drain = _drain(jobs)
    _wait(lambda: drain.stopped)
    assert not drain.hastened
    drain.let_go()
    shift.join(_SECONDS)
    assert jobs.dispatcher.rings == {"processing": 1}


def test_before_a_hard_limit_jobs_are_given_back(jobs: _Notifier) -> None:
    _shifts(jobs).work("processing", Hours(length=0.01, grace=2, limit=7))
    ((grace, ending),) = _drain(jobs).hastened
    assert 5 < grace < 7
    assert not ending


def test_a_worker_that_shuts_down_has_jobs_given_back(jobs: _Notifier) -> None:
    stopping = threading.Event()
    shifts = _shifts(jobs, stopping.is_set)
    shift = _aside(lambda: shifts.work("processing", Hours(length=60, grace=2)))
    drain = _drain(jobs)
    stopping.set()
    shift.join(_SECONDS)
    assert drain.hastened == [(2, True)]
    assert jobs.dispatcher.rings == {"processing": 1}


def test_a_soft_limit_has_jobs_given_back(jobs: _Notifier) -> None:
    def raise_it(_signum: int, _frame: Any) -> None:
        raise SoftTimeLimitExceeded(1)

    before = signal.signal(signal.SIGALRM, raise_it)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        _shifts(jobs).work("processing", Hours(length=60, grace=2))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert _drain(jobs).hastened == [(2, False)]


def test_a_database_that_is_down_fails_no_task(
    notifier: _Notifier, caplog: pytest.LogCaptureFixture
) -> None:
    """The clock rings again when it can be looked at."""
    notifier.error = StoreUnavailable("database_url", "cannot be reached", "Start it.")
    assert _shifts(notifier).work("notifications", Hours(length=60)) == {}
    assert "waits for the database" in caplog.text


def test_after_an_error_the_queue_can_be_drained_again(notifier: _Notifier) -> None:
    shifts = _shifts(notifier)
    notifier.error = RuntimeError("as told by the test")
    with pytest.raises(RuntimeError, match="as told"):
        shifts.work("notifications", Hours(length=60))
    notifier.error = None
    assert shifts.work("notifications", Hours(length=60)) == {"delivered": 2}
