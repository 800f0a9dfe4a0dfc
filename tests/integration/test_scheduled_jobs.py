"""Schedules: each slot runs once however many workers there are; missed ones follow the policy."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from claimnotify import JobContext, Notifier, job, scheduled
from claimnotify.model.job_specs import registry
from claimnotify.model.jobs import Job
from claimnotify.testing import FakeNotifier, fake_notifier
from tests.waiting import until

HOUR = timedelta(hours=1)
ran: list[datetime] = []


@pytest.fixture(autouse=True)
def _own_jobs() -> Iterator[None]:
    ran.clear()
    before = set(registry)
    yield
    for spec in set(registry) - before:
        registry.remove(spec.function)


@pytest.fixture
def notifier() -> Iterator[FakeNotifier]:
    with fake_notifier() as made:
        now = made._parts.store.clock.now()
        made.advance(timedelta(minutes=90) - (now - now.replace(minute=0, second=0, microsecond=0)))
        yield made  # at half past some hour


def hourly(**options: Any) -> Callable[..., None]:
    def run(context: JobContext) -> None:
        assert context.job.slot is not None
        ran.append(context.job.slot)

    return scheduled(cron="0 * * * *", name="hourly", **options)(run)


def slots(notifier: Notifier, **options: Any) -> list[Job]:
    """The slots from the oldest to the newest, without the mark of the first look."""
    found = notifier.jobs(name="hourly", limit=1000, **options)
    return [job for job in reversed(found) if job.reason != "first_seen"]


def this_hour(notifier: FakeNotifier) -> datetime:
    return notifier._parts.store.clock.now().replace(minute=0, second=0, microsecond=0)


def test_a_new_schedule_begins_with_its_next_slot(notifier: FakeNotifier) -> None:
    hourly()
    assert notifier.run_jobs() == {}
    (mark,) = notifier.jobs()
    assert (mark.status, mark.reason) == ("skipped", "first_seen")
    notifier.advance(HOUR)
    assert notifier.run_jobs() == {"succeeded": 1}
    assert notifier.run_jobs() == {}
    assert ran == [this_hour(notifier)]
    assert ran[0].tzinfo is UTC


@pytest.mark.parametrize(
    ("policy", "options", "hours"),
    [
        ("latest", {}, [5]),
        ("all", {}, [1, 2, 3, 4, 5]),
        ("all", {"catch_up_limit": 2}, [4, 5]),
        ("skip", {}, []),
    ],
)
def test_missed_slots_follow_the_policy(
    notifier: FakeNotifier, policy: str, options: dict[str, int], hours: list[int]
) -> None:
    hourly(catch_up=policy, **options)
    notifier.run_jobs()
    start = this_hour(notifier)
    notifier.advance(5 * HOUR)  # while no worker ran
    notifier.run_jobs()
    assert sorted(ran) == [start + number * HOUR for number in hours]
    if policy == "skip":
        (missed,) = slots(notifier)
        assert (missed.status, missed.reason, missed.slot) == (
            "skipped",
            "missed",
            start + 5 * HOUR,
        )
    ran.clear()
    # However it went, the next slot is run on time.
    notifier.advance(start + 6 * HOUR + timedelta(seconds=1) - notifier._parts.store.clock.now())
    notifier.run_jobs()
    assert ran == [start + 6 * HOUR]


@pytest.mark.parametrize("policy", ["latest", "all"])
def test_an_expression_that_is_new_has_missed_nothing(notifier: FakeNotifier, policy: str) -> None:
    function = hourly(catch_up=policy)
    notifier.run_jobs()
    for _ in range(3):
        notifier.advance(HOUR)
        notifier.run_jobs()
    assert len(ran) == 3
    registry.remove(function)

    def run(context: JobContext) -> None:
        assert context.job.slot is not None
        ran.append(context.job.slot)

    ran.clear()
    notifier.advance(HOUR / 4)  # three quarters past
    scheduled(cron="35 * * * *", name="hourly", catch_up=policy)(run)
    for _ in range(2):
        assert notifier.run_jobs() == {}
    notifier.advance(HOUR)
    notifier.run_jobs()
    assert ran == [this_hour(notifier) + timedelta(minutes=35)]


def test_slots_are_noted_in_time_where_a_worker_has_no_room() -> None:
    go_on, begun = threading.Event(), threading.Event()

    def long() -> None:
        begun.set()
        go_on.wait(60)

    hourly(catch_up="all")
    job(name="long", queue="scheduled")(long)
    with fake_notifier(job_concurrency=1) as notifier:
        notifier.run_jobs()
        notifier.enqueue(long)
        worker = threading.Thread(target=notifier.run_jobs)
        worker.start()
        try:
            assert begun.wait(60)
            for count in (1, 2):
                notifier.advance(HOUR)
                until(lambda n=count: len(slots(notifier)) == n, "the slot is noted")  # type: ignore[misc]
            assert {each.status for each in slots(notifier)} == {"pending"}
            assert not ran
        finally:
            go_on.set()
            worker.join(60)
        assert len(ran) == 2


def test_a_clock_that_goes_back_runs_no_slot_again(notifier: FakeNotifier) -> None:
    hourly()
    notifier.run_jobs()
    notifier.advance(HOUR)
    notifier.run_jobs()
    for hours in (-1, 1, -1, 1):
        notifier.advance(hours * HOUR)
        notifier.run_jobs()
    assert len(ran) == 1
    notifier.advance(HOUR)
    notifier.run_jobs()
    assert len(ran) == len(set(ran)) == 2


@pytest.mark.parametrize("policy", ["latest", "all", "skip"])
def test_a_clock_that_was_ahead_for_a_while_silences_no_slot(
    notifier: FakeNotifier, caplog: pytest.LogCaptureFixture, policy: str
) -> None:
    hourly(catch_up=policy)
    notifier.run_jobs()
    notifier.advance(365 * 24 * HOUR)
    notifier.run_jobs()
    ahead = set(ran)
    ran.clear()
    notifier.advance(-365 * 24 * HOUR)
    notifier.run_jobs()
    assert ran == []
    expected = []
    for _ in range(5):
        notifier.advance(this_hour(notifier) + HOUR - notifier._parts.store.clock.now())
        notifier.run_jobs()
        expected.append(this_hour(notifier))
    assert ran == expected
    assert caplog.text.count("decided by a clock that was ahead") == 1
    # When the time has come to what was decided ahead of it, that is not run again.
    notifier.advance(365 * 24 * HOUR - 10 * HOUR)
    notifier.run_jobs()
    for _ in range(10):
        notifier.advance(HOUR)
        notifier.run_jobs()
    assert ahead.isdisjoint(ran)
    assert len(ran) == len(set(ran))
    assert this_hour(notifier) in ran


def test_a_worker_that_lives_through_a_wrong_clock_says_so_once_and_goes_on(
    notifier: FakeNotifier, caplog: pytest.LogCaptureFixture
) -> None:
    hourly()
    wait = notifier.due_in("scheduled")  # by a planner that is kept
    assert wait is not None
    notifier.advance(365 * 24 * HOUR)
    notifier.due_in("scheduled")
    notifier.advance(-365 * 24 * HOUR)
    wait = notifier.due_in("scheduled")
    assert wait is not None
    assert wait <= HOUR
    for _ in range(3):
        notifier.advance(HOUR)
        notifier.due_in("scheduled")
    assert len([job for job in slots(notifier) if job.reason == "queued"]) == 4
    assert caplog.text.count("decided by a clock that was ahead") == 1


def test_a_schedule_first_seen_ahead_of_the_time_begins_with_its_next_slot(
    notifier: FakeNotifier,
) -> None:
    hourly()
    notifier.advance(24 * HOUR)
    notifier.run_jobs()
    notifier.advance(-24 * HOUR)
    assert notifier.run_jobs() == {}
    for _ in range(3):
        notifier.advance(HOUR)
        notifier.run_jobs()
    now = this_hour(notifier)
    assert ran == [now - 2 * HOUR, now - HOUR, now]


def test_a_scheduled_function_can_be_enqueued_as_well(notifier: FakeNotifier) -> None:
    @scheduled(cron="0 * * * *", name="report")
    def report(kind: str = "daily", *, context: JobContext) -> None:
        assert (kind, context.job.slot) == ("monthly", None)

    notifier.enqueue(report, kind="monthly")
    assert notifier.run_jobs() == {"succeeded": 1}


def test_a_queue_that_is_asked_when_something_is_due_knows_of_slots(
    notifier: FakeNotifier,
) -> None:
    """So a worker that only rings and drains, such as one of Celery's, runs schedules too."""
    hourly()
    wait = notifier.due_in("scheduled")
    assert wait is not None
    assert timedelta(0) < wait <= HOUR
    notifier.advance(wait + timedelta(seconds=1))
    due = notifier.due_in("scheduled")
    assert due is not None
    assert due <= timedelta(0)
    assert notifier.queue_drain("scheduled").until_idle() == {"succeeded": 1}
    assert ran == [this_hour(notifier)]


