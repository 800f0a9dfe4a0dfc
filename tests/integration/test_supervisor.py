"""Two supervised workers share a queue for real, and a killed one costs no delivery."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

from sqlalchemy import Engine, create_engine, text

from claimnotify import Event, Notifier, Recipient
from claimnotify.testing import WebhookReceiver
from tests.waiting import until

_DELIVERIES = 60
_ONE_WORKER = 8
"""The most a worker has in hand here: all its slots, and one batch that waits for them."""
_KEY = "a-key-for-the-supervisor-test-of-32-characters"


class DoorClosed(Event, type="door.closed", channels=("webhook",)):
    number: int


def _count(engine: Engine, condition: str) -> int:
    query = text(f"SELECT count(*) FROM claimnotify_deliveries WHERE {condition}")
    with engine.connect() as connection:
        return int(connection.execute(query).scalar_one())


def test_two_workers_share_the_work_and_a_killed_one_is_replaced(
    database_url: str, tmp_path: Path
) -> None:
    settings = {
        "database_url": database_url,
        "queue_url": f"sqlite:///{tmp_path / 'queue.db'}",
        "secret_keys": _KEY,
        "webhook_allow_networks": "127.0.0.0/8",
        "webhook_allow_http": "true",
        "attempt_deadline_seconds": "3",
        "lease_seconds": "4.5",
        "concurrency": "4",
        "batch_size": "4",
    }
    log = tmp_path / "worker.log"

    def pids() -> list[int]:
        return [int(found) for found in re.findall(r"worker ready: pid=(\d+)", log.read_text())]

    with WebhookReceiver() as receiver, Notifier.from_settings(**settings) as notifier:
        notifier.upgrade()
        _, secret = notifier.endpoints.register(receiver.url, owner="partner_9")
        receiver.add_secret(secret)
        receiver.delay = timedelta(seconds=1.5)
        engine = create_engine(database_url)
        with log.open("wb") as output:
            supervisor = subprocess.Popen(
                [sys.executable, "-m", "claimnotify.worker", "--workers", "2"],
                env={**os.environ, **{f"CLAIMNOTIFY_{k.upper()}": v for k, v in settings.items()}},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:
            until(lambda: len(pids()) == 2)
            # At once: two workers deliver as fast as a busy machine accepts one by one.
            numbers = iter(range(_DELIVERIES))
            partners = [Recipient(id="partner_9")] * _DELIVERIES
            notifier.notify_many(lambda _: DoorClosed(number=next(numbers)), to=partners)
            accepted = {each.id for each in notifier.history(limit=2 * _DELIVERIES)}
            # More in hand than one worker can have: both are at work, and the victim holds leases.
            until(lambda: _count(engine, "lease_token IS NOT NULL") > 1.5 * _ONE_WORKER)
            os.kill(pids()[0], signal.SIGKILL)
            receiver.delay = timedelta(0)
            until(lambda: len(pids()) == 3)
            until(lambda: not _count(engine, "finished_at IS NULL"))
            supervisor.terminate()
            assert supervisor.wait(20) == 0, log.read_text()
            assert _count(engine, "lease_token IS NOT NULL") == 0
            assert _count(engine, "status <> 'delivered'") == 0
        finally:
            supervisor.kill()  # its workers notice, and stop
            supervisor.wait()
            engine.dispose()
        received = [each.id for each in receiver.accepted]
    assert len(accepted) == _DELIVERIES
    assert set(received) == accepted
    assert len(received) - len(accepted) <= _ONE_WORKER, "more was sent twice than the dead one had"
