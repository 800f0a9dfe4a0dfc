"""Four threads accept and four workers drain at once on MariaDB; what deadlocks there are, are not felt."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Engine, event

from claimnotify import Event, Notifier, Recipient
from claimnotify.testing import WebhookReceiver

KEY = "a-key-for-mariadb-concurrency-of-32-characters"
EACH = 60
DEADLOCK, WAITED_IN_VAIN = 1213, 1205


class Docked(Event, type="mariadb.docked", channels=("in_app", "webhook")):
    number: int


@contextmanager
def counted_errors() -> Iterator[Counter[int]]:
    """Count the server's errors by number, those included that are made good for."""
    seen: Counter[int] = Counter()

    def count(context: Any) -> None:
        seen[context.original_exception.args[0]] += 1

    event.listen(Engine, "handle_error", count)
    try:
        yield seen
    finally:
        event.remove(Engine, "handle_error", count)


def start(errors: list[BaseException], call: Callable[[], None]) -> threading.Thread:
    """Start a thread that notes what `call` raises."""

    def guarded() -> None:
        try:
            call()
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=guarded)
    thread.start()
    return thread


@pytest.mark.parametrize("ordered", [False, True])
def test_callers_and_workers_side_by_side_lose_and_repeat_nothing(
    mariadb_url: str, ordered: bool
) -> None:
    options = {
        "database_url": mariadb_url,
        "queue_url": "memory://",
        "secret_keys": KEY,
        "webhook_allow_networks": "127.0.0.0/8",
        "webhook_allow_http": True,
    }
    notifiers = [Notifier.from_settings(**options) for _ in range(4)]
    notifiers[0].upgrade()
    accepted: list[str] = []
    failed: list[BaseException] = []
    ended = threading.Event()

    def accept(owner: str) -> None:
        for number in range(EACH):
            made = notifiers[0].notify(
                Docked(number=number),
                to=Recipient(id=owner),
                idempotency_key=f"{owner}-{number}",
                ordering_key=f"k{number % 5}" if ordered else None,
            )
            accepted.append(made.id)

    def drain(notifier: Notifier) -> None:
        while not ended.wait(0.01):
            notifier.drain()

    with WebhookReceiver() as receiver, counted_errors() as numbers:
        for owner in range(4):
            _, secret = notifiers[0].endpoints.register(receiver.url, owner=f"o{owner}")
            receiver.add_secret(secret)
        draining = [start(failed, lambda each=each: drain(each)) for each in notifiers]
        accepting = [start(failed, lambda o=f"o{each}": accept(o)) for each in range(4)]
        for thread in accepting:
            thread.join(60)
        received = receiver.wait_for(4 * EACH, timeout=60)
        ended.set()
        for thread in draining:
            thread.join(60)
        notifiers[0].drain()
    unread = sum(notifiers[0].inbox.unread_count(f"o{owner}") for owner in range(4))
    for notifier in notifiers:
        notifier.close()
    assert failed == []
    assert len(accepted) == 4 * EACH
    assert sorted(each.id for each in received) == sorted(accepted)
    assert unread == 4 * EACH
    # Under ordering keys workers wait for each other, and now and then crosswise; without, never.
    assert numbers[DEADLOCK] <= (len(accepted) // 10 if ordered else 0), numbers
    assert not numbers[WAITED_IN_VAIN]
