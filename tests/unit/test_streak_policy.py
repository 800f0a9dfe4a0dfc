"""When an endpoint that only fails is told of and disabled, and which failures are sporadic."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claimnotify.policy.breaker import Trouble
from claimnotify.policy.retry import DEFAULT_SCHEDULES, RetrySchedule
from claimnotify.policy.streaks import (
    DISABLE_AFTER,
    LONGEST_GAP,
    StreakPolicy,
    Verdict,
    gap_for,
    telling,
)

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY, HOUR, SECOND = timedelta(days=1), timedelta(hours=1), timedelta(seconds=1)
POLICY = StreakPolicy()
NEVER = StreakPolicy(disable_after=timedelta(0))


def failing(lasted: timedelta) -> Trouble:
    return Trouble(failing_since=NOW - lasted, failed_at=NOW)


@pytest.mark.parametrize(
    ("policy", "lasted", "exhausted", "verdict"),
    [
        (POLICY, timedelta(0), False, Verdict.NOTHING),
        (POLICY, timedelta(0), True, Verdict.TELL),  # a delivery is out of attempts
        (POLICY, DAY - SECOND, False, Verdict.NOTHING),
        (POLICY, DAY, False, Verdict.TELL),  # a fifth of five days
        (POLICY, 5 * DAY - SECOND, True, Verdict.TELL),
        (POLICY, 5 * DAY, False, Verdict.DISABLE),
        (POLICY, -DAY, False, Verdict.NOTHING),  # a clock that went back
        (StreakPolicy(disable_after=10 * HOUR), 2 * HOUR, False, Verdict.TELL),
        (StreakPolicy(disable_after=10 * HOUR), 10 * HOUR, False, Verdict.DISABLE),
        (NEVER, 99 * DAY, True, Verdict.TELL),
        (NEVER, DAY, False, Verdict.TELL),
    ],
)
def test_what_follows_from_a_failure(
    policy: StreakPolicy, lasted: timedelta, exhausted: bool, verdict: Verdict
) -> None:
    assert policy.verdict(failing(lasted), NOW, exhausted=exhausted) is verdict


@pytest.mark.parametrize(
    ("lasted", "told", "due"),
    [
        (2 * DAY, 3 * DAY, True),  # of the streak before
        (2 * DAY, 2 * DAY, False),  # of this one, at its first failure
        (2 * DAY, HOUR, False),
        (HOUR, 2 * HOUR, False),  # of the streak before, but less than a day ago
        (HOUR, DAY, False),
        (HOUR, DAY + SECOND, True),
        (HOUR, -HOUR, False),  # a clock somewhat behind
        (HOUR, -DAY - SECOND, True),  # a clock that went back
    ],
)
def test_it_is_told_once_in_a_streak_and_once_a_day(
    lasted: timedelta, told: timedelta, due: bool
) -> None:
    before, after = telling(NOW - lasted, NOW)
    assert (not before <= NOW - told <= after) == due


def test_without_a_streak_nothing_follows() -> None:
    """What was our own fault begins none."""
    assert POLICY.verdict(Trouble(failures=9), NOW, exhausted=True) is Verdict.NOTHING


def test_a_failure_begins_a_streak_and_the_next_goes_on_with_it() -> None:
    first = POLICY.failed(Trouble(failures=3), NOW)
    assert first == Trouble(failures=3, failing_since=NOW, failed_at=NOW)
    second = POLICY.failed(first, NOW + LONGEST_GAP)
    assert (second.failing_since, second.failed_at) == (NOW, NOW + LONGEST_GAP)


def test_after_a_gap_the_streak_begins_anew() -> None:
    later = NOW + LONGEST_GAP + SECOND
    assert POLICY.failed(failing(4 * DAY), later) == Trouble(failing_since=later, failed_at=later)


def test_the_longest_wait_between_two_attempts_is_no_gap() -> None:
    """A day by the schedule, or asked for by Retry-After; a tenth of jitter; a breaker; a late worker."""
    assert 1.1 * DAY + HOUR < LONGEST_GAP


def test_a_longer_schedule_of_ones_own_makes_the_gap_longer() -> None:
    own = RetrySchedule.of(*[2 * DAY] * 10)
    gap = gap_for(own)
    assert gap == 2.2 * DAY + 9 * HOUR
    policy = StreakPolicy(gap=gap)
    trouble = Trouble()
    for day in range(0, 10, 2):
        trouble = policy.failed(trouble, NOW + day * 1.05 * DAY)
    assert policy.verdict(trouble, NOW + 8 * DAY, exhausted=False) is Verdict.DISABLE
    for shorter in (RetrySchedule.of(), DEFAULT_SCHEDULES["webhook"]):
        assert gap_for(shorter) == LONGEST_GAP


def test_a_streak_that_begins_in_the_future_begins_now() -> None:
    ahead = failing(-9 * DAY)
    after = POLICY.failed(ahead, NOW)
    assert after.failing_since == NOW


STEPS = st.lists(st.timedeltas(timedelta(0), 3 * DAY), min_size=1, max_size=30)


@given(STEPS)
def test_it_is_disabled_exactly_when_failures_without_a_gap_span_the_time(
    steps: list[timedelta],
) -> None:
    trouble, now, since = Trouble(), NOW, NOW
    for number, step in enumerate(steps):
        now += step
        if number == 0 or step > LONGEST_GAP:
            since = now
        trouble = POLICY.failed(trouble, now)
        verdict = POLICY.verdict(trouble, now, exhausted=False)
        assert (verdict is Verdict.DISABLE) == (now - since >= DISABLE_AFTER)


@given(st.lists(st.timedeltas(-400 * DAY, 400 * DAY), max_size=30))
def test_steps_of_the_clock_disable_nothing(steps: list[timedelta]) -> None:
    """Where each step is longer than the time between failures can be, none of them is believed."""
    trouble, now = Trouble(), NOW
    for step in steps:
        if timedelta(0) < step <= LONGEST_GAP:
            continue
        now += step
        trouble = POLICY.failed(trouble, now)
        assert POLICY.verdict(trouble, now, exhausted=False) is not Verdict.DISABLE
        assert trouble.failing_since is not None
        assert trouble.failing_since <= now
