"""Lets parked deliveries go whose breaker has closed, or of which one is to be tried."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, or_, select

from claimnotify.model.states import DeliveryStatus, Reason
from claimnotify.policy.breaker import BLOCKED_FOR_AT_MOST
from claimnotify.store.tables import breakers, deliveries, endpoints

__all__ = ["FIRST_RELEASE", "release"]

FIRST_RELEASE = 10
"""How many are let go at first when a breaker closes; doubled each time."""
_LARGEST_RELEASE = 1000
_AT_ONCE = 20
_TRIAL = timedelta(seconds=15)
"""How long to wait for what became of a trial, before another delivery is let go for one."""
_BELIEVED = 2 * BLOCKED_FOR_AT_MOST
"""What is to be released later than this was written by a clock that has gone back."""
_LOCKED = timedelta(seconds=1)
"""When to look again at parked deliveries that somebody else has locked."""


def release(connection: Connection, now: datetime) -> int:
    """Let parked deliveries go of breakers whose time has come; return how many."""
    columns = breakers.c
    query = (
        select(breakers)
        .where(or_(columns.release_at <= now, columns.release_at > now + _BELIEVED))
        .order_by(columns.release_at)
        .limit(_AT_ONCE)
        .with_for_update(skip_locked=True)
    )
    return sum(_release(connection, row, now) for row in connection.execute(query).all())


def _release(connection: Connection, row: Row[Any], now: datetime) -> int:
    on_trial = row.retry_at is not None
    wanted = 1 if on_trial else row.release_size
    columns = deliveries.c
    query = (
        select(columns.id)
        .where(columns.parked_for == row.id, columns.status == DeliveryStatus.PARKED)
        .order_by(columns.id)
        .limit(wanted)
        .with_for_update(skip_locked=True)
    )
    ids = [each.id for each in connection.execute(query)]
    if ids:
        connection.execute(
            deliveries.update()
            .where(columns.id.in_(ids))
            .values(
                status=DeliveryStatus.PENDING, reason=Reason.RELEASED, due_at=now, parked_for=None
            )
        )
    mine = breakers.c.id == row.id
    if not ids and _has_parked(connection, row.id):
        later = now + _LOCKED
        connection.execute(breakers.update().where(mine).values(release_at=later))
    elif on_trial:
        after = now + _TRIAL if ids else None
        connection.execute(breakers.update().where(mine).values(release_at=after))
    elif ids:
        size = min(row.release_size * 2, _LARGEST_RELEASE)
        connection.execute(breakers.update().where(mine).values(release_size=size))
    elif (row.failures or row.failing_since is not None) and _is_there(connection, row):
        # It has failed again since, though not so often that it opened.
        connection.execute(breakers.update().where(mine).values(release_at=None))
    else:
        connection.execute(breakers.delete().where(mine))
    return len(ids)


def _is_there(connection: Connection, row: Row[Any]) -> bool:
    """Return whether a breaker is a channel's, or its endpoint's is not deleted."""
    query = select(endpoints.c.id).where(endpoints.c.id == row.id)
    return not row.tenant or connection.execute(query).first() is not None


def _has_parked(connection: Connection, name: str) -> bool:
    """Return whether something waits for a breaker, locked or not."""
    columns = deliveries.c
    parked = (columns.parked_for == name, columns.status == DeliveryStatus.PARKED)
    return connection.execute(select(columns.id).where(*parked).limit(1)).first() is not None
