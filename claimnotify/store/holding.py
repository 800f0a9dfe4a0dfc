"""Holds notifications: whoever adds replays to one, or removes its payload, is alone in that."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import Connection, Select, select

from claimnotify.store.tables import notifications

__all__ = ["fresh", "hold"]


def hold(connection: Connection, ids: Collection[str]) -> None:
    """Lock notifications until the transaction ends. Read what belongs to them after it."""
    columns = notifications.c
    mine = columns.id.in_(ids)
    # In one order, so that two callers that want the same ones do not deadlock.
    connection.execute(select(columns.id).where(mine).order_by(columns.id).with_for_update())
    # And written, so that a caller's transaction whose snapshot is older meets a conflict: on
    # PostgreSQL under REPEATABLE READ a lock alone would let it go on without seeing the replay.
    connection.execute(notifications.update().where(mine).values(expunged_at=columns.expunged_at))


def fresh(connection: Connection, query: Select[Any]) -> Select[Any]:
    """Return `query` so that it sees what was committed since the transaction began.

    MariaDB under REPEATABLE READ, as a caller's session is by default, shows that to locking reads
    only. Call it for rows of notifications that are held.
    """
    locking = connection.dialect.name in ("mysql", "mariadb")
    return query.with_for_update(read=True) if locking else query
