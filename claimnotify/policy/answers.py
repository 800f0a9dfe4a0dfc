"""What the attempts that are recorded together say of one endpoint, or of one channel's transport. No I/O."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from claimnotify.model.notifications import Attempt
from claimnotify.model.states import AttemptOutcome

__all__ = ["Answers", "is_success"]

_FAILED = (AttemptOutcome.TRANSIENT, AttemptOutcome.UNKNOWN)


@dataclass(slots=True)
class Answers:
    """A tally of attempts.

    Args:
        failures: How many failed in a way that may pass.
        refusals: How many an endpoint's answer ended for good, such as a redirect: it answers, but
            takes nothing.
        blamed: How many of both were the endpoint's doing.
        successes: How many went well.
        pause: For how long at least to send nothing, as it has too much to do; None if it did not
            say so.
    """

    failures: int = 0
    refusals: int = 0
    blamed: int = 0
    successes: int = 0
    pause: timedelta | None = None

    def add(
        self,
        attempt: Attempt,
        *,
        by_endpoint: bool,
        pause: timedelta | None = None,
        our_fault: bool = False,
    ) -> None:
        """Count one attempt.

        Args:
            attempt: What was tried.
            by_endpoint: Whether it was to an endpoint, and not to a recipient over a channel.
            pause: What it said of the pause.
            our_fault: Whether the fault was on our side.
        """
        if is_success(attempt, by_endpoint=by_endpoint):
            self.successes += 1
        elif attempt.outcome in _FAILED:
            self.failures += 1
        else:
            self.refusals += 1
        if (
            by_endpoint
            and not our_fault
            and attempt.outcome in (*_FAILED, AttemptOutcome.PERMANENT)
        ):
            self.blamed += 1
        if pause is not None:
            self.pause = max(pause, self.pause or pause)


def is_success(attempt: Attempt, *, by_endpoint: bool) -> bool:
    """Return whether an attempt shows that its endpoint, or its channel's transport, works.

    A mail server that puts one recipient off (450) works; one that is not reached, or says that it
    is closing (421), or an API that is overloaded (429, 5xx), does not. An endpoint is there for
    nothing else than what we send: whatever it does not take speaks against it.
    """
    if by_endpoint:
        return attempt.outcome not in (*_FAILED, AttemptOutcome.PERMANENT)
    code = attempt.status_code
    return attempt.outcome not in _FAILED or not (code is None or code in (421, 429) or code >= 500)
