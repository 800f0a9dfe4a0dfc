"""What a worker sent before its database went away is recorded when it returns, and not sent again."""

from __future__ import annotations

import sqlite3
import threading
from datetime import timedelta
from pathlib import Path

from claimnotify import Event, Notifier, Recipient
from claimnotify.testing import WebhookReceiver

COUNT = 20
LOCKED = 8.0
"""Seconds: longer than a lease, and than a connection waits for the lock."""


class Parked(Event, type="outage.parked", channels=("webhook",)):
    number: int


def test_an_outage_longer_than_a_lease_repeats_nothing_of_the_only_worker(tmp_path: Path) -> None:
    with (
        WebhookReceiver() as receiver,
        Notifier.from_settings(
            database_url=f"sqlite:///{tmp_path / 'outage.db'}",
            queue_url="memory://",
            secret_keys="a-key-for-the-outage-test-of-32-characters",
            lease_seconds=3.0,
            attempt_deadline_seconds=2.0,
            webhook_allow_networks="127.0.0.0/8",
            webhook_allow_http=True,
        ) as notifier,
    ):
        _, secret = notifier.endpoints.register(receiver.url, owner="cus_7")
        receiver.add_secret(secret)
        receiver.delay = timedelta(seconds=0.5)
        for number in range(COUNT):
            notifier.notify(Parked(number=number), to=Recipient(id="cus_7"))
        worker = notifier.queue_worker("notifications")
        worker.start()
        receiver.wait_for(1)
        lock = sqlite3.connect(tmp_path / "outage.db", isolation_level=None)
        lock.execute("PRAGMA busy_timeout=4000")
        lock.execute("BEGIN EXCLUSIVE")
        ended = threading.Event()
        ended.wait(LOCKED)
        lock.execute("COMMIT")
        lock.close()
        receiver.wait_for(COUNT, timeout=30.0)
        for _ in range(400):
            if all(d.status == "delivered" for n in notifier.history() for d in n.deliveries):
                break
            ended.wait(0.05)
        worker.stop()
        assert worker.join(20)
        statuses = [d.status for n in notifier.history() for d in n.deliveries]
        assert statuses == ["delivered"] * COUNT
        assert len(receiver.received) == COUNT
