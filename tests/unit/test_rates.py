"""Rate limits: how they are written, and that no period ever sees more than the limit and a burst."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claimnotify.errors import ConfigurationError
from claimnotify.policy.rates import RateLimit, Spacing

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "interval", "burst"),
    [
        ("10/second", 0.1, 10),
        ("100/minute", 0.6, 1),
        ("600/minute", 0.1, 10),
        ("1/day", 86_400.0, 1),
        ("999999999/second", 0.000001, 1_000_000),  # as fine as time is kept
    ],
)
def test_a_rate_is_spread_evenly(text: str, interval: float, burst: int) -> None:
    limit = RateLimit.parse(text)
    assert limit.interval == timedelta(seconds=interval)
    assert limit.burst == burst
    assert str(limit) == text


@pytest.mark.parametrize(
    "text", ["", "10", "/second", "0/second", "-1/second", "1.5/second", "10/week", "10/seconds",
             "٣/second", "1e3/second", "9999999999/second", "10/second\n10/second"],
)  # fmt: skip
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        RateLimit.parse(text, "field_name")
    assert caught.value.field == "field_name"


@given(
    st.integers(1, 200),
    st.sampled_from(["second", "minute", "hour"]),
    st.lists(st.tuples(st.integers(0, 5_000), st.integers(1, 50)), max_size=80),
)
def test_no_period_sees_more_than_the_limit_and_a_burst(
    count: int, unit: str, asks: list[tuple[int, int]]
) -> None:
    """However the takers come, in any window of the period's length."""
    limit = RateLimit.parse(f"{count}/{unit}")
    now, empty_until = NOW, None
    taken: list[tuple[datetime, int]] = []
    for milliseconds, wanted in asks:
        now += timedelta(milliseconds=milliseconds)
        granted = min(wanted, limit.allowed(empty_until, now))
        if granted:
            empty_until = limit.taken(empty_until, granted, now)
            taken.append((now, granted))
        elif empty_until is not None:
            again = limit.next_at(empty_until, now)
            assert limit.allowed(empty_until, again) >= 1
    for start, _ in taken:
        within = sum(n for at, n in taken if start <= at < start + limit.period)
        assert within <= limit.count + limit.burst


def test_what_exceeds_a_limit_comes_back_spread_over_time() -> None:
    spacing, limit = Spacing(), RateLimit.parse("1/second")
    moments = [spacing.next("endpoint:1", limit, NOW) for _ in range(3)]
    assert moments == [NOW + timedelta(seconds=n) for n in (1, 2, 3)]
    assert spacing.next("endpoint:2", limit, NOW) == NOW + timedelta(seconds=1)
    far = [spacing.next("endpoint:1", limit, NOW) for _ in range(2000)][-1]
    assert far == NOW + timedelta(minutes=10)


def test_spacing_begins_anew_with_an_unused_limit_and_after_a_clock_that_went_back() -> None:
    spacing, limit = Spacing(), RateLimit.parse("1/minute")
    for _ in range(5):
        last = spacing.next("a", limit, NOW)
    assert last == NOW + timedelta(minutes=5)
    spacing.forget("a")
    assert spacing.next("a", limit, NOW) == NOW + timedelta(minutes=1)
    earlier = NOW - timedelta(days=1)
    assert spacing.next("a", limit, earlier) == earlier + timedelta(minutes=1)


def test_what_no_such_limit_can_have_left_is_not_believed() -> None:
    limit = RateLimit.parse("10/second")
    assert limit.allowed(NOW + timedelta(seconds=2), NOW) == 0
    assert limit.next_at(NOW + timedelta(seconds=2), NOW) > NOW
    for far in (timedelta(seconds=4), timedelta(days=300)):
        assert limit.allowed(NOW + far, NOW) == 10
        assert limit.next_at(NOW + far, NOW) == NOW
        assert limit.taken(NOW + far, 1, NOW) == NOW + limit.interval
