"""A slow or dead endpoint, a busy tenant, a channel at its limit: none is in the way of the others."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from claimnotify import Event, Notifier, Receipt, Recipient
from claimnotify.composition import assemble
from claimnotify.errors import ConfigurationError, TransientDeliveryError
from claimnotify.model.events import catalogue
from claimnotify.model.messages import Message
from claimnotify.model.notifications import Delivery, Notification
from claimnotify.settings import Settings
from claimnotify.store.tables import deliveries
from claimnotify.testing import RecordingDispatcher, WebhookReceiver
from tests.waiting import until

SECOND = timedelta(seconds=1)
ANA = Recipient(id="cus_7")


class Hooked(Event, type="isolation.hooked", channels=("webhook",)):
    number: int = 0


class Cooed(Event, type="isolation.cooed", channels=("pigeon",)):
    number: int = 0


class Urgent(Event, type="isolation.urgent", channels=("pigeon",), priority="high"):
    number: int = 0


class Barked(Event, type="isolation.barked", channels=("dog",)):
    number: int = 0


for event in (Cooed, Urgent, Barked):
    catalogue.remove(event)


class Carrier:
    """A channel that notes what it carries, and fails or waits as the test says."""

    ready = True
    attempt_deadline = timedelta(seconds=20)

    def __init__(self, name: str) -> None:
        self.name = name
        self.concurrency = 8
        self.sent: list[Delivery] = []
        self.fails = False
        self.status_code: int | None = None
        self.gate = asyncio.Event()
        self.gate.set()

    def addresses(self, recipient: Recipient) -> Sequence[str]:
        return (recipient.id,)

    async def send(self, message: Message, delivery: Delivery) -> Receipt:
        self.sent.append(delivery)
        await self.gate.wait()
        if self.fails:
            raise TransientDeliveryError("rain", status_code=self.status_code)
        return Receipt()

    async def open(self) -> None: ...

    async def aclose(self) -> None: ...


class Hung:
    """A server that accepts connections and never answers."""

    def __enter__(self) -> Hung:
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}/hook"
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._socket.close()


@pytest.fixture
def make(database_url: str) -> Iterator[Callable[..., Notifier]]:
    made: list[Notifier] = []

    def make(*carriers: Carrier, **options: Any) -> Notifier:
        settings = Settings.load(
            database_url=database_url,
            secret_keys="k" * 40,
            webhook_allow_networks="127.0.0.0/8",
            webhook_allow_http=True,
            **options,
        )
        channels = {each.name: (lambda _context, each=each: each) for each in carriers} or None
        parts = assemble(settings, dispatcher=RecordingDispatcher(), channels=channels)
        parts.store.upgrade()
        notifier = Notifier(parts, tenant="default", events=())
        made.append(notifier)
        return notifier

    yield make
    for notifier in made:
        notifier.close()


def advance(notifier: Notifier, by: timedelta) -> None:
    notifier._parts.store.clock.shift(by)


def publish(notifier: Notifier, owner: str, count: int) -> list[Notification]:
    return [notifier.publish(Hooked(number=number), owner=owner) for number in range(count)]


def counts(notifier: Notifier, owner: str) -> dict[tuple[str, str], int]:
    """How many deliveries of an owner are in which state, for which reason."""
    found: dict[tuple[str, str], int] = {}
    for note in notifier.history(recipient=owner, limit=1000):
        for delivery in note.deliveries:
            key = (str(delivery.status), delivery.reason)
            found[key] = found.get(key, 0) + 1
    return found


def test_a_hung_endpoint_with_a_backlog_does_not_hold_up_another(make: Any) -> None:
    """Three batches of its deliveries are due before the first of the other one's."""
    notifier = make(attempt_deadline_seconds=8.0, batch_size=50, concurrency=16)
    with Hung() as hung, WebhookReceiver() as receiver:
        notifier.endpoints.register(hung.url, owner="slow")
        notifier.endpoints.register(receiver.url, owner="quick")
        publish(notifier, "slow", 150)
        publish(notifier, "quick", 60)
        drain = threading.Thread(target=notifier.drain)
        drain.start()
        receiver.wait_for(60, timeout=30.0)
        # None of the hung one's attempts has come to its end by then.
        assert sum(d.attempts for n in notifier.history(recipient="slow", limit=1000) for d in n.deliveries) == 0  # fmt: skip
        notifier._parts.close()
        drain.join(60)


