"""Jobs in one process: they run, fail, retry, wait and stop as declared."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Annotated, Any

import pytest
from sqlalchemy import create_engine
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

from claimnotify import (
    Event,
    JobContext,
    Notifier,
    PermanentJobError,
    Recipient,
    RetrySchedule,
    TransientJobError,
    job,
)
from claimnotify.errors import IdempotencyConflict, InvalidInput
from claimnotify.model.job_specs import registry
from claimnotify.testing import FakeNotifier, fake_notifier
from tests.waiting import until

MINUTE = timedelta(minutes=1)
DEADLINE = 30.0
CALLS: list[Any] = []


@pytest.fixture(autouse=True)
def _own_jobs() -> Iterator[None]:
    CALLS.clear()
    before = set(registry)
    yield
    for spec in set(registry) - before:
        registry.remove(spec.function)


@pytest.fixture
def notifier() -> Iterator[FakeNotifier]:
    with fake_notifier(attempt_deadline_seconds=1, lease_seconds=8) as made:
        yield made


@pytest.fixture
def worker(notifier: FakeNotifier) -> Iterator[Any]:
    """A worker of the queue `processing`, to be started when the test has declared its jobs.

    Of a function that is declared while it looks for work it does not know how many may run at once.
    """
    made = notifier.queue_worker("processing")
    yield made
    made.stop()
    assert made.join(DEADLINE)


def state(notifier: Notifier, number: int = 0) -> tuple[str, str, int]:
    """The state, reason and attempts of the newest job, or of one before it."""
    found = notifier.jobs()[number]
    return (found.status, found.reason, found.attempts)


def test_a_context_is_given_however_it_is_annotated(notifier: FakeNotifier) -> None:
    @job(name="maybe")
    def maybe(context: JobContext | None = None) -> None:
        CALLS.append(context)

    @job(name="noted")
    async def noted(context: Annotated[JobContext, "its run"]) -> None:
        CALLS.append(context)

    made = [notifier.enqueue(maybe, unique_key="k"), notifier.enqueue(noted)]
    assert notifier.enqueue(maybe, unique_key="k").id == made[0].id
    assert notifier.run_jobs() == {"succeeded": 2}
    assert {context.job.id for context in CALLS} == {each.id for each in made}


def test_a_job_is_called_with_its_arguments(notifier: FakeNotifier) -> None:
    @job(name="add")
    def add(a: int, b: int = 2, *, context: JobContext) -> None:
        CALLS.append((a, b, context.attempt, context.job.name))
        assert timedelta(0) < context.remaining() <= timedelta(minutes=5)

    made = notifier.enqueue(add, a=1)
    assert notifier.rings.rings == {"processing": 1}
    assert notifier.status() == {("processing", "pending", "queued"): 1}
    assert notifier.run_jobs() == {"succeeded": 1}
    assert CALLS == [(1, 2, 1, "add")]
    assert state(notifier) == ("succeeded", "returned", 1)
    assert [each.id for each in notifier.jobs(name="add", status="succeeded")] == [made.id]
    assert notifier.status() == {}


def test_bad_arguments_fail_at_enqueue_and_write_nothing(notifier: FakeNotifier) -> None:
    @job(name="count")
    def count(number: int) -> None: ...

    for arguments in ({}, {"number": "x"}, {"number": 1, "more": 2}):
        with pytest.raises(InvalidInput):
            notifier.enqueue(count, **arguments)
    with pytest.raises(InvalidInput, match="is no job"):
        notifier.enqueue(until)
    with pytest.raises(InvalidInput, match="together"):
        notifier.enqueue(count, number=1, delay=MINUTE, at=notifier._parts.store.clock.now())
    assert notifier.jobs() == []
    assert notifier.rings.rings == {}


def test_equal_arguments_under_one_key_are_one_job(notifier: FakeNotifier) -> None:
    @job(name="seats")
    def seats(names: set[str], rows: dict[str, int], hold: int = 2) -> None: ...

    first = notifier.enqueue(seats, names={"a", "b"}, rows={"x": 1, "y": 2}, unique_key="k")
    again = notifier.enqueue(seats, rows={"y": 2, "x": 1}, names={"b", "a"}, hold=2, unique_key="k")
    assert again.id == first.id
    with pytest.raises(IdempotencyConflict):
        notifier.enqueue(seats, names={"a"}, rows={"x": 1, "y": 2}, unique_key="k")


async def test_an_async_job_runs_and_can_use_the_notifier(notifier: FakeNotifier) -> None:
    class JobDone(Event, type="job.done", channels=("in_app",)):
        pass

    @job(name="tell")
    async def tell(person: str, context: JobContext) -> None:
        await asyncio.sleep(0)
        await context.notifier.anotify(JobDone(), to=Recipient(id=person))

    await notifier.for_tenant("acme").aenqueue(tell, person="cus_7")
    assert await notifier.arun_jobs() == {"succeeded": 1}
    acme = notifier.for_tenant("acme")
    assert [note.event_type for note in acme.history(recipient="cus_7")] == ["job.done"]
    assert (notifier.history(), notifier.jobs()) == ([], [])
    assert len(await acme.ajobs()) == 1


async def test_an_async_session_is_joined(notifier: FakeNotifier) -> None:
    @job(name="plain")
    def plain() -> None: ...

    url = str(notifier._parts.store.url).replace("sqlite://", "sqlite+aiosqlite://")
    engine = create_async_engine(url)
    async with AsyncSession(engine) as session:
        await notifier.aenqueue(plain, session=session)
        await session.rollback()
        assert await notifier.ajobs() == []
        await notifier.aenqueue(plain, session=session)
        await session.commit()
    await engine.dispose()
    assert len(await notifier.ajobs()) == 1
    assert notifier.rings.rings == {"processing": 1}


def test_a_failed_job_is_retried_by_its_schedule(notifier: FakeNotifier) -> None:
    @job(name="shaky", retry=RetrySchedule.of(MINUTE, MINUTE, jitter=0))
    def shaky(iban: str, context: JobContext) -> None:
        CALLS.append(context.attempt)
        if context.attempt < 3:
            raise ValueError(f"cannot pay {iban}")

    notifier.enqueue(shaky, iban="DE89370400440532013000")
    assert notifier.run_jobs() == {"pending": 1}
    assert state(notifier) == ("pending", "retry", 1)
    assert notifier.run_jobs() == {}
    for _ in range(2):
        notifier.advance(2 * MINUTE)
        notifier.run_jobs()
    assert CALLS == [1, 2, 3]
    assert state(notifier) == ("succeeded", "returned", 3)


def test_errors_are_told_without_the_values_of_arguments(
    notifier: FakeNotifier, caplog: pytest.LogCaptureFixture
) -> None:
    secret = "DE89370400440532013000"

    @job(name="leaky", retry=RetrySchedule.of())
    def leaky(iban: str) -> None:
        raise ValueError(f"cannot pay {iban}")

    notifier.enqueue(leaky, iban=secret)
    with caplog.at_level(logging.DEBUG):
        notifier.run_jobs()
    (failed,) = notifier.jobs()
    assert (failed.status, failed.reason) == ("failed", "exhausted")
    assert failed.error.startswith("ValueError at test_jobs.py:")
    assert failed.error.endswith("in leaky")
    told = [caplog.text, failed.error, repr(failed), *(str(r.__dict__) for r in caplog.records)]
    assert not any(secret in text for text in told)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (PermanentJobError("the claim was withdrawn"), ("failed", "rejected", 1)),
        (TransientJobError("the bank is closed", retry_after=5 * MINUTE), ("pending", "retry", 1)),
        (SystemExit(3), ("pending", "retry", 1)),
        (asyncio.CancelledError(), ("pending", "retry", 1)),
    ],
)
@pytest.mark.parametrize("kind", ["sync", "async"])
def test_what_a_job_raises_decides(
    notifier: FakeNotifier, error: BaseException, expected: tuple[str, str, int], kind: str
) -> None:
    def fail() -> None:
        raise error

    async def fail_later() -> None:
        raise error

    function = job(name="fail", retry=RetrySchedule.of(MINUTE))(
        fail if kind == "sync" else fail_later
    )
    notifier.enqueue(function)
    notifier.run_jobs()
    assert state(notifier) == expected
    (found,) = notifier.jobs()
    if isinstance(error, PermanentJobError | TransientJobError):
        assert found.error == f"{type(error).__name__}: {error.problem}"
    if isinstance(error, TransientJobError):
        assert found.due_at is not None
        assert found.due_at - found.created_at > 4 * MINUTE


def test_an_async_job_that_takes_too_long_is_cancelled(notifier: FakeNotifier) -> None:
    @job(name="slow", timeout=timedelta(seconds=0.05), retry=RetrySchedule.of(MINUTE, jitter=0))
    async def slow() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            CALLS.append("cancelled")

    notifier.enqueue(slow)
    assert notifier.run_jobs() == {"pending": 1}
    notifier.advance(2 * MINUTE)
    assert notifier.run_jobs() == {"failed": 1}
    assert CALLS == ["cancelled"] * 2
    assert state(notifier) == ("failed", "timed_out", 2)


def test_a_sync_job_that_overruns_keeps_its_place_until_it_returns(
    notifier: FakeNotifier, worker: Any, caplog: pytest.LogCaptureFixture
) -> None:
    begun, go_on = threading.Event(), threading.Event()

    @job(name="stuck", timeout=timedelta(seconds=0.05), concurrency=1)
    def stuck(context: JobContext) -> None:
        begun.set()
        go_on.wait(DEADLINE)
        CALLS.append(context.remaining() < timedelta(0))

    for _ in range(2):
        notifier.enqueue(stuck)
    worker.start()
    until(lambda: "overrun its timeout" in caplog.text, "the warning")
    assert begun.wait(DEADLINE)
    assert notifier.status() == {
        ("processing", "running", "leased"): 1,
        ("processing", "pending", "queued"): 1,
    }
    go_on.set()
    until(lambda: not notifier.status(), "the jobs")
    assert CALLS[0] is True
    assert {each.status for each in notifier.jobs()} == {"succeeded"}


def test_a_blocking_job_does_not_delay_another_kind(notifier: FakeNotifier, worker: Any) -> None:
    go_on, quick_ones = threading.Event(), threading.Semaphore(0)

    @job(name="blocking", concurrency=3)
    def blocking() -> None:
        CALLS.append("blocking")
        go_on.wait()  # however long the machine takes to get there

    @job(name="blocking.loop")
    async def blocking_loop() -> None:
        go_on.wait()  # as some do

    @job(name="quick")
    def quick() -> None:
        quick_ones.release()

    try:
        notifier.enqueue(blocking_loop)
        for _ in range(50):
            notifier.enqueue(blocking)
        worker.start()
        until(lambda: len(CALLS) == 3, "the blocking jobs")
        for _ in range(20):
            notifier.enqueue(quick)
            worker.wake()
            assert quick_ones.acquire(timeout=DEADLINE), "a quick job waited for the others"
        assert len(CALLS) == 3
        running = ("processing", "running", "leased")
        until(lambda: notifier.status()[running] == 4, "the last quick job's outcome")
    finally:
        go_on.set()


def test_no_more_are_leased_than_run_at_once() -> None:
    running, most, lock = [0], [0], threading.Lock()

    @job(name="counted", concurrency=100)
    def counted() -> None:
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        threading.Event().wait(0.01)  # so that others come beside it
        with lock:
            running[0] -= 1

    with fake_notifier(job_concurrency=4) as notifier:
        for _ in range(40):
            notifier.enqueue(counted)
        assert notifier.run_jobs() == {"succeeded": 40}
    assert 1 < most[0] <= 4


def test_an_unknown_job_is_deferred_and_shown(notifier: FakeNotifier) -> None:
    @job(name="elsewhere")
    def elsewhere() -> None:
        CALLS.append("ran")

    notifier.enqueue(elsewhere)
    registry.remove(elsewhere)
    assert notifier.run_jobs() == {"pending": 1}
    assert notifier.status() == {("processing", "pending", "unknown_work"): 1}
    notifier.advance(MINUTE)
    job(name="elsewhere")(elsewhere)
    assert notifier.run_jobs() == {"succeeded": 1}
    assert state(notifier) == ("succeeded", "returned", 1)


def test_a_worker_without_the_function_leaves_it_to_others(
    notifier: FakeNotifier, worker: Any
) -> None:
    @job(name="elsewhere")
    def elsewhere() -> None: ...

    notifier.enqueue(elsewhere)
    registry.remove(elsewhere)
    worker.start()
    deferred = ("processing", "pending", "unknown_work")
    until(lambda: notifier.status() == {deferred: 1}, "the deferral")
    notifier.advance(MINUTE)
    # It is due again now. This worker does not take it, so that any other can.
    for _ in range(3):
        worker.wake()
    lease = notifier._parts.store.jobs.lease("processing", limit=1, duration=MINUTE)
    assert lease is not None


def test_arguments_of_another_version_are_tried_again(notifier: FakeNotifier) -> None:
    retry = RetrySchedule.of(MINUTE, jitter=0)

    @job(name="versioned", retry=retry)
    def old(amount: int) -> None: ...

    notifier.enqueue(old, amount=7)
    registry.remove(old)

    @job(name="versioned", retry=retry)
    def new(amount: int, currency: str) -> None: ...

    assert notifier.run_jobs() == {"pending": 1}
    notifier.advance(2 * MINUTE)
    assert notifier.run_jobs() == {"failed": 1}
    (found,) = notifier.jobs()
    assert (found.status, found.reason) == ("failed", "invalid_arguments")
    assert found.error.endswith("the stored arguments do not fit: currency")


def test_keys_of_stored_arguments_that_do_not_fit_are_not_told(notifier: FakeNotifier) -> None:
    @job(name="versioned", retry=RetrySchedule.of())
    def old(by_iban: dict[str, str]) -> None: ...

    notifier.enqueue(old, by_iban={"DE02": "much"})
    registry.remove(old)

    @job(name="versioned", retry=RetrySchedule.of())
    def new(by_iban: dict[str, int]) -> None: ...

    assert notifier.run_jobs() == {"failed": 1}
    assert notifier.jobs()[0].error.endswith("the stored arguments do not fit: by_iban")


def test_a_function_that_returns_an_awaitable_is_refused(notifier: FakeNotifier) -> None:
    async def inner() -> None: ...

    @job(name="wrapped")
    def wrapped() -> Any:
        return inner()

    notifier.enqueue(wrapped)
    notifier.run_jobs()
    assert state(notifier) == ("failed", "rejected", 1)


def test_a_job_that_enqueues_another_is_followed_up(notifier: FakeNotifier) -> None:
    @job(name="second", queue="processing")
    def second() -> None:
        CALLS.append(2)

    @job(name="first", queue="scheduled")
    def first(context: JobContext) -> None:
        context.notifier.enqueue(second)

    notifier.enqueue(first)
    assert notifier.run_jobs() == {"succeeded": 2}
    assert CALLS == [2]


def test_stopping_lets_jobs_end_and_gives_back_the_others(notifier: FakeNotifier) -> None:
    begun, go_on = threading.Barrier(4), threading.Event()

    @job(name="ends")
    def ends() -> None:
        begun.wait(DEADLINE)

    @job(name="stays")
    def stays() -> None:
        begun.wait(DEADLINE)
        go_on.wait(DEADLINE)

    @job(name="stays.too")
    async def stays_too() -> None:
        await asyncio.to_thread(begun.wait, DEADLINE)
        await asyncio.Event().wait()

    made = [notifier.enqueue(each) for each in (ends, stays, stays_too)]
    worker = notifier.queue_worker("processing")
    worker.start()
    try:
        begun.wait(DEADLINE)
        worker.stop()
        assert worker.join(DEADLINE)
        found = {each.id: each for each in notifier.jobs()}
        ended, sync, not_sync = (found[each.id] for each in made)
        assert (ended.status, ended.reason) == ("succeeded", "returned")
        for each in (sync, not_sync):
            assert (each.status, each.reason, each.attempts) == ("pending", "released", 0)
        assert sync.due_at is not None
        assert not_sync.due_at is not None
        # What cannot be stopped is not due before its process has ended.
        assert sync.due_at - not_sync.due_at >= timedelta(seconds=7)
    finally:
        go_on.set()


@pytest.mark.parametrize("ending", [False, True])
def test_a_hastened_runner_gives_back_what_can_be_cancelled(
    notifier: FakeNotifier, ending: bool
) -> None:
    """What cannot be is waited for, unless the process ends with it."""
    begun, go_on = threading.Barrier(3), threading.Event()

    @job(name="sync")
    def sync() -> None:
        begun.wait(DEADLINE)
        go_on.wait(DEADLINE)

    @job(name="not.sync")
    async def not_sync() -> None:
        await asyncio.to_thread(begun.wait, DEADLINE)
        await asyncio.Event().wait()

    for each in (sync, not_sync):
        notifier.enqueue(each)
    runner: Any = notifier.queue_drain("processing")
    running = threading.Thread(target=runner.until_idle, daemon=True)
    running.start()

    def states() -> dict[str, tuple[str, str, int]]:
        return {each.name: (each.status, each.reason, each.attempts) for each in notifier.jobs()}

    released = ("pending", "released", 0)
    try:
        begun.wait(DEADLINE)
        runner.stop()
        runner.hasten(timedelta(0), ending=ending)
        until(lambda: states()["not.sync"] == released, "the async job's return")
        if ending:
            running.join(DEADLINE)
            assert states()["sync"] == released
        else:
            running.join(5)  # longer than a process that ends would wait
            assert running.is_alive()
            assert states()["sync"] == ("running", "leased", 0)
    finally:
        go_on.set()
    running.join(DEADLINE)
    assert not running.is_alive()
    if not ending:
        assert states()["sync"] == ("succeeded", "returned", 1)


def test_an_async_job_that_leaves_a_thread_at_work_is_not_due_before_its_process_has_ended(
    notifier: FakeNotifier,
) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        go_on.wait(DEADLINE)

    @job(name="threaded")
    async def threaded() -> None:
        await asyncio.to_thread(work)

    notifier.enqueue(threaded)
    worker = notifier.queue_worker("processing")
    worker.start()
    try:
        assert begun.wait(DEADLINE)
        worker.stop()
        assert worker.join(DEADLINE)
        (found,) = notifier.jobs()
        assert (found.status, found.reason, found.attempts) == ("pending", "released", 0)
        assert found.due_at is not None
        assert found.due_at - notifier._parts.store.clock.now() > timedelta(seconds=5)
    finally:
        go_on.set()


def test_inline_dispatch_runs_jobs_at_once(tmp_path: Any) -> None:
    @job(name="inline")
    def inline() -> None:
        CALLS.append("ran")

    url = f"sqlite:///{tmp_path / 'inline.db'}"
    with Notifier.from_settings(
        database_url=url, queue_url="inline://", secret_keys="x" * 32
    ) as notifier:
        notifier.enqueue(inline)
        assert CALLS == ["ran"]


def test_what_was_run_is_recorded_before_its_lapsed_lease_is_taken(
    notifier: FakeNotifier, worker: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """The database is locked for longer than the lease, as the clock is moved meanwhile."""
    engine = create_engine(notifier._parts.store.url)
    begun, go_on = threading.Event(), threading.Event()

    @job(name="once")
    def once() -> None:
        CALLS.append("ran")
        begun.set()
        go_on.wait(DEADLINE)

    made = notifier.enqueue(once)
    worker.start()
    assert begun.wait(DEADLINE)
    notifier._parts.jobs.keeper.close()  # it, too, would come too late
    with engine.connect() as connection:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        go_on.set()
        connection.exec_driver_sql(
            "INSERT INTO claimnotify_meta (name, value) VALUES ('clock_offset_us', '60000000')"
        )
        until(lambda: "could not be written yet" in caplog.text, "the first try to record")
        connection.commit()
    engine.dispose()
    until(lambda: not notifier.status(), "the outcome")
    (kept,) = notifier.jobs(job_id=made.id)
    assert (kept.status, kept.attempts) == ("succeeded", 1)
    assert CALLS == ["ran"]


def test_a_database_that_is_locked_costs_no_outcome(notifier: FakeNotifier, worker: Any) -> None:
    engine = create_engine(notifier._parts.store.url)

    @job(name="locks")
    def locks() -> None:
        CALLS.append("ran")

    worker.start()
    notifier.enqueue(locks)
    with engine.connect() as connection:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        worker.wake()
        connection.rollback()
    until(lambda: not notifier.status(), "the job")
    engine.dispose()
    assert CALLS == ["ran"]
