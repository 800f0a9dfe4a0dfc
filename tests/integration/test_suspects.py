"""A delivery and a job that their workers died over are not done at the same time in one process."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from claimnotify import Event, Recipient, job
from claimnotify.delivery.hand import Hand
from claimnotify.delivery.intake import Intake
from claimnotify.delivery.job_intake import JobIntake
from claimnotify.model.job_specs import registry
from claimnotify.testing import FakeNotifier, fake_notifier

DEADLINE = 30.0


class SeatHeld(Event, type="suspects.seat_held", channels=("in_app",)):
    number: int


@pytest.fixture
def notifier() -> Iterator[FakeNotifier]:
    before = set(registry)
    with fake_notifier(attempt_deadline_seconds=1, lease_seconds=8) as made:
        yield made
    for spec in set(registry) - before:
        registry.remove(spec.function)


@pytest.fixture
def quick() -> Callable[[], None]:
    def quick() -> None: ...

    return job(name="suspects.quick")(quick)


def suspect(notifier: FakeNotifier, table: str, row_id: str) -> None:
    """Let a row look as if two workers had died over it."""
    engine = create_engine(notifier._parts.store.url)
    with engine.begin() as connection:
        connection.execute(
            text(
                f"UPDATE claimnotify_{table} SET lane = NULL, due_at = NULL, crashes = 2,"
                " lease_token = 'dead', lease_until = '2026-01-01 00:00:00.000000' WHERE id = :id"
            ),
            {"id": row_id},
        )
    engine.dispose()


def notify(notifier: FakeNotifier, number: int) -> str:
    accepted = notifier.notify(SeatHeld(number=number), to=Recipient(id="ana"))
    return accepted.deliveries[0].id


def job_intake(notifier: FakeNotifier) -> JobIntake:
    parts = notifier._parts
    return JobIntake(
        "processing",
        jobs=parts.store.jobs,
        registry=registry,
        planner=parts.jobs._planner("processing"),
        keeper=parts.jobs.keeper,
        company=parts.jobs.company,
        clock=parts.store.clock,
        concurrency=8,
        on_more=lambda _queue: None,
    )


def intake(notifier: FakeNotifier) -> tuple[Intake, Hand]:
    parts = notifier._parts
    hand = Hand(parts.channels, refill_at=64)
    made = Intake(
        "notifications",
        work=parts.store.work,
        keeper=parts.keeper,
        hand=hand,
        clock=parts.store.clock,
        batch_size=10,
        rates={},
        on_more=lambda _queue: None,
        solitude=parts.jobs.company.solitude,
    )
    return made, hand


def ids(lease: Any) -> list[str]:
    if lease is None:
        return []
    return [each.id for each in lease.jobs]


def test_a_job_waits_while_a_delivery_is_sent_alone(
    notifier: FakeNotifier, quick: Callable[[], None]
) -> None:
    deliveries, hand = intake(notifier)
    jobs = job_intake(notifier)
    delivery, suspected = notify(notifier, 1), notifier.enqueue(quick)
    suspect(notifier, "deliveries", delivery)
    suspect(notifier, "jobs", suspected.id)
    lease = deliveries.look().lease
    assert lease is not None
    assert lease.alone
    assert [work.delivery.id for work in lease.works] == [delivery]
    assert ids(jobs.look()) == [], "it would be blamed for what the delivery does"
    hand.remove("in_app")
    deliveries.look()
    jobs.look_everywhere()
    assert ids(jobs.look()) == [suspected.id]
    jobs.let_go()


def test_a_delivery_waits_while_a_job_is_run_alone_and_others_are_sent(
    notifier: FakeNotifier, quick: Callable[[], None]
) -> None:
    deliveries, _ = intake(notifier)
    jobs = job_intake(notifier)
    suspected = notifier.enqueue(quick)
    first, other = notify(notifier, 1), notify(notifier, 2)
    suspect(notifier, "jobs", suspected.id)
    suspect(notifier, "deliveries", first)
    assert ids(jobs.look()) == [suspected.id]
    lease = deliveries.look().lease
    assert lease is not None
    assert [work.delivery.id for work in lease.works] == [other]
    assert 0.2 <= deliveries.pause() <= 1, "it does not turn in circles while it waits"
    jobs.let_go()
    deliveries.close()


def test_a_job_that_never_ends_does_not_keep_another_from_being_run_alone(
    notifier: FakeNotifier, quick: Callable[[], None]
) -> None:
    go_on, begun = threading.Event(), threading.Event()

    @job(name="suspects.hangs", timeout=timedelta(milliseconds=50))
    def hangs() -> None:
        begun.set()
        assert go_on.wait(DEADLINE)

    notifier.enqueue(hangs)
    worker = notifier.queue_worker("processing")
    worker.start()
    try:
        assert begun.wait(DEADLINE)
        suspected = notifier.enqueue(quick, delay=timedelta(hours=1))
        suspect(notifier, "jobs", suspected.id)
        end = time.monotonic() + DEADLINE / 2
        while notifier.jobs(job_id=suspected.id)[0].status != "succeeded":
            assert time.monotonic() < end, "it waits for a job that has overrun its timeout"
            threading.Event().wait(0.02)
    finally:
        go_on.set()
        worker.stop()
        assert worker.join(DEADLINE)


def test_outcomes_that_cannot_be_written_are_tried_a_few_times_a_second_while_stopping(
    notifier: FakeNotifier, quick: Callable[[], None], caplog: pytest.LogCaptureFixture
) -> None:
    """As when the server refuses connections at once; it must cost neither a core nor the log."""
    go_on, begun = threading.Event(), threading.Event()

    @job(name="suspects.waits")
    def waits() -> None:
        begun.set()
        assert go_on.wait(DEADLINE)

    notifier.enqueue(waits)
    worker = notifier.queue_worker("processing")
    worker.start()
    assert begun.wait(DEADLINE)
    engine = create_engine(notifier._parts.store.url)
    with engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE claimnotify_jobs RENAME TO claimnotify_gone")
    worker.stop()
    began = time.monotonic()
    go_on.set()
    while caplog.text.count("could not be written yet") < 4:
        assert time.monotonic() < began + DEADLINE
        threading.Event().wait(0.01)
    assert time.monotonic() - began > 0.5
    with engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE claimnotify_gone RENAME TO claimnotify_jobs")
    assert worker.join(DEADLINE)
    engine.dispose()
    assert notifier.status() == {}
