"""Whose turn it is in the in-memory store: due rows in fair shares, and rows whose lease ran out."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, Protocol, TypeAlias, TypeVar

__all__ = ["Lapsed", "Leasable", "Turns", "lapsed_in"]

_ALONE_FROM = 2
_POISON_FROM = 5

_Lane: TypeAlias = tuple[int, str, str]


class Leasable(Protocol):
    """A row that can be leased."""

    @property
    def id(self) -> str:
        """Sorts by time."""

    @property
    def lane(self) -> tuple[int, str, str]:
        """Its priority, its kind (a channel or a job's name) and its tenant."""

    @property
    def due_at(self) -> datetime | None:
        """When it is due, or None if it does not wait."""

    @property
    def until(self) -> datetime | None:
        """When its lease ends, or None if it is not leased."""

    @property
    def crashes(self) -> int:
        """How many leases of it ran out, one after the other."""


_Row = TypeVar("_Row", bound=Leasable)


@dataclass(frozen=True, slots=True)
class Lapsed(Generic[_Row]):
    """Rows whose leases ran out, to be leased anew."""

    rows: Sequence[_Row]
    poisoned: bool = False
    alone: bool = False
    alone_wait: bool = False


class Turns:
    """Remembers when each lane of a queue was served, so that what waited longest is next."""

    def __init__(self) -> None:
        self._turns = 0
        self._last: dict[tuple[str, _Lane], int] = {}

    def due(
        self, queue: str, rows: Iterable[_Row], now: datetime, room: Mapping[str, int]
    ) -> Iterator[_Row]:
        """Yield what is due of the rows of `queue`, each lane in turn.

        Of each tenant's lanes those of its best priority come first; the others wait for these.

        Every row that is given takes room of its kind.
        """
        lanes: dict[_Lane, deque[_Row]] = {}
        due = [(row.due_at, row.id, row) for row in rows if row.due_at is not None]
        for due_at, _, row in sorted(due, key=lambda each: each[:2]):
            if due_at <= now:
                lanes.setdefault(row.lane, deque()).append(row)
        given: Counter[str] = Counter()
        while lanes:
            best: dict[str, int] = {}
            for priority, _, tenant in lanes:
                best[tenant] = min(priority, best.get(tenant, priority))
            names = sorted(lane for lane in lanes if lane[0] == best[lane[2]])
            names.sort(key=lambda lane: self._last.get((queue, lane), 0))
            for name in names:
                kind = name[1]
                if kind in room and given[kind] >= room[kind]:
                    del lanes[name]
                    continue
                yield lanes[name].popleft()
                self._turns += 1  # not if the caller has enough already
                self._last[queue, name] = self._turns
                given[kind] += 1
                if not lanes[name]:
                    del lanes[name]


def lapsed_in(
    rows: Iterable[_Row], *, limit: int, now: datetime, alone: bool
) -> Lapsed[_Row] | None:
    """Return those that may be leased together, or else one that may not; None if none lapsed."""
    over = [(row.until, row.id, row) for row in rows if row.until is not None and row.until <= now]
    if not over:
        return None
    ordered = [row for _, _, row in sorted(over, key=lambda each: each[:2])]
    together = [row for row in ordered if row.crashes + 1 < _ALONE_FROM][:limit]
    apart = [row for row in ordered if row.crashes + 1 >= _ALONE_FROM]
    if together:
        return Lapsed(together, alone_wait=bool(apart))
    if not alone:
        return Lapsed((), alone_wait=True)
    poisoned = apart[0].crashes + 1 >= _POISON_FROM
    return Lapsed(apart[:1], poisoned, alone=True, alone_wait=len(apart) > 1)
