"""Publishes to endpoints in a process of its own, drains, and prints what came of it and its memory.

Run as `python deliver_to.py ENGINE DATABASE WARM-UP-URL URL…`; each URL belongs to an owner of its own
and gets ten events.
"""

from __future__ import annotations

import json
import resource
import sys
from datetime import timedelta
from itertools import chain

from claimnotify import Event, Notifier, RetrySchedule
from claimnotify.testing import RecordingDispatcher

_EVENTS = 10


class Knocked(Event, type="deliver_to.knocked", channels=("webhook",)):
    number: int


def _peak() -> int:
    """Return the most memory this process had so far, in KiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main(engine: str, database: str, warm_up: str, *urls: str) -> None:
    """Deliver, and print one JSON object."""
    notifier = Notifier.from_settings(
        database_url=f"sqlite:///{database}",
        dispatcher=RecordingDispatcher(),
        secret_keys="k" * 40,
        http_engine=engine,
        webhook_allow_networks=["127.0.0.0/8"],
        webhook_allow_http=True,
        attempt_deadline_seconds=3,
        retry={"webhook": RetrySchedule.of(timedelta(hours=1))},
    )
    with notifier:
        notifier.endpoints.register(warm_up, owner="warm-up")
        for number in range(_EVENTS):
            notifier.publish(Knocked(number=number), owner="warm-up")
        notifier.drain()
        before = _peak()
        for url in urls:
            notifier.endpoints.register(url, owner=url)
        for number in range(_EVENTS):
            for url in urls:
                notifier.publish(Knocked(number=number), owner=url)
        notifier.drain()
        grown = _peak() - before
        told = {}
        for url in urls:
            notes = notifier.history(recipient=url)
            deliveries = list(chain.from_iterable(note.deliveries for note in notes))
            attempts = [each for delivery in deliveries for each in delivery.history]
            told[url] = {
                "statuses": sorted({str(each.status) for each in deliveries}),
                "ended": [(a.started_at + a.duration).timestamp() for a in attempts],
                "codes": [a.status_code for a in attempts],
                "detail": max((a.detail for a in attempts), key=len, default=""),
            }
        print(json.dumps({"grown_kib": grown, "told": told}))


if __name__ == "__main__":
    main(*sys.argv[1:])
