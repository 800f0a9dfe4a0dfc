"""A notifier works over any store that keeps the contract: nothing above the seam is SQL's."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from typing import Any

import pytest

from claimnotify import Event, Notifier, Recipient
from claimnotify.composition import assemble
from claimnotify.errors import ConfigurationError, PermanentDeliveryError, TransientDeliveryError
from claimnotify.model.events import catalogue
from claimnotify.model.queues import DELIVERIES
from claimnotify.settings import Settings
from claimnotify.testing import MemoryStore, RecordingDispatcher

ANA = Recipient(id="cus_7")
HOUR = timedelta(hours=1)


class Kept(Event, type="own.kept", channels=("in_app", "pigeon")):
    text: str = "coo"


catalogue.remove(Kept)


class Pigeon:
    name = "pigeon"
    ready = True
    attempt_deadline = timedelta(seconds=5)

    def __init__(self) -> None:
        self.answers: list[Exception] = []
        self.sent = 0

    def addresses(self, recipient: Recipient) -> tuple[str, ...]:
        return (recipient.id,)

    async def send(self, message: Any, delivery: Any) -> Any:
        from claimnotify import Receipt

        self.sent += 1
        if self.answers:
            raise self.answers.pop(0)
        return Receipt(provider_id="ring-1")

    async def open(self) -> None: ...

    async def aclose(self) -> None: ...


@pytest.fixture
def pigeon() -> Pigeon:
    return Pigeon()


@pytest.fixture
def stores() -> list[MemoryStore]:
    return []


@pytest.fixture
def notifier(pigeon: Pigeon, stores: list[MemoryStore]) -> Iterator[Notifier]:
    from claimnotify.channels.in_app import InAppChannel

    def make(ring: Callable[[str], None]) -> MemoryStore:
        stores.append(MemoryStore(ring))
        return stores[-1]

    channels: Mapping[str, Any] = {
        "pigeon": lambda _context: pigeon,
        "in_app": lambda _context: InAppChannel(),
    }
    settings = Settings.load(secret_keys="k" * 40)
    parts = assemble(settings, store=make, dispatcher=RecordingDispatcher(), channels=channels)
    notifier = Notifier(parts, tenant="default", events=[Kept])
    yield notifier
    notifier.close()


def test_what_is_accepted_is_sent(
    notifier: Notifier, pigeon: Pigeon, stores: list[MemoryStore]
) -> None:
    pigeon.answers = [TransientDeliveryError("rain"), PermanentDeliveryError("no such loft")]
    result = notifier.notify(Kept(), to=ANA, idempotency_key="k")
    assert notifier.notify(Kept(), to=ANA, idempotency_key="k").replayed
    assert notifier.drain() == {"delivered": 1, "pending": 1}
    assert notifier.drain() == {}
    stores[0].advance(24 * HOUR)
    assert notifier.drain() == {"failed": 1}
    (found,) = notifier.history()
    assert found.id == result.id
    assert {d.channel: (d.status, d.attempts) for d in found.deliveries} == {
        "in_app": ("delivered", 1),
        "pigeon": ("failed", 2),
    }
    assert notifier.inbox.unread_count("cus_7") == 1
    assert notifier.status() == {}
    assert notifier.describe()["database"] == "memory"


def test_what_is_scheduled_waits_and_can_be_cancelled(
    notifier: Notifier, pigeon: Pigeon, stores: list[MemoryStore]
) -> None:
    cancelled = notifier.notify(Kept(), to=ANA, delay=HOUR)
    notifier.notify(Kept(), to=ANA, delay=HOUR)
    assert notifier.cancel(cancelled.id) == 2
    assert notifier.drain() == {}
    stores[0].advance(HOUR)
    assert notifier.drain() == {"delivered": 1, "sent": 1}
    assert pigeon.sent == 1


def test_it_rings_the_notifier_s_doorbell(notifier: Notifier) -> None:
    notifier.notify(Kept(), to=ANA)
    assert isinstance(notifier.dispatcher, RecordingDispatcher)
    assert notifier.dispatcher.rings == {DELIVERIES: 1}


def test_a_session_is_refused(notifier: Notifier) -> None:
    with pytest.raises(ConfigurationError, match="memory"):
        notifier.notify(Kept(), to=ANA, session=object())
    assert notifier.history() == []


def test_secret_keys_have_to_be_given() -> None:
    with pytest.raises(ConfigurationError, match="secret_keys"):
        Notifier.from_settings(store=MemoryStore, channels={})
