"""Killing the worker with SIGKILL at random moments loses no notification."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from claimnotify import Event, Notifier, Recipient
from claimnotify.testing import WebhookReceiver

NOTIFICATIONS = 1_000
KILLS = 8
DEADLINE = 150.0
KEY = "a-key-for-the-kill-test-of-32-characters"


class SeatKilled(Event, type="seat.killed", channels=("in_app", "webhook")):
    number: int


def start_worker(settings: Mapping[str, str]) -> subprocess.Popen[bytes]:
    environment = dict(os.environ) | {f"CLAIMNOTIFY_{k.upper()}": v for k, v in settings.items()}
    command = [sys.executable, "-m", "claimnotify.worker", "--queues", "notifications"]
    return subprocess.Popen(
        command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )


@pytest.fixture(params=["sqlite", "postgresql+redis", "mariadb+redis"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    if request.param == "sqlite":
        database, queue = f"sqlite:///{tmp_path / 'kill.db'}", f"sqlite:///{tmp_path / 'queue.db'}"
    else:
        server = "postgres_url" if request.param.startswith("postgresql") else "mariadb_url"
        database = request.getfixturevalue(server)
        queue = request.getfixturevalue("redis_url")
    return {
        "database_url": database,
        "queue_url": queue,
        "secret_keys": KEY,
        "webhook_allow_networks": "127.0.0.0/8",
        "webhook_allow_http": "true",
        "attempt_deadline_seconds": "2",
        "lease_seconds": "7.5",
        "concurrency": "16",
        "batch_size": "32",
    }


def count(engine: Any, condition: str) -> int:
    query = text(f"SELECT count(*) FROM claimnotify_deliveries WHERE {condition}")
    with engine.connect() as connection:
        return int(connection.execute(query).scalar_one())


def test_no_notification_is_lost_when_the_worker_is_killed(
    settings: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    """The ids accepted, the ids received and the ids the audit shows are the same set."""
    dice = random.Random(2041)  # moments to strike, not secrets
    pause = threading.Event()
    with WebhookReceiver() as receiver, Notifier.from_settings(**settings) as notifier:
        notifier.upgrade()
        recipients = [Recipient(id=f"cus_{number % 20}") for number in range(NOTIFICATIONS)]
        for owner in {each.id for each in recipients}:
            _, secret = notifier.endpoints.register(receiver.url, owner=owner)
            receiver.add_secret(secret)
        numbers = iter(range(NOTIFICATIONS))
        notifier.notify_many(lambda _: SeatKilled(number=next(numbers)), to=recipients)
        engine = create_engine(settings["database_url"])
        struck, worker = 0, start_worker(settings)
        try:
            for _ in range(KILLS):
                started = time.monotonic()
                while not count(engine, "lease_token IS NOT NULL"):
                    assert time.monotonic() - started < DEADLINE / 2, "the worker does not work"
                    if not count(engine, "finished_at IS NULL"):
                        break
                    pause.wait(0.005)
                pause.wait(dice.uniform(0.0, 0.4))
                worker.send_signal(signal.SIGKILL)
                worker.wait()
                struck += count(engine, "lease_token IS NOT NULL") > 0
                worker = start_worker(settings)
            deadline = time.monotonic() + DEADLINE
            while count(engine, "finished_at IS NULL") and time.monotonic() < deadline:
                pause.wait(0.1)
        finally:
            worker.send_signal(signal.SIGTERM)
            worker.wait(30)
        engine.dispose()
        shown: set[str] = set()
        audited: set[str] = set()
        before = None
        while page := notifier.history(limit=500, before=before):
            shown |= {note.id for note in page}
            audited |= {
                note.id for note in page if all(d.status == "delivered" for d in note.deliveries)
            }
            before = page[-1].id
        received = [each.id for each in receiver.accepted]
        in_inbox = sum(notifier.inbox.unread_count(f"cus_{number}") for number in range(20))
    with capsys.disabled():
        duplicates = len(received) - len(set(received))
        print(
            f"\n{settings['database_url'].split(':')[0]}: {KILLS} kills, {struck} with deliveries"
            f" in flight, {len(shown - set(received))} lost, {duplicates} duplicate receipts"
        )
    assert struck > 0, "no kill struck while deliveries were in flight"
    assert len(shown) == NOTIFICATIONS
    assert set(received) == shown == audited
    assert in_inbox == NOTIFICATIONS, "an inbox item is missing or was written twice"
    assert all(each.verified for each in receiver.received)
