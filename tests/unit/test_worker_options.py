"""What the worker's options may be, and what they may not."""

from __future__ import annotations

import os
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import SecretStr

from claimnotify.errors import ConfigurationError, StoreUnavailable
from claimnotify.testing.dispatchers import RecordingDispatcher
from claimnotify.worker import WorkerProcess, load_notifier, main, run


@pytest.fixture(autouse=True)
def _own_zone() -> Iterator[None]:
    """The worker makes its process run in UTC; undo it."""
    before = os.environ.get("TZ")
    yield
    if before is None:
        os.environ.pop("TZ", None)
    else:
        os.environ["TZ"] = before
    time.tzset()


class _QueueWorker:
    """Does nothing but note what is asked of it."""

    def __init__(self, queue: str, events: list[str]) -> None:
        self._queue = queue
        self._events = events
        self.ends = True

    def start(self) -> None:
        self._events.append(f"start {self._queue}")

    def wake(self) -> None:
        self._events.append(f"wake {self._queue}")

    def stop(self) -> None:
        self._events.append(f"stop {self._queue}")

    def join(self, timeout: float | None = None) -> bool:
        self._events.append(f"join {self._queue}")
        return self.ends


class _Notifier:
    """A notifier as a worker sees it."""

    def __init__(self, queue_url: str = "redis://u:s3cret@host") -> None:
        self.events: list[str] = []
        self.settings = SimpleNamespace(
            queue_url=SecretStr(queue_url), attempt_deadline_seconds=15.0
        )
        self.dispatcher = RecordingDispatcher()
        self.workers: dict[str, Any] = {}

    def describe(self) -> dict[str, str]:
        return {"database": "sqlite:////data/x.db", "queue": "redis://u@host"}

    def queue_worker(self, queue: str) -> Any:
        return self.workers.setdefault(queue, _QueueWorker(queue, self.events))

    def close(self) -> None:
        self.events.append("close")


def _worker(notifier: _Notifier, lines: list[str] | None = None) -> WorkerProcess:
    write = (lines if lines is not None else []).append
    return WorkerProcess(notifier, queues=("notifications", "scheduled"), write=write)


def test_the_worker_starts_and_stops_in_order() -> None:
    notifier, lines = _Notifier(), []
    worker = _worker(notifier, lines)
    worker.request_stop("the test says so")
    assert worker.run() == 0
    assert notifier.events == [
        "start notifications",
        "start scheduled",
        "stop notifications",
        "stop scheduled",
        "join notifications",
        "join scheduled",
        "close",
    ]
    (line,) = lines
    assert line == (
        f"claimnotify worker ready: pid={os.getpid()} queues=notifications,scheduled "
        "database=sqlite:////data/x.db queue=redis://u@host"
    )


def test_a_ring_wakes_its_queue() -> None:
    notifier = _Notifier()
    worker = _worker(notifier)

    def ring_and_stop(line: str) -> None:
        notifier.dispatcher.ring("scheduled")
        notifier.dispatcher.ring("processing")  # not one of ours
        worker.request_stop("the test says so")

    worker._write = ring_and_stop
    worker.run()
    assert [event for event in notifier.events if "wake" in event] == ["wake scheduled"]
    notifier.dispatcher.ring("scheduled")  # after the stop
    assert notifier.events[-1] == "close"


def test_what_does_not_end_in_time_is_said(caplog: pytest.LogCaptureFixture) -> None:
    notifier = _Notifier()
    notifier.queue_worker("scheduled").ends = False
    worker = _worker(notifier)
    worker.request_stop("the test says so")
    assert worker.run() == 1
    assert "Deliveries of scheduled were still under way" in caplog.text
    assert notifier.events[-1] == "close"


def test_a_failure_to_start_stops_what_was_started(monkeypatch: pytest.MonkeyPatch) -> None:
    notifier = _Notifier()

    def fail() -> None:
        raise StoreUnavailable("database_url", "the database cannot be used")

    monkeypatch.setattr(notifier.queue_worker("scheduled"), "start", fail)
    with pytest.raises(StoreUnavailable):
        _worker(notifier).run()
    assert notifier.events == [
        "start notifications",
        "stop notifications",
        "join notifications",
        "close",
    ]


def test_the_worker_runs_in_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    worker = _worker(_Notifier())
    worker.request_stop("the test says so")
    worker.run()
    assert os.environ["TZ"] == "UTC"
    assert time.localtime(0).tm_hour == 0


@pytest.mark.parametrize("queue_url", ["memory://", "inline://", "MEMORY://"])
def test_a_queue_within_one_process_is_refused(queue_url: str) -> None:
    with pytest.raises(ConfigurationError, match="queue_url"):
        _worker(_Notifier(queue_url))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current folder, with an application's module in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p])
    modules = set(sys.modules)
    (tmp_path / "shop_app.py").write_text(
        textwrap.dedent(
            """
            from types import SimpleNamespace
            from claimnotify.errors import ConfigurationError

            def notifier():
                return SimpleNamespace(
                    settings=1, dispatcher=1, describe=dict, queue_worker=dict, close=dict
                )

            made = notifier()
            holder = SimpleNamespace(inner=made)
            number = 7

            def needs(argument): ...
            def refuses():
                raise ConfigurationError("secret_keys", "are missing")
            """
        )
    )
    (tmp_path / "shop_broken.py").write_text("1 / 0")
    (tmp_path / "shop_lacks.py").write_text("import no_such_dependency")
    yield tmp_path
    for name in set(sys.modules) - modules:
        if name.startswith("shop_"):
            del sys.modules[name]


@pytest.mark.parametrize("app", ["shop_app:made", "shop_app:notifier", "shop_app:holder.inner"])
def test_the_notifier_of_an_application_is_found(folder: Path, app: str) -> None:
    assert hasattr(load_notifier(app), "queue_worker")


@pytest.mark.parametrize(
    ("app", "problem"),
    [
        ("shop_app", "not of the form"),
        (":made", "not of the form"),
        ("shop_app:", "not of the form"),
        ("no_such_shop:made", "the module no_such_shop was not found"),
        ("shop_app.inner:made", "the module shop_app.inner was not found"),
        ("shop_lacks:made", "imports no_such_dependency"),
        ("shop_broken:made", "failed with ZeroDivisionError"),
        ("shop_app:nothing", "has no nothing"),
        ("shop_app:number", "is of type int, not a Notifier"),
        ("shop_app:needs", "failed with TypeError"),
        ("shop_app:refuses", "are missing"),  # the application's own configuration error
    ],
)
def test_an_app_that_is_none_is_one_clear_error(folder: Path, app: str, problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        load_notifier(app)


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"workers": 0}, "workers"),
        ({"workers": 257}, "workers"),
        ({"queues": "notifications,typo"}, "queues"),
        ({"queues": ()}, "queues"),
        ({"queues": " , "}, "queues"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        run(**options)
    assert refused.value.field == field
    assert refused.value.remedy


def test_the_command_says_what_is_wrong_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--queues", "typo"]) == 2
    assert capsys.readouterr().err == (
        "claimnotify worker: queues: there is no queue 'typo'. "
        "Choose from notifications, processing, scheduled.\n"
    )
    assert main(["--app", "no_\x1b[2J_such:thing"]) == 2
    assert "no_\\x1b[2J_such" in capsys.readouterr().err