def test_an_endpoint_that_answers_promptly_again_gets_at_once_what_waited_for_it(make: Any) -> None:
    """At the pace of when it was slow, what was given back to wait comes over a minute."""
    notifier = make(attempt_deadline_seconds=8.0, batch_size=50, concurrency=8)
    with WebhookReceiver() as receiver:
        receiver.delay = 1.5 * SECOND
        _, secret = notifier.endpoints.register(receiver.url, owner="slow")
        receiver.add_secret(secret)
        publish(notifier, "slow", 200)
        stopped = threading.Event()

        def drain_again() -> None:
            while not stopped.is_set():
                notifier.drain()

        drain = threading.Thread(target=drain_again)
        drain.start()
        until(lambda: counts(notifier, "slow").get(("pending", "endpoint_busy"), 0) >= 150)
        receiver.delay = 0 * SECOND
        receiver.wait_for(200, timeout=20.0)
        stopped.set()
        drain.join(60)


def attempted(notifier: Notifier, count: int) -> int:
    """How many attempts at deliveries of the owners `o0` … have come to an end."""
    owners = (f"o{number}" for number in range(count))
    notes = [note for owner in owners for note in notifier.history(recipient=owner, limit=1000)]
    return sum(delivery.attempts for note in notes for delivery in note.deliveries)


@pytest.mark.parametrize("endpoints", [4, 24])
def test_many_hung_endpoints_of_a_tenant_do_not_hold_up_another_tenant(
    make: Any, endpoints: int
) -> None:
    """They could use every slot, and what waits for them fills a hand; the others are new as well."""
    notifier = make(attempt_deadline_seconds=12.0, batch_size=20, concurrency=16)
    other = notifier.for_tenant("other")
    drain = threading.Thread(target=notifier.drain)
    with WebhookReceiver() as receiver:
        with Hung() as hung:
            for number in range(endpoints):
                notifier.endpoints.register(hung.url, owner=f"o{number}")
            other.endpoints.register(receiver.url, owner="quick")
            for _ in range(10):
                for number in range(endpoints):
                    notifier.publish(Hooked(), owner=f"o{number}")
            drain.start()
            for number in range(1, 6):
                other.publish(Hooked(number=number), owner="quick")
                receiver.wait_for(number, timeout=30.0)
            assert attempted(notifier, endpoints) == 0
        notifier._parts.close()
        drain.join(60)


def test_hung_endpoints_do_not_hold_up_a_new_one_of_the_same_tenant(make: Any) -> None:
    notifier = make(attempt_deadline_seconds=12.0, batch_size=20, concurrency=32)
    drain = threading.Thread(target=notifier.drain)
    with WebhookReceiver() as receiver:
        with Hung() as hung:
            for number in range(9):
                notifier.endpoints.register(hung.url, owner=f"o{number}")
                publish(notifier, f"o{number}", 10)
            notifier.endpoints.register(receiver.url, owner="quick")
            publish(notifier, "quick", 20)
            drain.start()
            receiver.wait_for(20, timeout=30.0)
            assert attempted(notifier, 9) == 0
        notifier._parts.close()
        drain.join(60)


def test_an_endpoint_that_keeps_failing_is_blocked_and_tried_again(make: Any) -> None:
    """Its deliveries are parked without using up their attempts, and all go when it works again."""
    notifier = make()
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    notifier.endpoints.register(f"http://127.0.0.1:{port}/hook", owner="down")
    publish(notifier, "down", 60)
    notifier.drain()
    first = counts(notifier, "down")
    assert first[("parked", "endpoint_blocked")] > 0
    assert first[("pending", "retry")] >= 8
    assert sum(first.values()) == 60
    publish(notifier, "down", 5)
    notifier.drain()
    assert counts(notifier, "down")[("parked", "endpoint_blocked")] >= 5
    advance(notifier, 11 * SECOND)
    notifier.drain()
    again = counts(notifier, "down")
    assert again[("parked", "endpoint_blocked")] > 0, "a trial that failed blocks it again"
    with WebhookReceiver(port=port) as receiver:
        for _ in range(10):
            advance(notifier, timedelta(minutes=5))
            notifier.drain()
            if counts(notifier, "down") == {("delivered", "confirmed"): 65}:
                break
        assert counts(notifier, "down") == {("delivered", "confirmed"): 65}
        assert len({each.id for each in receiver.received}) == 65


