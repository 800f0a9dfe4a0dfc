"""Processes on one SQLite file whose clocks disagree: each takes the other's leases for run out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from claimnotify import Event, Notifier, Recipient
from claimnotify.store.clock import DatabaseClock
from claimnotify.store.store import SqlStore
from claimnotify.testing import RecordingDispatcher


class Told(Event, type="clocks.told", channels=("in_app",)):
    """What is told."""


def test_workers_whose_clocks_are_an_hour_apart_make_no_poison_of_what_they_send(
    sqlite_url: str,
) -> None:
    """Each finds the other's leases run out; while one sends, the other does not take it back."""
    duration, hour = timedelta(seconds=30), timedelta(hours=1)
    stores = [SqlStore(sqlite_url, ring=lambda _queue: None) for _ in range(2)]
    ahead = DatabaseClock(stores[1]._engine, host=lambda: datetime.now(UTC) + hour)
    stores[1].work._clock = stores[1].work._taking._clock = ahead
    with Notifier.from_settings(
        database_url=sqlite_url, secret_keys="k" * 40, dispatcher=RecordingDispatcher()
    ) as notifier:
        notifier.notify(Told(), to=Recipient(id="cus_7"))
    first = stores[0].work.lease("notifications", limit=10, duration=duration)
    assert first is not None
    leases = []
    for _ in range(10):
        for store in reversed(stores):
            found = store.work.lease_lapsed(
                "notifications", limit=10, duration=duration, alone=True
            )
            if found is not None and found.works:
                leases.append(found)
    assert [lease.poisoned for lease in leases] == [False, False]
    for store in stores:
        store.close()
