"""Leases are spaced only where deliveries come one by one and quickly."""

from __future__ import annotations

import pytest

from claimnotify.delivery.pace import Pace


class _Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("rate", "together", "expected"),
    [
        (50, 1, 0.0),
        (150, 1, 0.0),
        (280, 1, 0.0),
        (500, 1, 0.03),
        (500, 10, 0.03),
        (1000, 5, 0.03),
        (5000, 100, 0.006),
    ],
)
def test_the_wait_follows_from_the_rate(rate: int, together: int, expected: float) -> None:
    clock = _Clock()
    pace = Pace(monotonic=clock)
    for _ in range(rate // together):
        pace.leased(together)
        clock.now += together / rate
    assert pace.wait() == pytest.approx(expected, rel=0.1)


def test_after_a_quiet_moment_the_next_is_leased_at_once() -> None:
    clock = _Clock()
    pace = Pace(monotonic=clock)
    assert pace.wait() == 0.0
    pace.leased(100)
    assert pace.wait() > 0.0
    clock.now += 0.3
    assert pace.wait() == 0.0
