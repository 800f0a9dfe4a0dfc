"""What an attempt says of its endpoint, or of its channel's transport."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from claimnotify.model.notifications import Attempt
from claimnotify.model.states import AttemptOutcome as O
from claimnotify.policy.answers import Answers

NOW = datetime(2026, 3, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def attempt(outcome: O, status_code: int | None = None) -> Attempt:
    return Attempt(
        number=1, started_at=NOW, duration=SECOND, outcome=outcome, status_code=status_code
    )


@pytest.mark.parametrize(
    ("outcome", "code", "by_endpoint", "counted"),
    [
        (O.DELIVERED, 200, True, Answers(successes=1)),
        (O.TRANSIENT, 404, True, Answers(failures=1, blamed=1)),
        (O.TRANSIENT, None, True, Answers(failures=1, blamed=1)),
        (O.UNKNOWN, None, True, Answers(failures=1, blamed=1)),
        (O.PERMANENT, 308, True, Answers(refusals=1, blamed=1)),
        (O.PERMANENT, None, True, Answers(refusals=1, blamed=1)),  # a forbidden destination
        (O.SENT, 250, False, Answers(successes=1)),
        (O.PERMANENT, 550, False, Answers(successes=1)),  # no such mailbox: the server works
        (O.TRANSIENT, 450, False, Answers(successes=1)),  # one recipient is put off
        (O.TRANSIENT, 421, False, Answers(failures=1)),
        (O.TRANSIENT, 429, False, Answers(failures=1)),
        (O.TRANSIENT, 503, False, Answers(failures=1)),
        (O.UNKNOWN, None, False, Answers(failures=1)),
    ],
)
def test_each_kind_counts_as_it_should(
    outcome: O, code: int | None, by_endpoint: bool, counted: Answers
) -> None:
    answers = Answers()
    answers.add(attempt(outcome, code), by_endpoint=by_endpoint)
    assert answers == counted


def test_our_own_fault_is_a_failure_for_which_no_endpoint_is_blamed() -> None:
    answers = Answers()
    answers.add(attempt(O.TRANSIENT), by_endpoint=True, our_fault=True)
    assert answers == Answers(failures=1)


def test_of_several_pauses_the_longest_is_kept() -> None:
    answers = Answers()
    for pause in (None, timedelta(0), 3 * SECOND, SECOND, None):
        answers.add(attempt(O.TRANSIENT, 429), by_endpoint=True, pause=pause)
    assert answers.pause == 3 * SECOND
