"""When a schedule is due, and which of its missed slots are caught up. Pure functions, all in UTC."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cronsim import CronSim, CronSimError

from claimnotify.errors import ConfigurationError
from claimnotify.model.job_specs import CatchUp

__all__ = ["ON_TIME", "CronSchedule", "SlotPlan", "plan_slots"]

ON_TIME = timedelta(minutes=1)
"""A slot that is found no later than this after its moment was not missed."""


class CronSchedule:
    """A cron expression of five fields, read in UTC as Debian's cron reads it.

    As there, a day has to match both day fields if one of them begins with a star, else either.

    Args:
        expression: Minute, hour, day of the month, month, day of the week.

    Raises:
        ConfigurationError: It is none, or no day ever matches it.
    """

    def __init__(self, expression: str) -> None:
        self._expression = expression
        if not isinstance(expression, str) or len(expression.split()) != 5:
            raise ConfigurationError(
                "cron", "is not an expression of five fields", 'Give one such as "30 3 * * MON".'
            )
        try:
            self.next(datetime(2000, 1, 1, tzinfo=UTC))
        except (CronSimError, StopIteration) as error:
            problem = str(error) or "no day ever matches it"
            raise ConfigurationError(
                "cron", f"{expression!r} is no schedule: {problem}", "See crontab(5)."
            ) from error

    def next(self, after: datetime) -> datetime:
        """Return the first slot later than `after`."""
        return next(CronSim(self._expression, after.astimezone(UTC)))

    def back(self, until: datetime) -> Iterator[datetime]:
        """Yield the slots that are not later than `until`, the newest first."""
        # CronSim leaves out the moment it starts from.
        start = until.astimezone(UTC).replace(microsecond=0) + timedelta(seconds=1)
        yield from CronSim(self._expression, start, reverse=True)


@dataclass(frozen=True, slots=True)
class SlotPlan:
    """What to do about the slots that have come.

    Args:
        run: The slots to run, the oldest first.
        skip: The newest slot not to be run, where it is newer than all of those; it is recorded so
            that it is decided once. None if there is none.
    """

    run: tuple[datetime, ...] = ()
    skip: datetime | None = None


def plan_slots(
    schedule: CronSchedule, *, after: datetime, now: datetime, catch_up: CatchUp, limit: int
) -> SlotPlan:
    """Return which of the slots later than `after`, up to `now`, are to be run.

    Args:
        schedule: When it is due.
        after: The newest slot that has been decided.
        now: The time.
        catch_up: `latest` runs the newest slot alone, however late; `all` runs each, of many the
            `limit` newest; `skip` runs those that are on time, and no missed one.
        limit: How many `all` runs at most.
    """
    wanted = limit if catch_up == "all" else 1
    found: list[datetime] = []
    for slot in schedule.back(now):
        if slot <= after or len(found) == wanted:
            break
        found.append(slot)
    if not found:
        return SlotPlan()
    if catch_up != "skip":
        return SlotPlan(tuple(reversed(found)))
    # Slots are a minute apart at least, so that no more than the newest two can be on time.
    (newest,) = found
    if now - newest > ON_TIME:
        return SlotPlan(skip=newest)
    previous = next(slot for slot in schedule.back(newest - timedelta(seconds=1)))
    if previous > after and now - previous <= ON_TIME:
        return SlotPlan((previous, newest))
    return SlotPlan((newest,))
