"""A notifier says how long until something is due, so that whoever drains knows when to."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta

import pytest

from claimnotify import Event, Notifier, Recipient
from claimnotify.model.queues import DELIVERIES
from claimnotify.testing import WebhookReceiver
from claimnotify.testing.dispatchers import RecordingDispatcher

_ANA = Recipient(id="cus_7")


class BagScanned(Event, type="bag.scanned", channels=("webhook",)):
    number: int


@pytest.fixture
def receiver() -> Iterator[WebhookReceiver]:
    with WebhookReceiver() as receiver:
        yield receiver


@pytest.fixture
def notifier(database_url: str, receiver: WebhookReceiver) -> Iterator[Notifier]:
    settings = {"webhook_allow_networks": "127.0.0.0/8", "webhook_allow_http": True}
    with Notifier.from_settings(
        database_url=database_url,
        secret_keys="a-key-for-these-tests-of-32-characters",
        dispatcher=RecordingDispatcher(),
        **settings,
    ) as notifier:
        notifier.upgrade()
        _, secret = notifier.endpoints.register(receiver.url, owner="cus_7")
        receiver.add_secret(secret)
        yield notifier


def _due_in(notifier: Notifier) -> timedelta:
    due = notifier.due_in(DELIVERIES)
    assert due is not None
    return due


def _status(notifier: Notifier, notification_id: str) -> str:
    (found,) = notifier.history(notification_id=notification_id)
    return found.deliveries[0].status


def test_nothing_is_due_where_nothing_waits(notifier: Notifier) -> None:
    assert notifier.due_in(DELIVERIES) is None
    notifier.notify(BagScanned(number=1), to=_ANA)
    notifier.drain()
    assert notifier.due_in(DELIVERIES) is None


def test_what_waits_to_be_sent_is_due(notifier: Notifier) -> None:
    notifier.notify(BagScanned(number=1), to=_ANA)
    assert _due_in(notifier) <= timedelta(0)


def test_what_is_for_later_is_due_then(notifier: Notifier) -> None:
    notifier.notify(BagScanned(number=1), to=_ANA, delay=timedelta(hours=1))
    assert timedelta(minutes=59) < _due_in(notifier) <= timedelta(hours=1)


def test_what_an_open_breaker_parked_becomes_due(
    notifier: Notifier, receiver: WebhookReceiver
) -> None:
    """Nobody else lets it go where workers begin only when there is something to do."""
    receiver.respond(*[503] * 10)
    failing = [notifier.notify(BagScanned(number=n), to=_ANA).id for n in range(10)]
    notifier.drain()
    parked = notifier.notify(BagScanned(number=10), to=_ANA).id
    notifier.drain()
    assert _status(notifier, parked) == "parked"
    for each in failing:
        notifier.cancel(each)
    notifier._parts.store.clock.shift(timedelta(minutes=1))
    assert _due_in(notifier) <= timedelta(0)
    notifier.drain()
    assert _status(notifier, parked) == "delivered"


def test_a_drain_to_run_once_delivers_and_says_what_became_of_it(notifier: Notifier) -> None:
    notifier.notify(BagScanned(number=1), to=_ANA)
    assert notifier.queue_drain(DELIVERIES).until_idle() == {"delivered": 1}
    assert notifier.queue_drain(DELIVERIES).until_idle() == {}


def test_a_drain_that_has_nothing_left_to_do_ends_at_once(notifier: Notifier) -> None:
    took = []
    for number in range(3):
        notifier.notify(BagScanned(number=number), to=_ANA)
        started = time.monotonic()
        assert notifier.drain() == {"delivered": 1}
        took.append(time.monotonic() - started)
    assert min(took) < 0.5, "a drain that waits for its next look takes a second"
