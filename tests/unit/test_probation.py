"""Endpoints that are not known to answer promptly share a part of the slots."""

from __future__ import annotations

from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st

from claimnotify.delivery.lines import Line
from claimnotify.delivery.probation import Probation

_SLOTS = 64


def line_of(tenant: str | None, waiting: int = 9) -> Line:
    line = Line("e", _SLOTS, fixed=False, tenant=tenant)
    line.waiting.extend(cast(Any, range(waiting)))
    return line


def begin(line: Line, now: float = 0.0) -> None:
    line.began[str(line.waiting.popleft())] = now


def end(probation: Probation, line: Line, seconds: float, now: float) -> None:
    line.began.popitem(last=False)
    probation.ended(line)
    line.answered(now, seconds, failed=False)
    if line.window.prompt:
        probation.passed(line)


def begun(probation: Probation, lines: list[Line]) -> int:
    """Begin as many sends as are admitted, of each line in turn; hold the lines. Return how many."""
    count, left = 0, list(lines)
    while left:
        for line in list(left):
            if line.waiting and probation.admit(line):
                begin(line)
                count += 1
            else:
                left.remove(line)
                probation.hold(line, 0.0)
    return count


def test_those_of_one_tenant_hold_half_of_the_slots() -> None:
    assert begun(Probation(_SLOTS), [line_of("a", 100) for _ in range(9)]) == 32


def test_the_first_send_to_an_endpoint_may_begin_beyond_that() -> None:
    probation = Probation(_SLOTS)
    lines = [line_of("a", 100) for _ in range(100)]
    assert begun(probation, lines) == 48
    assert begun(probation, [line_of("b", 100)]) == 8
    assert probation.total == 56


def test_an_eighth_is_left_whatever_others_do() -> None:
    lines = [line_of(f"t{number}") for number in range(200)]
    assert begun(Probation(_SLOTS), lines) == 56


def test_few_slots_are_not_none() -> None:
    for slots in (1, 2, 3):
        assert begun(Probation(slots), [line_of("a"), line_of("b")]) >= 1


def test_one_that_was_held_goes_on_where_another_ended() -> None:
    probation = Probation(_SLOTS)
    slow = [line_of("a", 100) for _ in range(9)]
    begun(probation, slow)
    assert not probation.has_next()
    assert probation.next() is None
    end(probation, slow[0], 15.0, 15.0)
    assert probation.has_next()
    held = probation.next()
    assert held is slow[5]  # the five before it had one more each
    assert held.held_since is None
    assert not probation.has_next()


def test_one_that_answered_promptly_is_trusted_and_makes_room() -> None:
    probation = Probation(_SLOTS)
    lines = [line_of("a", 100) for _ in range(8)]
    begun(probation, lines)
    end(probation, lines[0], 0.05, 0.05)
    assert lines[0].trusted(0.05)
    assert (lines[0].counted, lines[0].held_since, lines[0].in_turn) == (0, None, False)
    assert probation.total == 28
    assert probation.next() is lines[1]


def test_one_for_which_nobody_waits_any_more_is_passed_over() -> None:
    probation = Probation(2)
    first, gone, other = line_of("a"), line_of("a"), line_of("a")
    begun(probation, [first, gone, other])
    gone.waiting.clear()
    end(probation, first, 15.0, 15.0)
    assert probation.next() is other
    assert not gone.in_turn


def test_tenants_that_are_held_take_turns() -> None:
    probation = Probation(8)
    lines = {tenant: line_of(tenant, 100) for tenant in ("a", "b", "c")}
    begun(probation, list(lines.values()))
    served = []
    for _ in range(6):
        ended = next(line for line in lines.values() if line.began)
        end(probation, ended, 15.0, 15.0)
        line = probation.next()
        assert line is not None
        begin(line)
        served.append(line.tenant)
        probation.hold(line, 15.0)
    assert sorted(served) == ["a", "a", "b", "b", "c", "c"]


def test_what_goes_silent_is_trusted_no_more_but_for_one_send() -> None:
    line = line_of("a")
    assert not line.trusted(0.0)
    line.answered(0.05, 0.05, failed=False)
    assert line.trusted(0.05)
    assert line.trusted(3600.0)
    begin(line, 3600.0)
    assert not line.trusted(3600.0)
    line.answered(3600.1, 0.1, failed=False)
    assert line.trusted(3601.0)
    assert not line.trusted(3602.0)


def test_what_was_begun_while_it_was_trusted_counts_later() -> None:
    probation = Probation(_SLOTS)
    line = line_of("a", 100)
    for _ in range(40):
        begin(line)
    assert not probation.admit(line)
    assert probation.total == 40


def test_a_channels_own_line_is_not_on_probation() -> None:
    assert line_of(None).trusted(0.0)


def test_what_is_held_for_long_waits_for_long() -> None:
    probation = Probation(2)
    first, other = line_of("a"), line_of("a", 1)
    begun(probation, [first, other])
    assert other.wait_of(1, 0.5) <= 0.5
    assert other.wait_of(1, 2.0) == 2.0


@given(st.integers(1, 80), st.lists(st.tuples(st.integers(0, 4), st.booleans()), max_size=200))
def test_counts_are_those_of_the_sends_under_way(slots: int, steps: list[tuple[int, bool]]) -> None:
    probation = Probation(slots)
    lines = [line_of(f"t{number % 2}", 1000) for number in range(5)]
    for which, prompt in steps:
        line = lines[which]
        if line.began and prompt:
            end(probation, line, 0.1, 0.1)
        elif line.began and which % 2:
            end(probation, line, 9.0, 9.0)
        elif line.held_since is None:
            if probation.admit(line):
                begin(line)
            else:
                probation.hold(line, 0.0)
        if (held := probation.next()) is not None:
            begin(held)
        assert probation.total == sum(each.counted for each in lines) <= max(1, slots * 7 // 8)
        assert all(0 <= each.counted <= len(each.began) for each in lines)
