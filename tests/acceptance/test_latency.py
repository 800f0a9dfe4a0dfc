"""After idleness a notification is delivered within 1.5 s of its commit, also without its queue."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import pytest
from redis import Redis, RedisError

from claimnotify import Event, Notifier
from claimnotify.model.states import DeliveryStatus
from claimnotify.testing import WebhookReceiver
from tests.ports import free_port
from tests.waiting import until

pytestmark = pytest.mark.alone

_LIMIT = 1.5
"""Seconds from commit to delivered."""
_PROMPT = 0.5
"""Seconds that a commit may take; it never waits for the queue."""
_IDLE = 60.0 if os.environ.get("CLAIMNOTIFY_LONG") == "1" else 2.5
"""Seconds without any work: longer than a worker sleeps between two looks at the database."""
_GAPS = (_IDLE, 0.35, 0.6)
"""Seconds before each delivery, to meet a worker at different moments of its sleep."""
_OWNER = "partner_9"
_KEY = "a-key-for-the-latency-test-of-32-characters"


class GateOpened(Event, type="gate.opened", channels=("webhook",)):
    gate: str


class _Site:
    """A notifier, a receiver of its webhooks, and a log of what the worker says."""

    def __init__(self, database: str, queue: str, folder: Path, receiver: WebhookReceiver) -> None:
        self.settings = {
            "database_url": database,
            "queue_url": queue,
            "secret_keys": _KEY,
            "webhook_allow_networks": "127.0.0.0/8",
            "webhook_allow_http": "true",
        }
        self.log = folder / "worker.log"
        self.receiver = receiver
        self.notifier = Notifier.from_settings(**self.settings)
        self.notifier.upgrade()
        _, secret = self.notifier.endpoints.register(receiver.url, owner=_OWNER)
        receiver.add_secret(secret)

    @contextmanager
    def worker(self) -> Iterator[None]:
        """A worker process; it stops in order at the end."""
        environment = {f"CLAIMNOTIFY_{name.upper()}": text for name, text in self.settings.items()}
        with self.log.open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "claimnotify.worker"],
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            until(lambda: "worker ready" in self.log.read_text(), seconds=20.0)
            yield
            process.terminate()
            assert process.wait(10) == 0, self.log.read_text()
        finally:
            process.kill()
            process.wait()

    def deliver(self) -> tuple[float, float]:
        """Publish once; return how long that took and how long until the audit says delivered."""
        arrived = len(self.receiver.accepted)
        began = time.monotonic()
        accepted = self.notifier.publish(GateOpened(gate="B7"), owner=_OWNER)
        committed = time.monotonic()

        def delivered() -> bool:
            (found,) = self.notifier.history(notification_id=accepted.id)
            return all(each.status == DeliveryStatus.DELIVERED for each in found.deliveries)

        self.receiver.wait_for(arrived + 1)
        until(delivered, seconds=10.0)
        return committed - began, time.monotonic() - committed

    def check(self) -> None:
        """After idleness, and twice more: the commit is prompt and the delivery soon."""
        for gap in _GAPS:
            _stay_idle(gap)
            took, later = self.deliver()
            assert took < _PROMPT, f"the commit took {took:.2f} s"
            assert later < _LIMIT, f"delivered {later:.2f} s after the commit"
        assert all(each.verified for each in self.receiver.received)


def _stay_idle(seconds: float) -> None:
    # Not a wait for something to happen: that nothing happens for so long is what is tested.
    threading.Event().wait(seconds)


@pytest.fixture
def receiver() -> Iterator[WebhookReceiver]:
    with WebhookReceiver() as receiver:
        yield receiver


@pytest.fixture
def make_site(tmp_path: Path, receiver: WebhookReceiver) -> Iterator[Callable[[str, str], _Site]]:
    made: list[_Site] = []

    def make(database: str, queue: str) -> _Site:
        made.append(_Site(database, queue, tmp_path, receiver))
        return made[-1]

    yield make
    for site in made:
        site.notifier.close()


@pytest.mark.parametrize(
    ("database", "queue"),
    [
        ("sqlite_url", "sqlite"),
        ("postgres_url", "postgres_url"),
        ("postgres_url", "redis_url"),
        ("sqlite_url", "redis_url"),
    ],
)
def test_an_idle_worker_delivers_soon_after_the_commit(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    make_site: Callable[[str, str], _Site],
    database: str,
    queue: str,
) -> None:
    queue_file = f"sqlite:///{tmp_path / 'queue.db'}"
    site = make_site(
        request.getfixturevalue(database),
        queue_file if queue == "sqlite" else request.getfixturevalue(queue),
    )
    with site.worker():
        site.check()


def test_rings_in_memory_wake_a_worker_in_the_same_process(
    sqlite_url: str, make_site: Callable[[str, str], _Site]
) -> None:
    site = make_site(sqlite_url, "memory://")
    worker = site.notifier.queue_worker("notifications")
    consumer = site.notifier.dispatcher.consumer(["notifications"], lambda _: worker.wake())
    worker.start()
    consumer.start()
    try:
        site.check()
    finally:
        worker.stop()
        consumer.stop()
        assert worker.join(10)


class _OwnRedis:
    """A Redis server that this test may stop."""

    def __init__(self, folder: Path) -> None:
        program = shutil.which("redis-server")
        if program is None:
            _missing("redis-server is not installed")
        port = free_port()
        self.url = f"redis://127.0.0.1:{port}/0"
        self.process = subprocess.Popen(
            [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", folder],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until(self._answers, seconds=10.0)

    def _answers(self) -> bool:
        try:
            with Redis.from_url(self.url) as client:
                return bool(client.ping())
        except RedisError:
            return False


def _missing(problem: str) -> NoReturn:
    if os.environ.get("CLAIMNOTIFY_REQUIRE_SERVICES") == "1":
        pytest.fail(f"{problem} (CLAIMNOTIFY_REQUIRE_SERVICES=1)", pytrace=False)
    pytest.skip(problem)


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[_OwnRedis]:
    server = _OwnRedis(tmp_path)
    yield server
    server.process.kill()  # also ends one that is stopped by SIGSTOP
    server.process.wait()


@pytest.mark.parametrize(
    "how",
    [
        pytest.param(signal.SIGKILL, id="killed"),
        pytest.param(signal.SIGSTOP, id="frozen"),  # connections stay open and nobody answers
    ],
)
def test_without_redis_a_delivery_is_as_soon(
    sqlite_url: str,
    make_site: Callable[[str, str], _Site],
    own_redis: _OwnRedis,
    how: signal.Signals,
) -> None:
    site = make_site(sqlite_url, own_redis.url)
    with site.worker():
        site.deliver()
        own_redis.process.send_signal(how)
        site.check()
