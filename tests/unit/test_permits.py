"""What rate limits allowed and has not begun: nothing gathers behind a receiver that has stopped."""

from __future__ import annotations

from datetime import timedelta

import pytest

from claimnotify.delivery.permits import Permits
from claimnotify.policy.rates import RateLimit

TEN = RateLimit(10, timedelta(seconds=1))


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def permits(clock: Clock) -> Permits:
    return Permits(monotonic=clock)


def test_a_line_whose_deliveries_do_not_begin_is_stalled(permits: Permits, clock: Clock) -> None:
    permits.give("one", "endpoint", ["limit"])
    clock.now += 0.2
    permits.give("two", "endpoint", ["limit"])
    assert not permits.stalled("endpoint")
    clock.now += 0.1
    assert permits.stalled("endpoint")
    assert not permits.stalled("another")
    permits.begin("one")
    assert not permits.stalled("endpoint"), "the second has not waited for long"
    clock.now += 0.2
    assert permits.stalled("endpoint")
    permits.drop("two")
    assert not permits.stalled("endpoint")


def test_no_second_sees_more_than_twice_the_burst(permits: Permits, clock: Clock) -> None:
    for number in range(14):
        permits.give(str(number), "endpoint", ["limit"])
    assert permits.room("limit", TEN) == 20
    clock.now += 5
    for number in range(14):
        permits.begin(str(number))
    assert permits.room("limit", TEN) == 6
    assert permits.room("another", TEN) == 20
    clock.now += 0.9
    assert permits.room("limit", TEN) == 6
    clock.now += 0.1
    assert permits.room("limit", TEN) == 20


def test_what_was_not_sent_takes_no_room(permits: Permits) -> None:
    permits.give("one", "endpoint", ["limit"])
    permits.drop("one")
    permits.drop("one")
    permits.begin("never given")
    assert permits.room("limit", TEN) == 20
