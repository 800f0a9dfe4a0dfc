"""What becomes of a delivery: schedules, cancelling, expiry, retries, lost leases, poison."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from claimnotify import Attachment, Event, Notifier, Receipt, Recipient, RetrySchedule
from claimnotify.composition import assemble
from claimnotify.delivery.preparing import Preparer
from claimnotify.errors import (
    ConfigurationError,
    DeliverySkipped,
    InvalidInput,
    NotFound,
    PermanentDeliveryError,
    TransientDeliveryError,
    UnknownOutcome,
)
from claimnotify.model.events import catalogue
from claimnotify.model.messages import Message
from claimnotify.model.notifications import Delivery, Notification
from claimnotify.model.states import AttemptOutcome, DeliveryStatus
from claimnotify.ports import Outcome
from claimnotify.settings import Settings
from claimnotify.testing import RecordingDispatcher
from tests.waiting import until

ANA = Recipient(id="cus_7")
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)


class Pigeon:
    """A channel whose sends do what the test says."""

    name = "pigeon"
    ready = True
    attempt_deadline = timedelta(seconds=5)
    on_unknown = "retry"

    def __init__(self) -> None:
        self.sent: list[tuple[str, Message, Delivery]] = []
        self.answers: list[BaseException] = []

    def addresses(self, recipient: Recipient) -> Sequence[str]:
        return (f"loft-{recipient.id}",)

    async def send(self, message: Message, delivery: Delivery) -> Receipt:
        self.sent.append((delivery.address, message, delivery))
        if self.answers:
            raise self.answers.pop(0)
        return Receipt(provider_id="leg-ring-1")

    async def open(self) -> None: ...

    async def aclose(self) -> None: ...


class Flown(Event, type="flow.flown", channels=("pigeon",)):
    text: str = "coo"


catalogue.remove(Flown)  # other tests' notifiers have no such channel, and check the catalogue


@pytest.fixture
def pigeon() -> Pigeon:
    return Pigeon()


@pytest.fixture
def make(database_url: str, pigeon: Pigeon) -> Iterator[Callable[..., Notifier]]:
    made: list[Notifier] = []

    def make(**options: Any) -> Notifier:
        own = {key: options.pop(key) for key in ("retry",) if key in options}
        settings = Settings.load(database_url=database_url, secret_keys="k" * 40, **options)
        channels = {"pigeon": lambda _context: pigeon}
        parts = assemble(settings, dispatcher=RecordingDispatcher(), channels=channels, **own)
        parts.store.upgrade()
        notifier = Notifier(parts, tenant="default", events=[Flown])
        made.append(notifier)
        return notifier

    yield make
    for notifier in made:
        notifier.close()


def only(notifier: Notifier) -> Delivery:
    (notification,) = notifier.history()
    (delivery,) = notification.deliveries
    return delivery


def advance(notifier: Notifier, by: timedelta) -> None:
    notifier._parts.store.clock.shift(by)


def test_a_delayed_notification_waits_for_its_time(make: Any, pigeon: Pigeon) -> None:
    notifier = make()
    result = notifier.notify(Flown(), to=ANA, delay=HOUR)
    assert result.deliveries[0].status == "scheduled"
    assert notifier.drain() == {}
    advance(notifier, HOUR)
    assert notifier.drain() == {"sent": 1}
    assert len(pigeon.sent) == 1


def test_at_and_delay_together_and_naive_times_are_refused(make: Any) -> None:
    notifier = make()
    result = notifier.notify(Flown(), to=ANA)
    moment = result.created_at
    for options in (
        {"at": moment, "delay": HOUR},
        {"at": moment.replace(tzinfo=None)},
        {"delay": -HOUR},
        {"expires": moment.replace(tzinfo=None)},
    ):
        with pytest.raises(InvalidInput):
            notifier.notify(Flown(), to=ANA, **options)
    assert len(notifier.history()) == 1


def test_a_cancelled_notification_is_not_sent(make: Any, pigeon: Pigeon) -> None:
    notifier = make()
    result = notifier.notify(Flown(), to=ANA, delay=HOUR)
    assert notifier.cancel(result.id) == 1
    advance(notifier, 2 * HOUR)
    assert notifier.drain() == {}
    assert (only(notifier).status, only(notifier).reason) == ("cancelled", "cancelled")
    assert notifier.cancel(result.id) == 0
    with pytest.raises(NotFound):
        notifier.for_tenant("other").cancel(result.id)
    assert pigeon.sent == []


def test_what_expires_is_not_sent(make: Any, pigeon: Pigeon) -> None:
    notifier = make()
    notifier.notify(Flown(), to=ANA, expires=MINUTE)
    advance(notifier, 2 * MINUTE)
    assert notifier.drain() == {"expired": 1}
    assert pigeon.sent == []


def test_nothing_is_sent_when_notifications_are_disabled(make: Any, pigeon: Pigeon) -> None:
    notifier = make(enabled=False)
    notifier.notify(Flown(), to=ANA)
    assert notifier.drain() == {"skipped": 1}
    assert only(notifier).reason == "notifications_disabled"
    assert pigeon.sent == []


def test_a_transient_failure_is_tried_again_and_then_given_up(make: Any, pigeon: Pigeon) -> None:
    """A schedule of two waits gives three attempts, each recorded, the same bytes every time."""
    notifier = make(retry={"pigeon": RetrySchedule.of(MINUTE, HOUR)})
    pigeon.answers = [TransientDeliveryError("rain", status_code=503)] * 3
    notifier.notify(Flown(), to=ANA)
    assert notifier.drain() == {"pending": 1}
    assert (only(notifier).reason, only(notifier).attempts) == ("retry", 1)
    assert notifier.drain() == {}
    advance(notifier, 2 * MINUTE)
    assert notifier.drain() == {"pending": 1}
    advance(notifier, 2 * HOUR)
    assert notifier.drain() == {"failed": 1}
    delivery = only(notifier)
    assert (delivery.status, delivery.reason, delivery.attempts) == ("failed", "exhausted", 3)
    assert [each.number for each in delivery.history] == [1, 2, 3]
    assert {each.outcome for each in delivery.history} == {AttemptOutcome.TRANSIENT}
    assert {each.status_code for each in delivery.history} == {503}
    assert len({message for _, message, _ in pigeon.sent}) == 1


def test_retry_after_is_a_floor(make: Any, pigeon: Pigeon) -> None:
    notifier = make(retry={"pigeon": RetrySchedule.of(MINUTE)})
    pigeon.answers = [TransientDeliveryError("busy", retry_after=3 * HOUR)]
    notifier.notify(Flown(), to=ANA)
    notifier.drain()
    advance(notifier, 2 * HOUR)
    assert notifier.drain() == {}
    advance(notifier, 2 * HOUR)
    assert notifier.drain() == {"sent": 1}


@pytest.mark.parametrize(
    ("error", "status", "reason", "attempts"),
    [
        (PermanentDeliveryError("no such loft"), "failed", "rejected", 1),
        (PermanentDeliveryError("gone", reason="moved"), "failed", "moved", 1),
        (DeliverySkipped("asleep", reason="asleep"), "skipped", "asleep", 0),
        (UnknownOutcome("lost sight"), "pending", "retry", 1),
        (RuntimeError("a fault with a secret in it"), "pending", "retry", 1),
    ],
)
def test_each_kind_of_failure_ends_as_it_should(
    make: Any, pigeon: Pigeon, error: Exception, status: str, reason: str, attempts: int
) -> None:
    notifier = make()
    pigeon.answers = [error]
    notifier.notify(Flown(), to=ANA)
    assert notifier.drain() == {status: 1}
    delivery = only(notifier)
    assert (delivery.status, delivery.reason, delivery.attempts) == (status, reason, attempts)
    assert len(delivery.history) == attempts
    assert "secret" not in "".join(each.detail for each in delivery.history)


def test_an_unknown_outcome_ends_a_delivery_where_the_channel_says_so(
    make: Any, pigeon: Pigeon
) -> None:
    notifier = make()
    pigeon.on_unknown = "fail"
    pigeon.answers = [UnknownOutcome("lost sight")]
    notifier.notify(Flown(), to=ANA)
    assert notifier.drain() == {"failed": 1}
    assert only(notifier).reason == "unknown_outcome"


def test_attachments_reach_the_channel(make: Any, pigeon: Pigeon) -> None:
    notifier = make()
    letter = Attachment(filename="letter.pdf", content=b"%PDF", content_type="application/pdf")
    notifier.notify(Flown(), to=ANA, attachments=[letter])
    notifier.drain()
    assert pigeon.sent[0][2].attachments == (letter,)


def test_a_worker_that_lost_its_lease_cannot_overwrite_the_next_ones_outcome(make: Any) -> None:
    """The late outcome changes no state, but its attempt is kept."""
    notifier = make(lease_seconds=30.0)
    notifier.notify(Flown(), to=ANA)
    work = notifier._parts.store.work
    late = work.lease("notifications", limit=10, duration=timedelta(seconds=30))
    advance(notifier, HOUR)
    assert notifier.drain() == {"sent": 1}
    delivery = late.works[0].delivery
    attempt = only(notifier).history[0]
    outcome = Outcome(
        delivery_id=delivery.id,
        tenant=delivery.tenant,
        notification_id=delivery.notification_id,
        token=late.token,
        channel=delivery.channel,
        status=DeliveryStatus.FAILED,
        reason="exhausted",
        attempt=attempt,
    )
    assert set(work.record([outcome]).lost) == {delivery.id}
    assert only(notifier).status == "sent"
    assert len(only(notifier).history) == 2


def test_a_row_that_kills_its_worker_alone_three_times_is_poison(
    make: Any, pigeon: Pigeon, database_url: str
) -> None:
    """Its neighbours, leased with it when it first struck, are delivered once each."""
    notifier = make(lease_seconds=30.0)
    for _ in range(5):
        notifier.notify(Flown(), to=ANA)
    work, duration = notifier._parts.store.work, timedelta(seconds=30)
    lease = work.lease("notifications", limit=10, duration=duration)
    assert len(lease.works) == 5
    poison = lease.works[0].delivery.id
    advance(notifier, HOUR)
    again = work.lease_lapsed("notifications", limit=10, duration=duration, alone=False)
    assert len(again.works) == 5, "once is no proof"
    assert not again.alone
    advance(notifier, HOUR)
    held = work.lease_lapsed("notifications", limit=10, duration=duration, alone=False)
    assert (held.works, held.alone_wait) == ([], True), "the hand is not empty"
    engine = create_engine(database_url)
    with engine.begin() as connection:
        others = text("UPDATE claimnotify_deliveries SET lease_until=NULL, due_at=created_at,"
                      " lane='notifications/1/pigeon/default', status='pending'"
                      " WHERE id <> :poison")  # fmt: skip
        connection.execute(others, {"poison": poison})
    engine.dispose()
    for _ in range(3):
        solo = work.lease_lapsed("notifications", limit=10, duration=duration, alone=True)
        assert [each.delivery.id for each in solo.works] == [poison]
        assert solo.alone
        assert not solo.poisoned
        advance(notifier, HOUR)
    assert notifier.drain() == {"sent": 4, "failed": 1}
    ended = {d.id: (d.status, d.reason) for n in notifier.history() for d in n.deliveries}
    assert ended.pop(poison) == ("failed", "poison")
    assert set(ended.values()) == {("sent", "accepted")}
    assert len(pigeon.sent) == 4


def test_leases_given_by_a_clock_that_went_back_lapse_all_the_same(
    make: Any, database_url: str
) -> None:
    """SQLite's workers go by the clocks of their processes; a server has one clock for all."""
    notifier = make(lease_seconds=30.0)
    notifier.notify(Flown(), to=ANA)
    work, duration = notifier._parts.store.work, timedelta(seconds=30)
    advance(notifier, HOUR)
    assert work.lease("notifications", limit=10, duration=duration) is not None
    advance(notifier, -HOUR)
    found = work.lease_lapsed("notifications", limit=10, duration=duration, alone=True)
    assert (found is not None) is database_url.startswith("sqlite")


