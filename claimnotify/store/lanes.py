"""Lanes: which kinds of work of which tenants wait in a queue, and whose turn it is.

A waiting row is in the lane `queue/priority/kind/tenant`; the kind is a delivery's channel or a
job's name. Rows are leased lane by lane, so that neither a channel that is at its limit nor a
tenant with a million rows, however urgent, is in the way of the others.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    Table,
    bindparam,
    literal_column,
    select,
)

__all__ = ["Lane", "LaneRota", "first_lane", "first_of_lanes", "lane_name", "past_lanes"]

_LANES_A_TURN = 16
"""How many lanes are leased from at a time: each costs a statement."""
_FRESH_SECONDS = 0.2
_IDLE_SECONDS = 2.0
"""An idle worker looks once a second."""
_SHARE = 20
"""A reading is used for this many times as long as it took, so that many lanes stay cheap."""
_ONE: ColumnElement[int] = literal_column("1")
"""A limit that the database knows when it plans."""


def lane_name(queue: str, priority: int, kind: str, tenant: str) -> str:
    """Return the lane of a row that waits."""
    return f"{queue}/{priority}/{kind}/{tenant}"


def first_lane(queue: str) -> str:
    """Return a text that sorts before every lane of `queue`."""
    return f"{queue}/"


def past_lanes(queue: str) -> str:
    """Return a text that sorts after every lane of `queue`, byte by byte."""
    return f"{queue}0"  # "0" follows "/"


@dataclass(slots=True)
class Lane:
    """A lane in which something waits.

    Args:
        name: Its name.
        priority: Of one tenant's lanes 0 is served first.
        kind: The channel, or the name of the job.
        tenant: Whose rows they are.
        first_due: When its first row is due.
    """

    name: str
    priority: str
    kind: str
    tenant: str
    first_due: datetime

    def is_due(self, now: datetime, room: Mapping[str, int]) -> bool:
        """Return whether its first row is due and its kind has room."""
        return self.first_due <= now and room.get(self.kind, 1) > 0


class LaneRota:
    """Remembers the lanes of one queue for a moment, and gives each its turn.

    Args:
        table: The leasable table.
        queue: The queue.
        monotonic: Seconds that never go back.
    """

    def __init__(
        self, table: Table, queue: str, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._table = table
        self._queue = queue
        self._monotonic = monotonic
        self._lanes: dict[str, Lane] = {}
        self._fresh_until = self._idle_until = 0.0
        self._turns = 0
        self._last_turn: dict[str, int] = {}
        self._resting: dict[str, tuple[float, datetime]] = {}
        self._all = first_of_lanes(table)

    @property
    def fresh(self) -> bool:
        """Whether the lanes were read a moment ago."""
        return self._monotonic() < self._fresh_until

    def is_idle(self, now: datetime) -> bool:
        """Return whether all that was due at the last look, not long ago, has been leased.

        What waits for its time does not count, unless it waits in so many lanes that stepping
        through them is work.
        """
        recent = self._monotonic() < self._idle_until
        return recent and len(self._lanes) <= _LANES_A_TURN and not self.has_due(now, {})

    def look(self, connection: Connection) -> None:
        """Read the lanes from the database."""
        began = self._monotonic()
        self._lanes = {lane.name: lane for lane in self._read(connection)}
        self._last_turn = {name: n for name, n in self._last_turn.items() if name in self._lanes}
        # By seconds that never go back: after a step of the clock a moment may be far ahead.
        self._resting = {kind: rest for kind, rest in self._resting.items() if rest[0] > began}
        for kind, (_, until) in self._resting.items():
            self._delay(kind, until)
        ended = self._monotonic()
        self._idle_until = ended + _IDLE_SECONDS
        self._fresh_until = ended + max(_FRESH_SECONDS, _SHARE * (ended - began))

    def turn(self, now: datetime, room: Mapping[str, int], served: Collection[str]) -> list[Lane]:
        """Return the lanes to lease from now: of each tenant those of its best priority, in turn.

        A tenant's lanes of a worse priority wait until nothing is left in its better ones.

        Args:
            now: The time.
            room: How many more of each kind may be leased; kinds not named have room.
            served: Lanes that have had their turn.
        """
        due = [lane for lane in self._lanes.values() if lane.is_due(now, room)]
        best: dict[str, str] = {}
        for lane in due:
            known = best.get(lane.tenant)
            if known is None or lane.priority < known:
                best[lane.tenant] = lane.priority
        waiting = [
            lane for lane in due if lane.priority == best[lane.tenant] and lane.name not in served
        ]
        waiting.sort(key=lambda lane: (self._last_turn.get(lane.name, 0), lane.name))
        return waiting[:_LANES_A_TURN]

    def served(self, lane: Lane) -> None:
        """Note that `lane` had its turn: those that wait for longer go before it."""
        self._turns += 1
        self._last_turn[lane.name] = self._turns

    def has_due(self, now: datetime, room: Mapping[str, int]) -> bool:
        """Return whether a lane is believed to have a row that is due."""
        return any(lane.is_due(now, room) for lane in self._lanes.values())

    def rest(self, kind: str, now: datetime, wait: timedelta) -> None:
        """Serve no lane of `kind` until `wait` has passed from `now`."""
        self._resting[kind] = self._monotonic() + wait.total_seconds(), now + wait
        self._delay(kind, now + wait)

    def emptied(self, lane: Lane) -> None:
        """Note that nothing more could be leased from `lane`."""
        self._lanes.pop(lane.name, None)

    def next_due(self, room: Mapping[str, int]) -> datetime | None:
        """Return when the next row is due in a lane whose kind has room, or None."""
        moments = (lane.first_due for lane in self._lanes.values() if room.get(lane.kind, 1) > 0)
        return min(moments, default=None)

    def _delay(self, kind: str, until: datetime) -> None:
        for lane in self._lanes.values():
            if lane.kind == kind:
                lane.first_due = max(lane.first_due, until)

    def _read(self, connection: Connection) -> Iterator[Lane]:
        if connection.dialect.name in ("mysql", "mariadb"):
            rows = self._seek(connection)
        else:
            bounds = {"first": first_lane(self._queue), "past": past_lanes(self._queue)}
            rows = iter(connection.execute(self._all, bounds))
        for name, first_due in rows:
            _, priority, kind, tenant = name.split("/", 3)
            yield Lane(name, priority, kind, tenant, first_due)

    def _seek(self, connection: Connection) -> Iterator[Any]:
        """Step from lane to lane. MariaDB does not use an index for the one statement below."""
        columns = self._table.c
        last, past = first_lane(self._queue), past_lanes(self._queue)
        while True:
            query = (
                select(columns.lane, columns.due_at)
                .where(columns.lane > last, columns.lane < past)
                .order_by(columns.lane, columns.due_at)
                .limit(1)
            )
            row = connection.execute(query).first()
            if row is None:
                return
            yield row
            last = row.lane


def first_of_lanes(table: Table) -> Select[Any]:
    """Return the statement for the lanes between `first` and `past`, and when each has a first row due.

    It steps from lane to lane in the index, two look-ups for each, however many rows wait.
    """
    found = select(_lane_after(table, bindparam("first")).label("lane")).cte(
        "found", recursive=True
    )
    following = select(_lane_after(table, found.c.lane)).where(found.c.lane.is_not(None))
    found = found.union_all(following)
    rows = table.alias("first_row").c
    due_at = select(rows.due_at).where(rows.lane == found.c.lane).order_by(rows.due_at).limit(_ONE)
    each = select(found.c.lane, due_at.scalar_subquery().label("due_at"))
    return each.where(found.c.lane.is_not(None))


def _lane_after(table: Table, lane: ColumnElement[str]) -> ColumnElement[str]:
    lanes = table.alias("lanes").c.lane
    query = select(lanes).where(lanes > lane, lanes < bindparam("past"))
    return query.order_by(lanes).limit(_ONE).scalar_subquery()