def test_what_is_parked_for_an_endpoint_that_is_disabled_is_skipped(make: Any) -> None:
    notifier = make()
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    endpoint, _ = notifier.endpoints.register(f"http://127.0.0.1:{port}/hook", owner="down")
    publish(notifier, "down", 60)
    notifier.drain()
    parked = counts(notifier, "down")[("parked", "endpoint_blocked")]
    assert parked > 0
    notifier.endpoints.disable(endpoint.id)
    notifier.drain()
    after = counts(notifier, "down")
    assert after[("skipped", "endpoint_disabled")] >= parked
    assert ("parked", "endpoint_blocked") not in after


def test_what_is_parked_expires_in_time(make: Any) -> None:
    notifier = make()
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    notifier.endpoints.register(f"http://127.0.0.1:{port}/hook", owner="down")
    publish(notifier, "down", 30)
    notifier.drain()
    late = notifier.notify(Hooked(), to=Recipient(id="down"), expires=timedelta(seconds=2))
    notifier.drain()
    (found,) = notifier.history(notification_id=late.id)
    assert found.deliveries[0].reason == "endpoint_blocked"
    advance(notifier, 3 * SECOND)
    notifier.drain()
    (found,) = notifier.history(notification_id=late.id)
    assert found.deliveries[0].status == "expired"


def test_a_channel_that_waits_does_not_hold_up_another(make: Any) -> None:
    """A backlog of its deliveries is due first, and all its slots are taken."""
    pigeon, dog = Carrier("pigeon"), Carrier("dog")
    notifier = make(pigeon, dog, batch_size=10, concurrency=16)
    pigeon.gate.clear()
    for number in range(200):
        notifier.notify(Cooed(number=number), to=ANA)
    for number in range(50):
        notifier.notify(Barked(number=number), to=ANA)
    drain = threading.Thread(target=notifier.drain)
    drain.start()
    until(lambda: len(dog.sent) == 50)
    assert len(pigeon.sent) <= pigeon.concurrency
    notifier._parts.loop.call_soon(pigeon.gate.set)
    drain.join(60)
    assert len(pigeon.sent) == 200


def test_a_tenant_with_a_backlog_does_not_hold_up_another(make: Any) -> None:
    pigeon = Carrier("pigeon")
    notifier = make(pigeon, batch_size=20)
    busy, other = notifier.for_tenant("busy"), notifier.for_tenant("other")
    busy.notify_many(Cooed(), to=(Recipient(id=f"c{number}") for number in range(500)))
    other.notify_many(Cooed(), to=(Recipient(id=f"c{number}") for number in range(5)))
    notifier.drain()
    positions = [at for at, each in enumerate(pigeon.sent) if each.tenant == "other"]
    assert len(pigeon.sent) == 505
    assert max(positions) < 30


def test_what_is_urgent_goes_first(make: Any) -> None:
    pigeon = Carrier("pigeon")
    notifier = make(pigeon, batch_size=20)
    notifier.notify_many(Cooed(), to=(Recipient(id=f"c{number}") for number in range(100)))
    notifier.notify_many(Urgent(), to=(Recipient(id=f"c{number}") for number in range(10)))
    notifier.drain()
    assert [each.event_type for each in pigeon.sent[:10]] == ["isolation.urgent"] * 10


def test_a_channel_that_keeps_failing_is_left_alone_for_a_while(make: Any) -> None:
    """What is due stays due, and uses up no attempt."""
    pigeon, dog = Carrier("pigeon"), Carrier("dog")
    notifier = make(pigeon, dog)
    pigeon.fails = True
    for number in range(60):
        notifier.notify(Cooed(number=number), to=ANA)
    notifier.drain()
    tried = len(pigeon.sent)
    assert 8 <= tried < 60
    notifier.notify(Barked(), to=ANA)
    assert notifier.drain() == {"sent": 1}
    assert len(pigeon.sent) == tried
    pigeon.fails = False
    for _ in range(3):
        advance(notifier, timedelta(minutes=1))
        notifier.drain()
    assert len({each.id for each in pigeon.sent}) == 60
    assert set(counts(notifier, ANA.id)) == {("sent", "accepted")}


