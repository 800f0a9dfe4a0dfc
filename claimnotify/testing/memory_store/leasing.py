"""Leases in the in-memory store: what is due in fair shares, and what was leased and ran out."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TypeAlias

from claimnotify.model.states import DeliveryStatus, Reason
from claimnotify.ports import Lease, Work
from claimnotify.testing.memory_store.kept import KeptDelivery, Tables
from claimnotify.testing.memory_store.ordering import park_out_of_turn

__all__ = ["Turns", "lease_due", "lease_lapsed"]

_ALONE_FROM = 2
_POISON_FROM = 5

_Lane: TypeAlias = tuple[int, str, str]


class Turns:
    """Remembers which lane of a queue was served last, so that the next begins after it."""

    def __init__(self) -> None:
        self._last: dict[tuple[str, int], _Lane] = {}

    def in_turn(
        self, queue: str, lanes: Mapping[_Lane, deque[KeptDelivery]]
    ) -> Iterator[KeptDelivery]:
        """Yield the rows of the best priority, one of each lane in turn, then those of the next."""
        for priority in sorted({lane[0] for lane in lanes}):
            names = sorted(lane for lane in lanes if lane[0] == priority)
            last = self._last.get((queue, priority))
            if last is not None:
                names = [n for n in names if n > last] + [n for n in names if n <= last]
            while names:
                for name in names:
                    yield lanes[name].popleft()
                    self._last[queue, priority] = name  # not if the caller has enough already
                names = [name for name in names if lanes[name]]


def lease_due(
    tables: Tables,
    turns: Turns,
    *,
    queue: str,
    token: str,
    limit: int,
    now: datetime,
    until: datetime,
    room: Mapping[str, int],
) -> tuple[list[Work], int, bool]:
    """Lease what is due; return it, how many were parked for their turn, whether more is due."""
    lanes: dict[_Lane, deque[KeptDelivery]] = {}
    due = [r for r in tables.deliveries.values() if r.waits and r.queue == queue and _due(r) <= now]
    for row in sorted(due, key=lambda row: (_due(row), row.place)):
        lane = (row.priority, row.delivery.channel, row.delivery.tenant)
        lanes.setdefault(lane, deque()).append(row)
    works: list[Work] = []
    parked = 0
    taken: Counter[str] = Counter()
    for row in turns.in_turn(queue, lanes):
        channel = row.delivery.channel
        if len(works) >= limit:
            return works, parked, True
        if channel in room and taken[channel] >= room[channel]:
            continue
        if park_out_of_turn(tables, row, now):
            parked += 1
            continue
        taken[channel] += 1
        works.append(_take(tables, row, token, until))
    return works, parked, False


def lease_lapsed(
    tables: Tables,
    *,
    queue: str,
    token: str,
    limit: int,
    now: datetime,
    until: datetime,
    alone: bool,
) -> Lease | None:
    """Lease those whose lease ran out: those that may be together, or else one that may not."""
    over = [
        row
        for row in tables.deliveries.values()
        if row.queue == queue and row.until is not None and row.until <= now
    ]
    if not over:
        return None
    over.sort(key=lambda row: (row.until, row.place))
    together = [row for row in over if row.crashes + 1 < _ALONE_FROM][:limit]
    apart = [row for row in over if row.crashes + 1 >= _ALONE_FROM]
    if together:
        works = _take_crashed(tables, together, token, until)
        return Lease(token=token, works=works, alone_wait=bool(apart))
    if not alone:
        return Lease(token=token, works=(), alone_wait=True)
    return Lease(
        token=token,
        works=_take_crashed(tables, apart[:1], token, until),
        poisoned=apart[0].crashes + 1 >= _POISON_FROM,
        alone=True,
        alone_wait=len(apart) > 1,
    )


def _due(row: KeptDelivery) -> datetime:
    due_at = row.delivery.due_at
    assert due_at is not None, "what waits has a time"
    return due_at


def _take_crashed(
    tables: Tables, rows: Sequence[KeptDelivery], token: str, until: datetime
) -> list[Work]:
    return [_take(tables, replace(row, crashes=row.crashes + 1), token, until) for row in rows]


def _take(tables: Tables, row: KeptDelivery, token: str, until: datetime) -> Work:
    """Lease one row; return it as it was before, with what is needed to send it."""
    key = row.delivery.id
    leased = replace(row.delivery, status=DeliveryStatus.SENDING, reason=Reason.LEASED, due_at=None)
    tables.deliveries[key] = replace(
        row, delivery=leased, token=token, until=until, parked_for=None
    )
    kept = tables.notifications[row.delivery.notification_id]
    return Work(
        delivery=replace(row.delivery, attachments=kept.attachments),
        notification=kept.notification,
    )