def test_work_of_a_channel_this_worker_lacks_is_deferred_and_shown(
    make: Any, pigeon: Pigeon, database_url: str
) -> None:
    notifier = make()
    notifier.notify(Flown(), to=ANA)
    engine = create_engine(database_url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE claimnotify_deliveries SET channel='carrier'"))
    engine.dispose()
    assert notifier.drain() == {"pending": 1}
    assert notifier.status() == {("notifications", "pending", "unknown_work"): 1}
    assert pigeon.sent == []


def test_recipients_are_read_once_and_in_chunks(make: Any) -> None:
    """Memory does not grow with the recipients: no more than a chunk is ever taken ahead."""
    notifier = make()
    taken, written = [0], [0]

    def recipients() -> Iterator[Recipient]:
        for number in range(350):
            taken[0] += 1
            yield Recipient(id=f"cus_{number}")

    def event_for(recipient: Recipient) -> Flown:
        assert taken[0] - written[0] <= 100
        written[0] += 1
        return Flown(text=recipient.id)

    result = notifier.notify_many(event_for, to=recipients(), idempotency_key_for=lambda r: r.id)
    assert (result.notifications, result.replayed) == (350, 0)
    again = notifier.notify_many(
        lambda r: Flown(text=r.id),
        to=(Recipient(id=f"cus_{number}") for number in range(351)),
        idempotency_key_for=lambda r: r.id,
    )
    assert (again.notifications, again.replayed) == (1, 350)


def test_a_send_cancelled_inside_its_channel_is_tried_again(make: Any, pigeon: Pigeon) -> None:
    notifier = make()
    pigeon.answers = [asyncio.CancelledError()]
    notifier.notify(Flown(), to=ANA)
    assert notifier.drain() == {"pending": 1}
    assert only(notifier).history[0].outcome == AttemptOutcome.UNKNOWN
    advance(notifier, HOUR)
    assert notifier.drain() == {"sent": 1}


class Panic(BaseException):
    """As what extension modules in other languages raise."""


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, GeneratorExit, Panic])
def test_whatever_a_channel_raises_is_an_attempt_that_failed(
    make: Any, pigeon: Pigeon, error: type[BaseException]
) -> None:
    notifier = make()
    pigeon.answers = [error("rain")]
    for _ in range(3):
        notifier.notify(Flown(), to=ANA)
    assert notifier.drain() == {"pending": 1, "sent": 2}
    (attempt,) = next(
        delivery.history
        for note in notifier.history()
        for delivery in note.deliveries
        if delivery.status == DeliveryStatus.PENDING
    )
    assert (attempt.outcome, attempt.error) == (AttemptOutcome.TRANSIENT, error.__name__)
    advance(notifier, HOUR)
    assert notifier.drain() == {"sent": 1}


