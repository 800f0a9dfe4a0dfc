"""When to try again: durable schedules in tenacity's wait and stop vocabulary. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from random import Random

from tenacity import RetryCallState, stop_after_attempt, wait_chain, wait_fixed
from tenacity.stop import stop_base
from tenacity.wait import wait_base

from claimnotify.errors import ConfigurationError, InvalidInput
from claimnotify.model.job_specs import is_retry

__all__ = [
    "DEFAULT_SCHEDULES",
    "JOB_SCHEDULE",
    "RetrySchedule",
    "checked_schedules",
    "later",
    "schedule_for",
]

_LONGEST = timedelta(days=36_525)
_MOST_ATTEMPTS = 50
"""How many a schedule is asked about that does not end."""
_STOP = "stop_after_attempt(5)"


class RetrySchedule:
    """How long to wait after each failed attempt, and when to give up.

    Args:
        wait: Seconds to wait by attempt number: `tenacity.wait_exponential(…)`, `wait_chain(…)` …
        stop: When to give up: `tenacity.stop_after_attempt(n)`, `stop_after_delay(seconds)` …
        jitter: The share of each wait by which it is lengthened or shortened at random, 0 to 1.

    Raises:
        InvalidInput: One of them is something else.
    """

    def __init__(self, *, wait: wait_base, stop: stop_base, jitter: float = 0.1) -> None:
        for name, rule, like in (("wait", wait, "wait_fixed(5)"), ("stop", stop, _STOP)):
            if isinstance(rule, type) or not callable(rule):
                raise InvalidInput(name, "is no rule of tenacity's", f"Give one such as {like}.")
        if not isinstance(jitter, int | float) or not 0.0 <= jitter <= 1.0:
            raise InvalidInput("jitter", "is no number from 0 to 1", "Give a share such as 0.1.")
        self._wait = wait
        self._stop = stop
        self._jitter = jitter

    @classmethod
    def of(cls, *waits: timedelta, jitter: float = 0.1) -> RetrySchedule:
        """Return the schedule with these waits: one attempt more than there are waits.

        Raises:
            InvalidInput: One of them is no timedelta, or `jitter` no number from 0 to 1.
        """
        for each in waits:
            if not isinstance(each, timedelta):
                raise InvalidInput("waits", f"has a {type(each).__name__}", "Give timedeltas.")
        fixed = [wait_fixed(each) for each in waits] or [wait_fixed(0)]
        return cls(wait=wait_chain(*fixed), stop=stop_after_attempt(len(waits) + 1), jitter=jitter)

    def next_wait(
        self,
        attempt: int,
        *,
        random: Random,
        elapsed: timedelta = timedelta(0),
        retry_after: timedelta | None = None,
    ) -> timedelta | None:
        """Return how long to wait after the failed attempt `attempt`, or None to give up.

        Args:
            attempt: The number of the attempt that failed, from 1.
            random: Randomness for the jitter.
            elapsed: Time since the delivery was accepted, for schedules that stop by time.
            retry_after: What the peer asked for: a floor, applied after the jitter.
        """
        state = RetryCallState(retry_object=None, fn=None, args=(), kwargs={})  # type: ignore[arg-type]  # only the arithmetic of wait and stop is used
        state.attempt_number = attempt
        state.start_time = 0.0
        state.outcome_timestamp = elapsed.total_seconds()
        if self._stop(state):
            return None
        seconds = min(self._wait(state), _LONGEST.total_seconds())
        state.upcoming_sleep = seconds
        wait = timedelta(seconds=seconds * (1 + self._jitter * random.uniform(-1, 1)))
        return max(wait, retry_after) if retry_after is not None else wait

    def longest_wait(self, within: timedelta) -> timedelta:
        """Return the longest wait, with all its jitter, of a delivery that fails again and again.

        Args:
            within: How long from the first attempt on; of waits that begin later, none counts.
        """
        longest = elapsed = timedelta(0)
        for attempt in range(1, _MOST_ATTEMPTS + 1):
            wait = self.next_wait(attempt, random=_Longest(), elapsed=elapsed)
            if wait is None or elapsed > within:
                break
            longest, elapsed = max(longest, wait), elapsed + wait
        return longest


class _Longest(Random):
    """Randomness that lengthens as much as it can."""

    def uniform(self, a: float, b: float) -> float:
        """Return the larger."""
        return max(a, b)


def _schedule(*seconds: int) -> RetrySchedule:
    return RetrySchedule.of(*(timedelta(seconds=each) for each in seconds))


_MINUTE, _HOUR = 60, 3600

DEFAULT_SCHEDULES: Mapping[str, RetrySchedule] = {
    "webhook": _schedule(
        5,
        5 * _MINUTE,
        30 * _MINUTE,
        2 * _HOUR,
        5 * _HOUR,
        10 * _HOUR,
        14 * _HOUR,
        20 * _HOUR,
        24 * _HOUR,
    ),
    "email": _schedule(5, _MINUTE, 5 * _MINUTE, 15 * _MINUTE, _HOUR, 4 * _HOUR, 12 * _HOUR),
    "sms": _schedule(5, 30, 2 * _MINUTE, 10 * _MINUTE, _HOUR),
}
"""The schedule of each channel; others use that of e-mail."""

JOB_SCHEDULE = _schedule(5, _MINUTE, 10 * _MINUTE, _HOUR)
"""The schedule of jobs that declare none."""


def later(now: datetime, wait: timedelta) -> datetime:
    """Return the moment to try again at: `wait` from now, but not before now and within a century.

    A wait can be what a peer or a function asked for, and the end of time is no moment to add to.
    """
    return now + min(max(wait, timedelta(0)), _LONGEST)


def checked_schedules(given: Mapping[str, RetrySchedule] | None) -> dict[str, RetrySchedule]:
    """Return the application's own schedules by channel; None stands for none.

    Raises:
        ConfigurationError: It is no mapping, or has something else than schedules.
    """
    remedy = 'Give schedules by channel: retry={"email": RetrySchedule.of(…)}.'
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise ConfigurationError("retry", f"is of type {type(given).__name__}", remedy)
    for channel, schedule in given.items():
        if not is_retry(schedule):
            raise ConfigurationError(f"retry[{channel!r}]", "is no RetrySchedule", remedy)
    return dict(given)


def schedule_for(channel: str, overrides: Mapping[str, RetrySchedule]) -> RetrySchedule:
    """Return the schedule of `channel`: the application's own, ours, or that of e-mail."""
    found = overrides.get(channel) or DEFAULT_SCHEDULES.get(channel)
    return found if found is not None else DEFAULT_SCHEDULES["email"]
