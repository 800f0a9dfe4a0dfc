"""Leases of deliveries in the in-memory store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from claimnotify.model.states import DeliveryStatus, Reason
from claimnotify.ports import Lease, Work
from claimnotify.testing.memory_store.kept import KeptDelivery, Tables
from claimnotify.testing.memory_store.ordering import is_next, let_next_go, park
from claimnotify.testing.memory_store.turns import Turns, lapsed_in

__all__ = ["lease_due", "lease_lapsed"]


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
) -> Lease | None:
    """Lease what is due and in turn, and park what is not in turn; None if there was neither."""
    mine = [row for row in tables.deliveries.values() if row.queue == queue]
    late = [
        row
        for row in mine
        if row.due_at is not None and row.due_at <= now
        if not is_next(tables, row)
    ]
    for row in late:
        park(tables, row, now)
    out_of_turn = {row.id for row in late}
    works: list[Work] = []
    more = False
    for row in turns.due(queue, [r for r in mine if r.id not in out_of_turn], now, room):
        if len(works) >= limit:
            more = True
            break
        works.append(_take(tables, row, token, until))
    return Lease(token=token, works=works, more=more) if works or late else None


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
    mine = [row for row in tables.deliveries.values() if row.queue == queue]
    lapsed = lapsed_in(mine, limit=limit, now=now, alone=alone)
    if lapsed is None:
        return None
    back = [row for row in lapsed.rows if row.cancel_requested]
    for row in back:  # it may have been sent, and is not sent again
        tables.deliveries[row.id] = row.called_back(now)
    let_next_go(tables, {row.stream for row in back if row.stream is not None}, now)
    rows = [replace(r, crashes=r.crashes + 1) for r in lapsed.rows if not r.cancel_requested]
    late = [row for row in rows if not is_next(tables, row)]
    for row in late:
        park(tables, row, now)
    out_of_turn = {row.id for row in late}
    works = [_take(tables, row, token, until) for row in rows if row.id not in out_of_turn]
    return Lease(
        token=token,
        works=works,
        poisoned=lapsed.poisoned and bool(works),
        alone=lapsed.alone and bool(works),
        alone_wait=lapsed.alone_wait,
    )


def _take(tables: Tables, row: KeptDelivery, token: str, until: datetime) -> Work:
    """Lease one row; return it as it was before, with what is needed to send it."""
    leased = replace(row.delivery, status=DeliveryStatus.SENDING, reason=Reason.LEASED, due_at=None)
    tables.deliveries[row.id] = replace(
        row, delivery=leased, token=token, until=until, parked_for=None
    )
    kept = tables.notifications[row.delivery.notification_id]
    return Work(
        delivery=replace(row.delivery, attachments=kept.attachments),
        notification=kept.notification,
    )