def test_a_template_that_ends_the_program_fails_alone_and_the_worker_goes_on(
    make: Any, pigeon: Pigeon
) -> None:
    class Renderer:
        def render(self, notification: Notification, channel: str) -> Message:
            if notification.payload["text"] == "panic":
                raise Panic
            if notification.payload["text"] == "exit":
                raise SystemExit
            return render(notification, channel)

    notifier = make(lease_seconds=7.5)
    render = notifier._parts.renderer.render
    notifier._parts.renderer = Renderer()
    for word in ("panic", "exit", "coo"):
        notifier.notify(Flown(text=word), to=ANA)
    worker = notifier.queue_worker("notifications")
    worker.start()

    def ended() -> bool:
        advance(notifier, MINUTE)  # past a lease
        return notifier.status() == {}

    until(ended, "each has ended")
    worker.stop()
    worker.join()
    states = {note.payload["text"]: only_of(note) for note in notifier.history()}
    assert states == {
        "panic": ("failed", "template_error"),
        "exit": ("failed", "poison"),
        "coo": ("sent", "accepted"),
    }


def only_of(note: Notification) -> tuple[str, str]:
    (delivery,) = note.deliveries
    return str(delivery.status), delivery.reason


def test_closing_lets_a_drain_end_what_it_has_in_hand(make: Any, pigeon: Pigeon) -> None:
    notifier = make()
    under_way = threading.Event()
    release = threading.Event()

    async def slowly(message: Message, delivery: Delivery) -> Receipt:
        under_way.set()
        await asyncio.to_thread(release.wait, 5)
        return Receipt()

    pigeon.send = slowly  # type: ignore[method-assign]
    notifier.notify(Flown(), to=ANA)
    ended: list[Any] = []
    drain = threading.Thread(target=lambda: ended.append(notifier.drain()))
    drain.start()
    assert under_way.wait(10)
    closing = threading.Thread(target=notifier.close)
    closing.start()
    release.set()
    drain.join(10)
    closing.join(10)
    assert ended == [{"sent": 1}]


