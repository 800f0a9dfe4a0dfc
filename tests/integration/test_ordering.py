"""Deliveries under one ordering key go out one after the other, in the order of the commits."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Any

import pytest

from claimnotify import Event, Notifier, Receipt, Recipient, RetrySchedule
from claimnotify.composition import assemble
from claimnotify.errors import PermanentDeliveryError, TransientDeliveryError
from claimnotify.model.events import catalogue
from claimnotify.model.messages import Message
from claimnotify.model.notifications import Delivery
from claimnotify.settings import Settings
from claimnotify.store.taking import WorkLeases
from claimnotify.testing import RecordingDispatcher

ANA = Recipient(id="cus_7")
MINUTE = timedelta(minutes=1)


class Stepped(Event, type="order.stepped", channels=("post",)):
    number: int


catalogue.remove(Stepped)


class Post:
    """A channel that notes the order of its sends and whether two were under way at once."""

    name = "post"
    ready = True
    attempt_deadline = timedelta(seconds=5)

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.under_way: set[str] = set()
        self.overlapped = False
        self.answers: dict[str, list[Exception]] = {}

    def addresses(self, recipient: Recipient) -> Sequence[str]:
        return (recipient.id,)

    async def send(self, message: Message, delivery: Delivery) -> Receipt:
        self.overlapped |= delivery.address in self.under_way
        self.under_way.add(delivery.address)
        await asyncio.sleep(0.001)
        self.under_way.discard(delivery.address)
        self.sent.append(delivery.notification_id)
        if self.answers.get(delivery.notification_id):
            raise self.answers[delivery.notification_id].pop(0)
        return Receipt()

    async def open(self) -> None: ...

    async def aclose(self) -> None: ...


@pytest.fixture
def post() -> Post:
    return Post()


@pytest.fixture
def make(database_url: str, post: Post) -> Iterator[Callable[[], Notifier]]:
    made: list[Notifier] = []

    def make() -> Notifier:
        settings = Settings.load(database_url=database_url, secret_keys="k" * 40)
        parts = assemble(
            settings,
            dispatcher=RecordingDispatcher(),
            channels={"post": lambda _context: post},
            retry={"post": RetrySchedule.of(MINUTE, MINUTE, jitter=0.0)},
        )
        parts.store.upgrade()
        notifier = Notifier(parts, tenant="default", events=[Stepped])
        made.append(notifier)
        return notifier

    yield make
    for notifier in made:
        notifier.close()


def accept(notifier: Notifier, count: int, **options: Any) -> list[str]:
    options = {"ordering_key": "CLM-1", "to": ANA, **options}
    return [notifier.notify(Stepped(number=number), **options).id for number in range(count)]


def states(notifier: Notifier) -> list[tuple[str, str]]:
    """The states and reasons of all deliveries, oldest first."""
    return [(d.status, d.reason) for n in reversed(notifier.history()) for d in n.deliveries]


def advance(notifier: Notifier, by: timedelta) -> None:
    notifier._parts.store.clock.shift(by)


def test_they_go_out_one_after_the_other(make: Any, post: Post) -> None:
    notifier = make()
    ids = accept(notifier, 30)
    assert notifier.drain() == {"sent": 30}
    assert post.sent == ids
    assert not post.overlapped
    with notifier._parts.store._engine.connect() as connection:
        kept = connection.exec_driver_sql("SELECT count(*) FROM claimnotify_streams").scalar()
    assert kept == 0, "nothing is kept of a key that nothing waits under"
    accept(notifier, 2)
    notifier.drain()
    assert len(post.sent) == 32


def test_other_keys_and_other_addresses_do_not_wait(make: Any, post: Post) -> None:
    """The first of each stream is sent although another stream's first keeps failing."""
    notifier = make()
    (stuck, behind) = accept(notifier, 2, ordering_strict=True)
    post.answers[stuck] = [TransientDeliveryError("rain")] * 2
    (other_key,) = accept(notifier, 1, ordering_key="CLM-2")
    (other_address,) = accept(notifier, 1, to=Recipient(id="cus_8"))
    (no_key,) = accept(notifier, 1, ordering_key=None)
    notifier.drain()
    assert {other_key, other_address, no_key} <= set(post.sent)
    assert behind not in post.sent


