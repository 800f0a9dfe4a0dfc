"""SIGTERM under continuous load: the worker exits in time, holds no lease, and nothing is lost."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, text

from claimnotify import Event, Notifier
from claimnotify.testing import WebhookReceiver
from tests.waiting import until

_ATTEMPT_DEADLINE = 2.0
_EXIT_LIMIT = _ATTEMPT_DEADLINE + 5.0
_BACKLOG = 120
_PATIENCE = 60.0
_KEY = "a-key-for-the-sigterm-test-of-32-characters"


class BagLoaded(Event, type="bag.loaded", channels=("webhook",)):
    number: int


@pytest.fixture(params=["sqlite", "postgresql+redis"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    if request.param == "sqlite":
        database = request.getfixturevalue("sqlite_url")
        queue = f"sqlite:///{tmp_path / 'queue.db'}"
    else:
        database = request.getfixturevalue("postgres_url")
        queue = request.getfixturevalue("redis_url")
    return {
        "database_url": database,
        "queue_url": queue,
        "secret_keys": _KEY,
        "webhook_allow_networks": "127.0.0.0/8",
        "webhook_allow_http": "true",
        "attempt_deadline_seconds": str(_ATTEMPT_DEADLINE),
        "lease_seconds": "60",  # so long that a lease which was not given back would show
        "concurrency": "8",
        "batch_size": "32",
    }


def _start_worker(settings: Mapping[str, str], log: Path) -> subprocess.Popen[bytes]:
    environment = {f"CLAIMNOTIFY_{name.upper()}": value for name, value in settings.items()}
    with log.open("wb") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "claimnotify.worker"],
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )


def _count(engine: Engine, condition: str) -> int:
    query = text(f"SELECT count(*) FROM claimnotify_deliveries WHERE {condition}")
    with engine.connect() as connection:
        return int(connection.execute(query).scalar_one())


def _rows(engine: Engine) -> list[Any]:
    query = "SELECT status, reason, attempts, due_at, lease_until FROM claimnotify_deliveries"
    with engine.connect() as connection:
        return list(connection.execute(text(query)))


class _Load:
    """Publishes without end, to an owner whose receiver answers and to one whose receiver hangs."""

    def __init__(self, notifier: Notifier) -> None:
        self.accepted: set[str] = set()
        self._notifier = notifier
        self._ending = threading.Event()
        self._failure: Exception | None = None

    def publish(self, number: int) -> None:
        owner = "hanging" if number % 10 == 0 else "answering"
        self.accepted.add(self._notifier.publish(BagLoaded(number=number), owner=owner).id)

    @contextmanager
    def going_on(self) -> Iterator[None]:
        thread = threading.Thread(target=self._run)
        thread.start()
        try:
            yield
        finally:
            self._ending.set()
            thread.join()
        assert self._failure is None, repr(self._failure)

    def _run(self) -> None:
        number = 0
        try:
            while not self._ending.wait(0.02):  # the pace of the load
                self.publish(number := number + 1)
        except Exception as error:
            self._failure = error


def test_a_worker_stops_in_time_under_load_and_gives_its_leases_back(
    settings: dict[str, str], tmp_path: Path
) -> None:
    """Some attempts hang past their deadline, more is leased than can be under way, load goes on."""
    log = tmp_path / "worker.log"
    with (
        WebhookReceiver() as answering,
        WebhookReceiver() as hanging,
        Notifier.from_settings(**settings) as notifier,
    ):
        notifier.upgrade()
        for owner, receiver in (("answering", answering), ("hanging", hanging)):
            _, secret = notifier.endpoints.register(receiver.url, owner=owner)
            receiver.add_secret(secret)
        answering.delay = timedelta(milliseconds=200)
        hanging.delay = timedelta(seconds=60)
        load = _Load(notifier)
        for number in range(_BACKLOG):
            load.publish(number)
        engine = create_engine(settings["database_url"])
        worker = _start_worker(settings, log)
        try:
            with load.going_on():
                answering.wait_for(10, timeout=_PATIENCE)
                until(lambda: _count(engine, "lease_token IS NOT NULL") > 8)
                worker.terminate()
                told = time.monotonic()
                code = worker.wait(_PATIENCE)
                took = time.monotonic() - told
            assert code == 0, log.read_text()
            assert took < _EXIT_LIMIT, f"the worker took {took:.1f} s to exit"
            assert _count(engine, "lease_token IS NOT NULL") == 0
            _check_what_it_left(_rows(engine))

            answering.delay = hanging.delay = timedelta(0)
            worker = _start_worker(settings, log)
            until(lambda: not _count(engine, "finished_at IS NULL"))
            worker.terminate()
            assert worker.wait(_PATIENCE) == 0, log.read_text()
        finally:
            worker.kill()
            worker.wait()
            engine.dispose()
        received = {each.id for each in (*answering.accepted, *hanging.accepted)}
        audited = {
            each.id
            for each in _history(notifier)
            if [delivery.status for delivery in each.deliveries] == ["delivered"]
        }
    assert received == load.accepted == audited


def _check_what_it_left(rows: list[Any]) -> None:
    """Every row is delivered, or waits to be leased: untouched, given back unsent, or for a retry."""
    released = [row for row in rows if row.reason == "released"]
    assert released, "nothing was leased that had not begun; the load was too small"
    assert all(row.attempts == 0 for row in released), "giving back consumed an attempt"
    retried = [row for row in rows if row.reason == "retry"]
    assert retried, "no attempt was cut off by its deadline"
    assert all(row.attempts == 1 for row in retried)
    for row in rows:
        assert row.lease_until is None
        if row.status == "delivered":
            assert row.due_at is None
        else:
            assert (row.status, row.reason) in {
                ("pending", "queued"),
                ("pending", "released"),
                ("pending", "retry"),
            }
            assert row.due_at is not None, "nobody would ever lease it"


def _history(notifier: Notifier) -> Iterator[Any]:
    before = None
    while page := notifier.history(limit=500, before=before):
        yield from page
        before = page[-1].id
