"""Cron schedules and the catch-up policy: which slots are run, whatever the gaps between looks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from itertools import islice
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from claimnotify.model.job_specs import CatchUp
from claimnotify.policy.cron import ON_TIME, CronSchedule, SlotPlan, plan_slots

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)  # a Sunday
HOURLY = CronSchedule("0 * * * *")

EXPRESSIONS = st.sampled_from(
    [
        "* * * * *",
        "*/5 * * * *",
        "7-59/13 * * * *",
        "0 3 * * *",
        "30 3 1 * *",
        "0 0 * * MON",
        "15 6 L * *",
        "0 12 29 2 *",
        "0 0 13 * FRI",
    ]
)
MOMENTS = st.datetimes(datetime(2001, 1, 1), datetime(2090, 1, 1), timezones=st.just(UTC))
GAPS = st.timedeltas(timedelta(0), timedelta(days=1))


def at(clock: str) -> datetime:
    """The moment of the day of `NOON`."""
    hour, minute, *second = (int(part) for part in clock.split(":"))
    return NOON.replace(hour=hour, minute=minute, second=second[0] if second else 0)


@pytest.mark.parametrize(
    ("expression", "following"),
    [
        ("* * * * *", "2026-03-01T12:01"),
        ("*/15 * * * *", "2026-03-01T12:15"),
        ("0 3 * * *", "2026-03-02T03:00"),
        ("0 9 * * MON-FRI", "2026-03-02T09:00"),
        ("0 0 29 2 *", "2028-02-29T00:00"),
        ("0 0 L * *", "2026-03-31T00:00"),
        ("30 2 29 3 *", "2026-03-29T02:30"),  # a time that summer time leaves out in Berlin
        ("0 0 13 * FRI", "2026-03-06T00:00"),  # either day field will do: a Friday, or a 13th
        ("0 0 */2 * FRI", "2026-03-13T00:00"),  # with a star both must match: an odd Friday
    ],
)
def test_the_next_slot(expression: str, following: str) -> None:
    expected = datetime.fromisoformat(following).replace(tzinfo=UTC)
    assert CronSchedule(expression).next(NOON) == expected


def test_other_zones_are_read_as_the_moments_they_are() -> None:
    berlin = NOON.astimezone(timezone(timedelta(hours=1)))
    following = CronSchedule("0 13 * * *").next(berlin)
    assert following == NOON + timedelta(hours=1)
    assert following.utcoffset() == timedelta(0)


@given(EXPRESSIONS, MOMENTS)
def test_going_back_finds_the_same_slots(expression: str, moment: datetime) -> None:
    schedule = CronSchedule(expression)
    slots = list(islice(schedule.back(moment), 3))
    assert slots == sorted(slots, reverse=True)
    assert slots[0] <= moment < schedule.next(slots[0])
    assert [schedule.next(slot) for slot in slots[1:]] == slots[:-1]


@pytest.mark.parametrize(
    ("policy", "after", "now", "run", "skip"),
    [
        ("latest", "9:00", "9:30", [], None),
        ("latest", "9:00", "10:00", ["10:00"], None),
        ("latest", "9:00", "12:30", ["12:00"], None),  # three were missed, one is run
        ("all", "9:00", "12:30", ["10:00", "11:00", "12:00"], None),
        ("all", "2:00", "12:30", ["8:00", "9:00", "10:00", "11:00", "12:00"], None),  # at most 5
        ("skip", "9:00", "12:30", [], "12:00"),
        ("skip", "9:00", "12:00:40", ["12:00"], None),  # this one was not missed
        ("skip", "9:00", "9:30", [], None),
        ("latest", "13:00", "12:30", [], None),  # the clock has gone back
    ],
)
def test_what_becomes_of_missed_slots(
    policy: CatchUp, after: str, now: str, run: list[str], skip: str | None
) -> None:
    plan = plan_slots(HOURLY, after=at(after), now=at(now), catch_up=policy, limit=5)
    assert plan == SlotPlan(tuple(at(each) for each in run), skip and at(skip))


@settings(deadline=None)  # thousands of slots may lie between two looks
@given(EXPRESSIONS, MOMENTS, st.lists(GAPS, max_size=8), st.sampled_from(get_args(CatchUp)))
def test_no_slot_is_run_twice_or_before_its_time(
    expression: str, start: datetime, gaps: list[timedelta], policy: CatchUp
) -> None:
    schedule, decided, now = CronSchedule(expression), start, start
    ran: list[datetime] = []
    for gap in gaps:
        now += gap
        plan = plan_slots(schedule, after=decided, now=now, catch_up=policy, limit=1_500)
        ran += plan.run
        assert all(decided < slot <= now for slot in plan.run)
        if policy == "skip":
            assert all(now - slot <= ON_TIME for slot in plan.run)
        decided = max([decided, *plan.run, *([plan.skip] if plan.skip else [])])
        # Whatever the policy, nothing that has come is left undecided.
        assert schedule.next(decided) > now
    assert ran == sorted(set(ran))
    if policy == "all":
        missing = [slot for slot in _between(schedule, start, now) if slot not in ran]
        assert missing == []


@settings(deadline=None)
@given(MOMENTS, st.integers(0, 1_000_000), st.integers(1, 50))
def test_a_worker_that_looks_often_runs_every_slot(
    start: datetime, microseconds: int, looks: int
) -> None:
    """By every policy: looks are a second apart, or somewhat more."""
    every_minute = CronSchedule("* * * * *")
    for policy in get_args(CatchUp):
        decided, now, ran = start, start, []
        for _ in range(looks):
            now += timedelta(seconds=20, microseconds=microseconds)
            plan = plan_slots(every_minute, after=decided, now=now, catch_up=policy, limit=100)
            assert plan.skip is None
            ran += plan.run
            decided = max([decided, *plan.run])
        assert ran == list(_between(every_minute, start, now))


def _between(schedule: CronSchedule, after: datetime, until: datetime) -> list[datetime]:
    slots, slot = [], schedule.next(after)
    while slot <= until:
        slots.append(slot)
        slot = schedule.next(slot)
    return slots