def test_a_strict_one_that_fails_holds_up_those_after_it(make: Any, post: Post) -> None:
    notifier = make()
    ids = accept(notifier, 3, ordering_strict=True)
    post.answers[ids[0]] = [TransientDeliveryError("rain")]
    notifier.drain()
    assert post.sent == ids[:1]
    assert states(notifier) == [("pending", "retry"), *[("parked", "out_of_turn")] * 2]
    advance(notifier, MINUTE)
    notifier.drain()
    assert post.sent == [ids[0], *ids]
    assert [status for status, _ in states(notifier)] == ["sent"] * 3


def test_one_that_is_not_strict_lets_those_after_it_go_while_it_waits(
    make: Any, post: Post
) -> None:
    notifier = make()
    ids = accept(notifier, 3)
    post.answers[ids[0]] = [TransientDeliveryError("rain")]
    notifier.drain()
    assert post.sent == ids
    advance(notifier, MINUTE)
    notifier.drain()
    assert post.sent == [*ids, ids[0]]


def test_what_a_worker_had_that_died_before_it_parked_is_checked_for_its_turn(
    make: Any, post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    notifier = make()
    ids = accept(notifier, 3, ordering_strict=True)
    with monkeypatch.context() as patch:
        patch.setattr(WorkLeases, "_after_all", lambda *_: 1 / 0)  # after the lease is committed
        with pytest.raises(ZeroDivisionError):
            notifier._parts.store.work.lease("notifications", limit=10, duration=MINUTE)
    assert [status for status, _ in states(notifier)] == ["sending"] * 3
    post.answers[ids[0]] = [TransientDeliveryError("rain")]
    advance(notifier, 2 * MINUTE)
    notifier.drain()
    assert post.sent == ids[:1]
    assert states(notifier) == [("pending", "retry"), *[("parked", "out_of_turn")] * 2]


def test_a_strict_one_that_expires_between_two_tries_lets_the_next_go(
    make: Any, post: Post
) -> None:
    """It is looked at when it expires, not when its next try would be."""
    notifier = make()
    (first,) = accept(notifier, 1, ordering_strict=True, expires=timedelta(seconds=10))
    (second,) = accept(notifier, 1, ordering_strict=True)
    post.answers[first] = [TransientDeliveryError("rain")]
    notifier.drain()
    advance(notifier, timedelta(seconds=11))
    notifier.drain()
    assert states(notifier) == [("expired", "expired"), ("sent", "accepted")]
    assert post.sent == [first, second]


@pytest.mark.parametrize("error", [PermanentDeliveryError("no"), None])
def test_the_end_of_one_lets_the_next_go(make: Any, post: Post, error: Exception | None) -> None:
    notifier = make()
    ids = accept(notifier, 3, ordering_strict=True)
    if error is not None:
        post.answers[ids[0]] = [error]
    notifier.drain()
    assert post.sent == ids


def test_a_cancelled_one_lets_the_next_go(make: Any, post: Post) -> None:
    notifier = make()
    (first,) = accept(notifier, 1, delay=timedelta(hours=1))
    rest = accept(notifier, 3)
    notifier.drain()
    assert post.sent == []
    assert states(notifier)[1:] == [("parked", "out_of_turn")] * 3
    notifier.cancel(rest[1])
    notifier.cancel(first)
    notifier.drain()
    assert post.sent == [rest[0], rest[2]]


def test_the_order_is_that_of_the_commits_of_concurrent_callers(make: Any, post: Post) -> None:
    """Four threads accept under one key while two drain; numbers and sends agree, none is lost."""
    notifier, other = make(), make()
    accepting = [
        threading.Thread(target=accept, args=(notifier, 25), kwargs={"ordering_strict": True})
        for _ in range(4)
    ]
    stop = threading.Event()

    def draining(mine: Notifier) -> None:
        while not stop.is_set():
            mine.drain()
            stop.wait(0.005)

    drains = [threading.Thread(target=draining, args=(each,)) for each in (notifier, other)]
    for thread in (*accepting, *drains):
        thread.start()
    for thread in accepting:
        thread.join(60)
    deadline = threading.Event()
    for _ in range(600):
        if len(post.sent) >= 100:
            break
        deadline.wait(0.05)
    stop.set()
    for thread in drains:
        thread.join(60)
    assert len(post.sent) == len(set(post.sent)) == 100
    with notifier._parts.store._engine.connect() as connection:
        query = "SELECT notification_id FROM claimnotify_deliveries ORDER BY order_seq"
        numbered = [row[0] for row in connection.exec_driver_sql(query)]
    assert post.sent == numbered
    assert not post.overlapped
