"""How often something may be sent: rates, and how many sends a rate allows now. No I/O."""

from __future__ import annotations

import re
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime, timedelta

from claimnotify.errors import ConfigurationError

__all__ = ["RateLimit", "Spacing", "channel_limit", "endpoint_limit"]

_PERIODS = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400}
_LONGEST = timedelta(minutes=10)
_MOST = 10_000
_FORM = re.compile(r"([1-9][0-9]{0,8})/(second|minute|hour|day)", re.ASCII)


def channel_limit(channel: str) -> str:
    """Return the name of a channel's rate limit, which is nobody's in particular."""
    return f"channel:{channel}"


def endpoint_limit(endpoint_id: str) -> str:
    """Return the name of an endpoint's rate limit."""
    return f"endpoint:{endpoint_id}"


@dataclass(frozen=True, slots=True)
class RateLimit:
    """So many sends in each period, evenly spread.

    At most what one second allows, and at least one, goes at once; so no period sees more than the
    limit and that.

    Args:
        count: How many.
        period: In how long.

    Source: the generic cell rate algorithm, ITU-T I.371 appendix.
    """

    count: int
    period: timedelta

    @classmethod
    def parse(cls, text: str, field: str = "rate_limit") -> RateLimit:
        """Return the limit that `text` names, such as `100/minute`.

        Raises:
            ConfigurationError: If it is not of that form.
        """
        match = _FORM.fullmatch(text.strip())
        if match is None:
            raise ConfigurationError(
                field,
                "is not a rate",
                "Give a whole number and a period: 10/second, 100/minute, 5000/hour, 20000/day.",
            )
        return cls(int(match[1]), timedelta(seconds=_PERIODS[match[2]]))

    def __str__(self) -> str:
        seconds = self.period // timedelta(seconds=1)
        name = next((name for name, length in _PERIODS.items() if length == seconds), "")
        return f"{self.count}/{name}" if name else f"{self.count}/{seconds}s"

    @property
    def interval(self) -> timedelta:
        """The time from one send to the next."""
        return max(self.period / self.count, timedelta(microseconds=1))

    @property
    def burst(self) -> int:
        """How many may go at once."""
        return max(1, timedelta(seconds=1) // self.interval)

    def allowed(self, empty_until: datetime | None, now: datetime) -> int:
        """Return how many may be sent now.

        Args:
            empty_until: What `taken` returned last, or None if nothing was ever sent.
            now: The time.
        """
        behind = self._believed(empty_until, now) - now
        return max(0, (self.burst * self.interval - behind) // self.interval)

    def taken(self, empty_until: datetime | None, count: int, now: datetime) -> datetime:
        """Return when the limit would be unused again, after `count` more sends.

        Less than none are those that were taken before and not made.
        """
        return max(now, self._believed(empty_until, now) + count * self.interval)

    def next_at(self, empty_until: datetime | None, now: datetime) -> datetime:
        """Return when another may be sent, at the earliest."""
        return max(now, self._believed(empty_until, now) - (self.burst - 1) * self.interval)

    def _believed(self, empty_until: datetime | None, now: datetime) -> datetime:
        """Return when the limit is unused again, not before `now`.

        What is further off than this limit can bring about was left by a lower limit, or by a clock
        that has since gone back; it counts for nothing, or nothing would be sent for as long.
        """
        longest = 2 * self.burst * self.interval + timedelta(seconds=1)
        if empty_until is None or empty_until - now > longest:
            return now
        return max(empty_until, now)


class Spacing:
    """Spreads what exceeds rate limits over time, so that it does not all come back at once.

    Only a guess at when there is room again: the limit itself is kept where sends are taken.
    """

    def __init__(self) -> None:
        self._last: OrderedDict[str, datetime] = OrderedDict()

    def forget(self, name: str) -> None:
        """Begin anew with the limit `name`: it is unused, so what was put off has gone elsewhere."""
        self._last.pop(name, None)

    def next(self, name: str, limit: RateLimit, now: datetime) -> datetime:
        """Return when to come back with the next one that exceeds the limit `name`."""
        last = self._last.get(name, now)
        if last > now + _LONGEST:  # the clock has gone back
            last = now
        moment = min(max(last, now) + limit.interval, now + _LONGEST)
        self._last[name] = moment
        self._last.move_to_end(name)
        if len(self._last) > _MOST:
            self._last.popitem(last=False)
        return moment