def test_a_closed_notifier_says_so(make: Any) -> None:
    notifier = make()
    notifier.close()
    with pytest.raises(ConfigurationError, match="closed"):
        notifier.notify(Flown(), to=ANA)
    with pytest.raises(ConfigurationError, match="closed"):
        notifier.drain()


@pytest.mark.parametrize(
    "options",
    [
        {"at": 1},
        {"at": {}},
        {"delay": 1},
        {"delay": {}},
        {"delay": timedelta.max},
        {"expires": "x"},
    ],
)
def test_times_of_the_wrong_kind_are_refused(make: Any, options: dict[str, Any]) -> None:
    notifier = make()
    with pytest.raises(InvalidInput) as caught:
        notifier.notify(Flown(), to=ANA, **options)
    assert caught.value.field == next(iter(options))
    assert notifier.history() == []


@pytest.mark.parametrize("bad", [None, 1, {}, "", "a\x00b", "\ud800"])
def test_ids_of_the_wrong_kind_are_refused(make: Any, bad: Any) -> None:
    notifier = make()
    for call in (
        lambda: notifier.inbox.list(bad),
        lambda: notifier.inbox.unread_count(bad),
        lambda: notifier.inbox.mark_read("cus_7", [bad]),
        lambda: notifier.cancel(bad),
    ):
        with pytest.raises(InvalidInput):
            call()


