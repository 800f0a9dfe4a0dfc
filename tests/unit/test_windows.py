"""The window of an endpoint: wide while it answers promptly, narrow while it does not."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from claimnotify.policy.windows import Window


def test_prompt_answers_widen_it_to_the_most() -> None:
    window = Window(64)
    assert window.limit == 8
    for _ in range(100):
        window.answered(0.05, failed=False)
    assert window.limit == 64


def test_slow_answers_and_failures_narrow_it() -> None:
    for seconds, failed in ((2.0, False), (0.01, True)):
        window = Window(64)
        for _ in range(5):
            window.answered(seconds, failed=failed)
        assert window.limit == 4


def test_it_is_never_wider_than_the_most_nor_closed() -> None:
    for most in (1, 2, 3):
        window = Window(most)
        assert window.limit == most
        window.answered(9.0, failed=True)
        assert window.limit == most


@given(st.integers(1, 500), st.lists(st.tuples(st.floats(0, 60), st.booleans()), max_size=100))
def test_it_stays_within_its_bounds(most: int, answers: list[tuple[float, bool]]) -> None:
    window = Window(most)
    for seconds, failed in answers:
        window.answered(seconds, failed=failed)
        assert 1 <= window.limit <= most
        assert window.wait_of(10, 0.0) >= 0.0


def test_the_wait_follows_what_is_under_way_before_any_answer() -> None:
    """An endpoint that never answered is as slow as its oldest send has been waiting."""
    window = Window(64)
    assert window.wait_of(16, 0.0) == 0.0
    assert window.wait_of(16, 3.0) == 6.0


def test_a_fixed_one_stays_as_wide_as_it_is() -> None:
    window = Window(16, fixed=True)
    for _ in range(5):
        window.answered(30.0, failed=True)
    assert window.limit == 16
    assert window.wait_of(16, 0.0) > 0.0


def test_as_many_begin_within_a_while_as_the_pace_of_late_allows() -> None:
    window = Window(64)
    assert window.begun_within(1.0) > 64
    window.answered(2.0, failed=False)  # four at a time
    assert window.begun_within(1.0) == 2
    assert window.begun_within(0.1) == 1
    for _ in range(50):
        window.answered(0.1, failed=False)
    assert 500 < window.begun_within(1.0) < 700
