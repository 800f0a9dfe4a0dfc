"""When a breaker opens, how long it stays open, and what lets a delivery through."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claimnotify.policy.answers import Answers
from claimnotify.policy.breaker import BreakerPolicy, Trouble

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
POLICY = BreakerPolicy(
    threshold=3, first_wait=timedelta(seconds=10), longest_wait=timedelta(seconds=60)
)


def test_it_opens_at_the_threshold_and_not_before() -> None:
    trouble = POLICY.failed(None, 2, NOW)
    assert trouble == Trouble(failures=2)
    assert not trouble.blocked(NOW)
    opened = POLICY.failed(trouble, 1, NOW)
    assert opened.blocked(NOW)
    assert opened.retry_at == NOW + timedelta(seconds=10)
    assert opened.opened_at == NOW


def test_while_it_is_open_further_failures_do_not_prolong_it() -> None:
    """They are of sends that were under way when it opened."""
    opened = POLICY.failed(None, 3, NOW)
    later = POLICY.failed(opened, 5, NOW + timedelta(seconds=2))
    assert later.retry_at == opened.retry_at
    assert later.failures == 8


def test_a_trial_that_fails_doubles_the_wait_up_to_the_longest() -> None:
    trouble, now, waits = POLICY.failed(None, 3, NOW), NOW, []
    for _ in range(5):
        assert trouble.retry_at is not None
        waits.append((trouble.retry_at - now).total_seconds())
        now = trouble.retry_at
        assert trouble.on_trial(now)
        assert not trouble.blocked(now)
        trouble = POLICY.failed(trouble, 1, now)
    assert waits == [10, 20, 40, 60, 60]
    assert trouble.opened_at == NOW


@given(st.lists(st.integers(1, 50), max_size=60))
def test_no_number_of_failures_breaks_the_arithmetic(counts: list[int]) -> None:
    policy, trouble, now = BreakerPolicy(), None, NOW
    for count in counts:
        trouble = policy.failed(trouble, count, now)
        if trouble.retry_at is not None:
            assert trouble.retry_at - now <= policy.longest_wait
            now = max(now, trouble.retry_at)


BUSY = Answers(failures=1, blamed=1, pause=timedelta(0))
MINUTE = timedelta(minutes=1)


@pytest.mark.parametrize(
    ("asked", "given"),
    [
        (0, 2),  # it did not say for how long
        (1, 2),
        (30, 30),
        (3600, 60),  # no longer than anything is left alone
    ],
)
def test_one_answer_of_too_much_to_do_opens_it(asked: int, given: int) -> None:
    answers = Answers(failures=1, pause=timedelta(seconds=asked))
    trouble = POLICY.noted(Trouble(), answers, NOW)
    assert trouble.retry_at == NOW + timedelta(seconds=given)
    assert (trouble.openings, trouble.failures, trouble.opened_at) == (1, 1, NOW)


def test_pauses_in_a_row_double_up_to_the_longest() -> None:
    trouble, now, waits = Trouble(), NOW, []
    policy = BreakerPolicy(threshold=100, longest_wait=MINUTE)
    for _ in range(7):
        trouble = policy.noted(trouble, BUSY, now)
        assert trouble.retry_at is not None
        waits.append((trouble.retry_at - now).total_seconds())
        now = trouble.retry_at
    assert waits == [2, 4, 8, 16, 32, 60, 60]


def test_while_it_is_open_only_a_longer_pause_prolongs_it() -> None:
    opened = POLICY.paused(Trouble(), timedelta(seconds=20), NOW)
    assert POLICY.paused(opened, timedelta(seconds=10), NOW).retry_at == opened.retry_at
    longer = POLICY.paused(opened, timedelta(seconds=30), NOW)
    assert longer.retry_at == NOW + timedelta(seconds=30)
    assert longer.openings == 1


@pytest.mark.parametrize(
    ("answers", "failures", "blocked", "streak"),
    [
        (Answers(successes=1), 0, False, False),
        (Answers(successes=1, failures=9, blamed=9), 0, False, False),  # success counts
        (Answers(refusals=5, blamed=5), 0, False, True),  # it answers, but takes nothing
        (Answers(refusals=1, failures=1, blamed=2), 6, True, True),
        (Answers(successes=1, failures=1, pause=timedelta(0)), 0, True, False),
    ],
)
def test_what_answers_make_of_one_on_trial(
    answers: Answers, failures: int, blocked: bool, streak: bool
) -> None:
    before = Trouble(
        failures=5, openings=1, opened_at=NOW - MINUTE, retry_at=NOW, failing_since=NOW - MINUTE
    )
    after = POLICY.noted(before, answers, NOW)
    assert (after.failures, after.blocked(NOW)) == (failures, blocked)
    assert (after.failing_since is not None) == streak


@given(
    st.lists(
        st.builds(
            Answers,
            failures=st.integers(0, 9),
            refusals=st.integers(0, 9),
            successes=st.integers(0, 2),
            pause=st.none() | st.timedeltas(timedelta(0), timedelta(days=99)),
        ),
        max_size=40,
    )
)
def test_nothing_that_is_said_blocks_for_longer_than_the_longest_wait(
    said: list[Answers],
) -> None:
    policy, trouble, now = BreakerPolicy(), Trouble(), NOW
    for answers in said:
        trouble = policy.noted(trouble, answers, now)
        if trouble.retry_at is not None:
            assert trouble.retry_at - now <= policy.longest_wait
            if answers.pause is not None:
                assert trouble.blocked(now)
                assert trouble.retry_at - now >= min(answers.pause, policy.longest_wait)
        now += timedelta(seconds=7)