@pytest.mark.parametrize(
    "error",
    [
        PermanentDeliveryError("bad \udc80 answer", excerpt="\x00"),
        PermanentDeliveryError("no", reason="\x00\udc80"),
        PermanentDeliveryError("no", reason="r" * 100),
        PermanentDeliveryError("no", status_code=10**30),
        type("E" * 200, (PermanentDeliveryError,), {})("no"),
    ],
    ids=["text", "reason", "long reason", "status", "name"],
)
def test_an_attempt_that_the_database_would_refuse_costs_no_other_its_own(
    make: Any, pigeon: Pigeon, error: BaseException
) -> None:
    notifier = make()
    for number in range(3):
        notifier.notify(Flown(text=str(number)), to=ANA)
    pigeon.answers = [error]
    assert notifier.drain() == {"sent": 2, "failed": 1}
    assert notifier.drain() == {}
    assert len(pigeon.sent) == 3
    assert sorted(each.deliveries[0].status for each in notifier.history()) == [
        "failed",
        "sent",
        "sent",
    ]


def test_a_wait_beyond_the_end_of_time_is_a_wait(make: Any, pigeon: Pigeon) -> None:
    notifier = make()
    notifier.notify(Flown(), to=ANA)
    pigeon.answers = [TransientDeliveryError("busy", retry_after=timedelta.max)]
    assert notifier.drain() == {"pending": 1}
    assert only(notifier).reason == "retry"


def test_a_lease_that_cannot_be_made_ready_runs_out(
    make: Any, pigeon: Pigeon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the fault is, its rows are neither kept for ever nor asked for again at once."""
    notifier = make()
    notifier.notify(Flown(), to=ANA)
    with monkeypatch.context() as patch:
        asked: list[None] = []

        def prepare(*_: Any) -> Any:
            asked.append(None)
            raise ValueError

        patch.setattr(Preparer, "prepare", prepare)
        assert notifier.drain() == {}
        assert len(asked) == 1
    assert only(notifier).status == "sending"
    advance(notifier, timedelta(minutes=2))
    assert notifier.drain() == {"sent": 1}
