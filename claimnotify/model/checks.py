"""Checks arguments that many calls have in common: limits, flags, moments, spans, series. No I/O."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, TypeGuard

from claimnotify.errors import InvalidInput
from claimnotify.model.recipients import check_identifier

__all__ = [
    "check_flag",
    "check_page",
    "check_span",
    "check_times",
    "check_window",
    "is_count",
    "is_series",
]

_MOST_AT_ONCE = 1000
_LAST_YEAR = 9000
_LONGEST = timedelta(days=36_525)


def is_count(value: object, most: int) -> bool:
    """Return whether `value` is a whole number from 1 to `most`. True and False are none."""
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= most


def is_series(value: object) -> TypeGuard[Iterable[Any]]:
    """Return whether `value` gives one thing after the other. Text and bytes are one thing each."""
    return isinstance(value, Iterable) and not isinstance(value, str | bytes | bytearray)


def check_page(limit: object, **ids: object) -> None:
    """Check what a call that reads is limited to.

    Args:
        limit: At most how many are wanted.
        **ids: The ids it is narrowed to, by their names; None for those it is not.

    Raises:
        InvalidInput: The limit is not from 1 to 1000, or an id can be none.
    """
    if not is_count(limit, _MOST_AT_ONCE):
        raise InvalidInput(
            "limit", f"is no whole number from 1 to {_MOST_AT_ONCE}", "Ask for fewer, page by page."
        )
    for name, value in ids.items():
        if value is not None:
            check_identifier(value, name)


def check_flag(value: object, field: str) -> None:
    """Check a choice between two.

    Raises:
        InvalidInput: It is neither True nor False.
    """
    if value is not True and value is not False:
        raise InvalidInput(field, f"is a {type(value).__name__}", "Give True or False.")


def check_times(*, at: object = None, delay: object = None, expires: object = None) -> None:
    """Check when something is to be done, and until when.

    Raises:
        InvalidInput: One is of the wrong kind or out of range, or `at` and `delay` are both given.
    """
    if at is not None:
        if not isinstance(at, datetime):
            raise InvalidInput("at", f"is a {type(at).__name__}", "Give a datetime.")
        if delay is not None:
            raise InvalidInput("at", "is given together with delay", "Give one of the two.")
        _check_moment(at, "at")
    if delay is not None:
        check_span(delay, "delay")
    if isinstance(expires, datetime):
        _check_moment(expires, "expires")
    elif expires is not None:
        check_span(expires, "expires", kinds="datetime or timedelta")


def check_window(since: object, until: object) -> None:
    """Check between which moments something is looked for; `until` may be None.

    Raises:
        InvalidInput: One is no aware datetime, or `until` is not after `since`.
    """
    for name, moment in (("since", since), ("until", until)):
        if isinstance(moment, datetime):
            _check_moment(moment, name)
        elif name == "since" or moment is not None:
            raise InvalidInput(name, f"is a {type(moment).__name__}", "Give a datetime.")
    if isinstance(since, datetime) and isinstance(until, datetime) and until <= since:
        raise InvalidInput("until", "is not after since", "Give a later moment, or leave it out.")


def check_span(value: object, field: str, *, kinds: str = "timedelta") -> None:
    """Check how long something takes or waits.

    Args:
        value: What was given.
        field: What errors call it.
        kinds: What could have been given.

    Raises:
        InvalidInput: It is no timedelta from zero to 100 years.
    """
    if not isinstance(value, timedelta):
        raise InvalidInput(field, f"is a {type(value).__name__}", f"Give a {kinds}.")
    if not timedelta(0) <= value <= _LONGEST:
        raise InvalidInput(
            field, "is negative or too long", "Give a timedelta from zero to 100 years."
        )


def _check_moment(moment: datetime, field: str) -> None:
    if moment.utcoffset() is None:
        remedy = "Give an aware datetime, in UTC for one."
        raise InvalidInput(field, "has no time zone", remedy)
    if not 1970 <= moment.year <= _LAST_YEAR:
        raise InvalidInput(field, "is out of range", "Give a year from 1970 to 9000.")
