"""When two sets of a job's arguments are the same: when they are equal for the function."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from claimnotify import JobContext
from claimnotify.model.job_specs import JobSpec


def _many(
    words: set[str],
    counts: dict[str, int],
    day: date | None = None,
    *,
    size: Decimal = Decimal(2),
    context: JobContext,
) -> None: ...


@pytest.mark.parametrize(
    ("other", "same"),
    [
        ({"words": {"c", "b", "a"}}, True),
        ({"counts": {"b": 2, "a": 1}}, True),
        ({"day": None}, True),
        ({"size": 2}, True),
        ({"size": "2.0"}, True),
        ({"words": {"a", "b"}}, False),
        ({"counts": {"a": 1, "b": 3}}, False),
        ({"day": date(2026, 3, 1)}, False),
        ({"size": 3}, False),
    ],
)
def test_arguments_are_the_same_if_they_are_equal_for_the_function(
    other: dict[str, Any], same: bool
) -> None:
    arguments = JobSpec(name="n", function=_many, queue="processing").arguments
    given = {"words": {"a", "b", "c"}, "counts": {"a": 1, "b": 2}}
    one, another = arguments.encode(given), arguments.encode(given | other)
    assert arguments.same(one, another) is arguments.same(another, one) is same


def test_arguments_of_another_version_are_not_the_same() -> None:
    arguments = JobSpec(name="n", function=_many, queue="processing").arguments
    assert not arguments.same('{"words": [], "counts": {}}', '{"words": []}')