def test_a_changed_schedule_leaves_nothing_behind(notifier: FakeNotifier) -> None:
    old = hourly()
    notifier.run_jobs()
    registry.remove(old)
    scheduled(cron="0 0 1 1 *", name="hourly")(old)
    notifier.advance(HOUR)
    assert notifier.run_jobs() == {}
    assert notifier.status() == {}


def test_workers_that_plan_at_the_same_moment_write_each_slot_once(database_url: str) -> None:
    """Six planners, as in six worker processes, race for every slot."""
    from claimnotify.delivery.slots import SlotPlanner
    from claimnotify.store.store import SqlStore

    hourly(catch_up="all")
    stores = [SqlStore(database_url, ring=lambda _queue: None) for _ in range(6)]
    stores[0].upgrade()
    start = stores[0].clock.now().replace(minute=30, second=0, microsecond=0)
    together, errors = threading.Barrier(len(stores)), list[BaseException]()

    def work(store: SqlStore) -> None:
        planner = SlotPlanner("scheduled", jobs=store.jobs, specs=registry, tenant="default")
        try:
            for hours in (0, 1, 2, 5):
                together.wait(30)
                planner.plan(start + hours * HOUR)
        except BaseException as error:
            errors.append(error)
            together.abort()

    threads = [threading.Thread(target=work, args=(store,)) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    written = stores[0].jobs.list_jobs("default", name="hourly")
    for store in stores:
        store.close()
    assert errors == []
    assert written[-1].slot == start
    first = start.replace(minute=0)
    assert sorted(job.slot for job in written if job.slot and job.reason == "queued") == [
        first + hours * HOUR for hours in range(1, 6)
    ]