@pytest.mark.parametrize("code", [450, 452, 400, 404])
def test_a_transport_that_puts_recipients_off_is_not_blocked(make: Any, code: int) -> None:
    """It answers, so it works; each of its deliveries has its own schedule."""
    pigeon = Carrier("pigeon")
    pigeon.status_code = code
    pigeon.fails = True
    notifier = make(pigeon)
    notifier.notify_many(Cooed(), to=(Recipient(id=f"c{number}") for number in range(40)))
    assert notifier.drain() == {"pending": 40}
    assert len(pigeon.sent) == 40


def test_an_endpoints_rate_limit_holds_across_notifiers(make: Any) -> None:
    notifier, other = make(), make()
    with WebhookReceiver() as receiver:
        notifier.endpoints.register(receiver.url, owner="o", rate_limit="5/minute")
        publish(notifier, "o", 12)
        notifier.drain()
        other.drain()
        assert len(receiver.received) == 1
        assert counts(notifier, "o")[("pending", "rate_limited")] == 11
        for minute in range(1, 4):
            for _ in range(5):
                advance(notifier, 12 * SECOND)
                advance(other, timedelta(0))
                notifier.drain()
                other.drain()
            assert len(receiver.received) <= 1 + 5 * minute
        assert len(receiver.received) == 12


def test_a_channels_rate_limit_holds_across_notifiers(make: Any) -> None:
    pigeon = Carrier("pigeon")
    options: dict[str, Any] = {"rate_limits": "pigeon=10/second"}
    notifier, other = make(pigeon, **options), make(pigeon, **options)
    notifier.notify_many(Cooed(), to=(Recipient(id=f"c{number}") for number in range(35)))
    drains = [threading.Thread(target=each.drain) for each in (notifier, other)]
    frozen = notifier._parts.store.clock
    sent = 0
    for thread in drains:
        thread.start()
    for thread in drains:
        thread.join(60)
    assert 10 <= len(pigeon.sent) <= 35
    for _ in range(100):
        if len(pigeon.sent) == 35:
            break
        sent = len(pigeon.sent)
        advance(notifier, SECOND)
        advance(other, timedelta(0))
        notifier.drain()
        assert len(pigeon.sent) - sent <= 20
    assert len(pigeon.sent) == 35
    assert frozen is notifier._parts.store.clock


def test_what_is_not_sent_uses_up_nothing_of_its_channels_limit(make: Any) -> None:
    notifier = make(rate_limits="webhook=1/minute")
    with WebhookReceiver() as receiver, WebhookReceiver() as other:
        notifier.endpoints.register(receiver.url, owner="limited", rate_limit="1/day")
        publish(notifier, "limited", 1)
        notifier.drain()
        advance(notifier, timedelta(minutes=2))
        notifier.endpoints.register(other.url, owner="free")
        publish(notifier, "limited", 60)
        publish(notifier, "free", 1)
        notifier.drain()
        assert (len(receiver.received), len(other.received)) == (1, 1)
        assert counts(notifier, "limited")[("pending", "rate_limited")] == 60


@pytest.mark.parametrize("database_url", ["postgresql", "mariadb"], indirect=True)
def test_what_somebody_has_locked_when_its_breaker_closes_is_not_forgotten(make: Any) -> None:
    """On a server, that is; in SQLite nobody locks a row."""
    notifier = make()
    engine = notifier._parts.store._engine
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    notifier.endpoints.register(f"http://127.0.0.1:{port}/hook", owner="down")
    publish(notifier, "down", 8)
    notifier.drain()
    publish(notifier, "down", 2)
    notifier.drain()
    assert counts(notifier, "down")[("parked", "endpoint_blocked")] == 2
    with WebhookReceiver(port=port) as receiver:
        with engine.begin() as connection:
            parked = select(deliveries.c.id).where(deliveries.c.status == "parked")
            connection.execute(parked.with_for_update()).all()
            for _ in range(3):
                advance(notifier, timedelta(minutes=6))
                notifier.drain()
            assert len(receiver.received) == 8, "those that had been tried before close it"
        advance(notifier, 2 * SECOND)
        notifier.drain()
        assert counts(notifier, "down") == {("delivered", "confirmed"): 10}


@pytest.mark.parametrize("limits", ["pigeon", "pigeon=", "pigeon=0/second", "pigeon=5/week", "=5/second", "cat=5/second", "pigeon=1/second,pigeon=2/second"])  # fmt: skip
def test_rate_limits_that_make_no_sense_are_refused(make: Any, limits: str) -> None:
    with pytest.raises(ConfigurationError, match="rate_limits"):
        make(Carrier("pigeon"), rate_limits=limits)
