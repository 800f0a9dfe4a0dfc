"""Checks that many calls share: whole numbers, series, pages, flags and times."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from claimnotify.errors import InvalidInput
from claimnotify.model.checks import (
    check_flag,
    check_page,
    check_span,
    check_times,
    is_count,
    is_series,
)

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "is_one"),
    [(1, True), (9, True)]
    + [(value, False) for value in (0, 10, -1, True, False, 1.0, "1", None, b"1", [])],
)
def test_a_count_is_a_whole_number_in_range(value: Any, is_one: bool) -> None:
    assert is_count(value, 9) is is_one


@pytest.mark.parametrize(
    ("value", "is_one"),
    [(value, True) for value in ([], (), {"a"}, iter("ab"))]
    + [(value, False) for value in ("ab", b"ab", "", bytearray(b"a"), None, 5)],
)
def test_a_text_is_no_series(value: Any, is_one: bool) -> None:
    assert is_series(value) is is_one


@pytest.mark.parametrize("limit", [0, -1, 1001, "5", None, 1.5, True, b"5", [5]])
def test_a_limit_that_is_none_is_refused(limit: Any) -> None:
    with pytest.raises(
        InvalidInput, match=r"limit: is no whole number from 1 to 1000\. Ask for fewer"
    ):
        check_page(limit)


@pytest.mark.parametrize("value", [5, b"x", "", ["x"], "a\nb", True])
def test_an_id_to_narrow_by_that_is_none_is_named(value: Any) -> None:
    check_page(5, before=None, name="x")
    with pytest.raises(InvalidInput, match="name: "):
        check_page(5, before=None, name=value)


@pytest.mark.parametrize("value", [None, 0, 1, "false", "", []])
def test_a_flag_is_true_or_false(value: Any) -> None:
    check_flag(True, "archived")
    check_flag(False, "archived")
    with pytest.raises(InvalidInput, match=r"archived: is a .*\. Give True or False"):
        check_flag(value, "archived")


@pytest.mark.parametrize(
    ("times", "words"),
    [
        ({"at": "2026-03-01"}, "at: is a str. Give a datetime."),
        ({"at": NOON.date()}, "at: is a date. Give a datetime."),
        ({"at": timedelta(1)}, "at: is a timedelta. Give a datetime."),
        ({"at": datetime(2026, 3, 1)}, "at: has no time zone."),  # naive on purpose
        ({"at": datetime.min.replace(tzinfo=UTC)}, "at: is out of range."),
        ({"at": datetime.max.replace(tzinfo=UTC)}, "at: is out of range."),
        ({"at": NOON, "delay": timedelta(1)}, "at: is given together with delay."),
        ({"delay": 5}, "delay: is a int. Give a timedelta."),
        ({"delay": NOON}, "delay: is a datetime. Give a timedelta."),
        ({"delay": timedelta.max}, "delay: is negative or too long."),
        ({"delay": timedelta(-1)}, "delay: is negative or too long."),
        ({"expires": "soon"}, "expires: is a str. Give a datetime or timedelta."),
        ({"expires": datetime(2026, 3, 1)}, "expires: has no time zone."),  # naive on purpose
        ({"expires": timedelta(-1)}, "expires: is negative or too long."),
    ],
)
def test_a_time_that_is_none_is_named(times: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        check_times(**times)
    assert words in str(refused.value)


def test_times_in_range_are_taken() -> None:
    check_times()
    check_times(at=NOON, expires=NOON)
    check_times(delay=timedelta(0), expires=timedelta(days=36_525))


@pytest.mark.parametrize("value", [None, 5, "1 day", timedelta(-1), timedelta.max])
def test_a_span_that_is_none_is_named(value: Any) -> None:
    check_span(timedelta(0), "grace")
    with pytest.raises(InvalidInput, match=r"grace: .*\. Give a timedelta"):
        check_span(value, "grace")
