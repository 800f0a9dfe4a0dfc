"""The idempotency key: a repeat returns the first result, anything else under it is refused."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.orm import Session

from claimnotify import Event, IdempotencyConflict, InvalidInput, Notifier, Recipient
from claimnotify.store.engine import begin_immediate
from claimnotify.testing import RecordingDispatcher

KEY = "a-key-for-tests-of-thirty-two-characters"
ANA = Recipient(id="cus_7", email="ana@example.com")
BEN = Recipient(id="cus_8", email="ben@example.com")


class GateChanged(Event, type="idempotency.gate_changed", channels=("in_app", "webhook")):
    gate: str


class GateClosed(Event, type="idempotency.gate_closed", channels=("in_app", "webhook")):
    gate: str


@pytest.fixture
def rings() -> RecordingDispatcher:
    return RecordingDispatcher()


@pytest.fixture
def notifier(database_url: str, rings: RecordingDispatcher) -> Iterator[Notifier]:
    with Notifier.from_settings(
        dispatcher=rings, database_url=database_url, secret_keys=KEY
    ) as made:
        made.upgrade()
        yield made


def _written(notifier: Notifier) -> int:
    return len(notifier.history(limit=1000))


def test_a_repeat_returns_the_first_result_and_writes_and_rings_nothing(
    notifier: Notifier, rings: RecordingDispatcher
) -> None:
    first = notifier.notify(GateChanged(gate="A1"), to=ANA, idempotency_key="gate")
    again = notifier.notify(GateChanged(gate="A1"), to=ANA, idempotency_key="gate")
    assert (first.replayed, again.replayed) == (False, True)
    assert again.id == first.id
    assert [each.id for each in again.deliveries] == [each.id for each in first.deliveries]
    assert _written(notifier) == 1
    assert rings.rings == {"notifications": 1}


def test_a_repeat_tells_what_has_become_of_the_first(notifier: Notifier) -> None:
    notifier.notify(GateChanged(gate="A1"), to=ANA, idempotency_key="gate")
    notifier.drain()
    again = notifier.notify(GateChanged(gate="A1"), to=ANA, idempotency_key="gate")
    assert [each.status for each in again.deliveries] == ["delivered", "skipped"]


def test_the_time_of_sending_is_no_part_of_what_the_key_names(notifier: Notifier) -> None:
    """A caller that retries with `delay=` computed afresh means the same thing."""
    first = notifier.notify(
        GateChanged(gate="A1"), to=ANA, idempotency_key="gate", delay=timedelta(hours=1)
    )
    again = notifier.notify(
        GateChanged(gate="A1"), to=ANA, idempotency_key="gate", delay=timedelta(hours=2)
    )
    assert again.id == first.id


@pytest.mark.parametrize(
    ("event", "to"),
    [
        (GateChanged(gate="B2"), ANA),
        (GateClosed(gate="A1"), ANA),
        (GateChanged(gate="A1"), BEN),
    ],
    ids=["payload", "type", "recipient"],
)
def test_anything_else_under_the_key_is_a_conflict_and_writes_nothing(
    notifier: Notifier, event: Event, to: Recipient
) -> None:
    notifier.notify(GateChanged(gate="A1"), to=ANA, idempotency_key="gate")
    with pytest.raises(IdempotencyConflict) as refused:
        notifier.notify(event, to=to, idempotency_key="gate")
    assert refused.value.field == "idempotency_key"
    assert "gate" in refused.value.problem
    assert refused.value.remedy
    assert _written(notifier) == 1


def test_publishing_under_the_key_of_a_notification_is_a_conflict(notifier: Notifier) -> None:
    notifier.notify(GateChanged(gate="A1"), to=ANA, idempotency_key="gate")
    with pytest.raises(IdempotencyConflict):
        notifier.publish(GateChanged(gate="A1"), owner=ANA.id, idempotency_key="gate")


def test_each_tenant_has_keys_of_its_own(notifier: Notifier) -> None:
    other = notifier.for_tenant("acme")
    first = notifier.notify(GateChanged(gate="A1"), to=ANA, idempotency_key="gate")
    second = other.notify(GateChanged(gate="B2"), to=BEN, idempotency_key="gate")
    assert not second.replayed
    assert first.id != second.id


def test_notifications_without_a_key_are_never_joined(notifier: Notifier) -> None:
    ids = {notifier.notify(GateChanged(gate="A1"), to=ANA).id for _ in range(3)}
    assert len(ids) == 3


@pytest.mark.parametrize("key", ["", "  ", "two\nlines", "x" * 256])
def test_a_malformed_key_is_named_and_writes_nothing(notifier: Notifier, key: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        notifier.notify(GateChanged(gate="A1"), to=ANA, idempotency_key=key)
    assert refused.value.field == "idempotency_key"
    assert _written(notifier) == 0


def test_fifty_threads_without_a_session_write_one(
    notifier: Notifier, rings: RecordingDispatcher
) -> None:
    def notify(_number: int) -> str:
        return notifier.notify(GateChanged(gate="A1"), to=ANA, idempotency_key="gate").id

    with ThreadPoolExecutor(50) as pool:
        ids = set(pool.map(notify, range(50)))
    assert len(ids) == 1
    assert [each.id for each in notifier.history()] == list(ids)
    assert rings.rings == {"notifications": 1}


async def test_fifty_tasks_without_a_session_write_one(notifier: Notifier) -> None:
    results = await asyncio.gather(
        *(
            notifier.anotify(GateChanged(gate="A1"), to=ANA, idempotency_key="gate")
            for _ in range(50)
        )
    )
    assert len({result.id for result in results}) == 1
    assert sum(not result.replayed for result in results) == 1
    assert _written(notifier) == 1


def test_a_repeated_batch_continues_where_it_stopped(notifier: Notifier) -> None:
    """A call that broke off after some chunks is made again as it was."""
    people = [Recipient(id=f"cus_{number}") for number in range(250)]

    def until(number: int) -> Iterator[Recipient]:
        yield from people[:number]
        raise ConnectionError("the list broke off")

    def call(to: Iterator[Recipient]) -> tuple[int, int]:
        result = notifier.notify_many(
            lambda person: GateChanged(gate=person.id),
            to=to,
            idempotency_key_for=lambda person: f"nov-{person.id}",
        )
        return result.notifications, result.replayed

    with pytest.raises(ConnectionError):
        call(until(220))
    assert _written(notifier) == 200
    assert call(iter(people)) == (50, 200)
    assert _written(notifier) == 250
    assert call(iter(people)) == (0, 250)


def test_the_same_person_twice_in_a_batch_is_told_once(notifier: Notifier) -> None:
    result = notifier.notify_many(
        GateChanged(gate="A1"), to=[ANA, BEN, ANA], idempotency_key_for=lambda person: person.id
    )
    assert (result.notifications, result.replayed) == (2, 1)
    assert sorted(each.owner for each in notifier.history()) == ["cus_7", "cus_8"]


def test_a_conflict_in_a_batch_leaves_none_of_its_chunk(notifier: Notifier) -> None:
    notifier.notify(GateChanged(gate="B2"), to=BEN, idempotency_key="cus_8")
    with pytest.raises(IdempotencyConflict):
        notifier.notify_many(
            GateChanged(gate="A1"), to=[ANA, BEN], idempotency_key_for=lambda person: person.id
        )
    assert [each.owner for each in notifier.history()] == ["cus_8"]


def test_a_caller_who_commits_after_a_conflict_commits_no_half_of_the_batch(
    notifier: Notifier, rings: RecordingDispatcher, database_url: str
) -> None:
    """In the caller's transaction there is no rollback that would undo the rest of the chunk."""
    notifier.notify(GateChanged(gate="B2"), to=BEN, idempotency_key="cus_8")
    rung = rings.rings.total()
    engine = create_engine(database_url)
    if engine.dialect.name == "sqlite":
        begin_immediate(engine)
    with Session(engine) as session:
        with pytest.raises(IdempotencyConflict):
            notifier.notify_many(
                GateChanged(gate="A1"),
                to=[ANA, BEN],
                idempotency_key_for=lambda person: person.id,
                session=session,
            )
        session.commit()
        counts = session.execute(
            text(
                "SELECT (SELECT count(*) FROM claimnotify_notifications),"
                " (SELECT count(*) FROM claimnotify_deliveries)"
            )
        ).one()
    engine.dispose()
    assert tuple(counts) == (1, 2)
    assert rings.rings.total() == rung
    assert not notifier.notify(GateChanged(gate="A1"), to=ANA, idempotency_key="cus_7").replayed
