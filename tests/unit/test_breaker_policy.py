"""When a breaker opens, how long it stays open, and what lets a delivery through."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

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
