"""Looks for what is to be sent again to an endpoint, page by page along an index, holding no lock."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from itertools import groupby
from typing import Any

from sqlalchemy import Connection, Engine, Row, Select, select

from claimnotify.model.endpoints import Endpoint
from claimnotify.model.ids import first_id_at
from claimnotify.model.replays import Window
from claimnotify.policy.replays import WEBHOOK, is_lost, is_meant_for, missed
from claimnotify.ports import Page
from claimnotify.store.clock import DatabaseClock
from claimnotify.store.replaying import SqlReplayTransaction, with_replay
from claimnotify.store.tables import deliveries, notifications
from claimnotify.store.transactions import reading

__all__ = ["SqlReplays"]

_AT_ONCE = 1000
"""How many rows one statement reads at most, however few of them are found."""
_SLACK = timedelta(minutes=1)
"""By how much the clocks of hosts may differ: ids have their host's time, `created_at` the store's."""

_Opened = Callable[[Any], AbstractContextManager[tuple[Connection, Callable[[str], object]]]]


class SqlReplays:
    """What is sent again of one store. See `claimnotify.ports.Replays`.

    Args:
        engine: The store's own engine.
        clock: The one clock.
        begun: Opens a transaction, ours or a session's, and says what rings after its commit.
    """

    def __init__(self, engine: Engine, *, clock: DatabaseClock, begun: _Opened) -> None:
        self._engine = engine
        self._clock = clock
        self._begun = begun

    @contextmanager
    def transaction(self, session: Any = None) -> Iterator[SqlReplayTransaction]:
        """Yield the caller's transaction if `session` is given, else one that commits at exit."""
        with self._begun(session) as (connection, ring):
            yield SqlReplayTransaction(connection, self._clock, ring, ours=session is None)

    def lost(self, endpoint: Endpoint, window: Window, *, after: str | None) -> Page:
        """Look for deliveries that were lost and have no replay."""
        columns = deliveries.c
        first, past = self._bounds(window)
        query: Select[Any] = (
            select(
                columns.id,
                columns.channel,
                columns.endpoint_id,
                columns.status,
                columns.reason,
                columns.replay_of,
                columns.created_at,
            )
            .where(
                columns.endpoint_id == endpoint.id,
                columns.tenant == endpoint.tenant,
                columns.id > (after or first),
                columns.id < past,
            )
            .order_by(columns.id)
            .limit(_AT_ONCE)
        )
        with reading(self._engine) as connection:
            rows = connection.execute(query).all()
            lost = [row for row in rows if is_lost(row) and window.covers(row.created_at)]
            replayed = with_replay(connection, lost)
            left = [row.id for row in lost if row.id not in replayed]
            return _page(rows, _not_expunged(connection, left))

    def missed(self, endpoint: Endpoint, window: Window, *, after: str | None) -> Page:
        """Look for notifications that were meant for the endpoint too, and that it missed."""
        columns = notifications.c
        first, past = self._bounds(window)
        query: Select[Any] = (
            select(
                columns.id,
                columns.event_type,
                columns.tags,
                columns.subject,
                columns.to_endpoint,
                columns.created_at,
                columns.expunged_at,
            )
            .where(
                columns.tenant == endpoint.tenant,
                columns.owner == endpoint.owner,
                columns.id > (after or first),
                columns.id < past,
            )
            .order_by(columns.id)
            .limit(_AT_ONCE)
        )
        with reading(self._engine) as connection:
            rows = connection.execute(query).all()
            wanted = [
                row.id
                for row in rows
                if row.expunged_at is None
                and window.covers(row.created_at)
                and is_meant_for(
                    endpoint,
                    row.event_type,
                    json.loads(row.tags or "[]"),
                    subject=row.subject,
                    to_endpoint=row.to_endpoint,
                )
            ]
            return _page(rows, _missed_of(connection, endpoint, wanted))

    def _bounds(self, window: Window) -> tuple[str, str]:
        """Return between which ids all is that was made in `window`."""
        ahead = self._clock.ahead()
        since = window.since - max(timedelta(0), ahead) - _SLACK
        until = window.until - min(timedelta(0), ahead) + _SLACK
        return first_id_at(since), first_id_at(until)


def _page(rows: Sequence[Row[Any]], ids: Sequence[str]) -> Page:
    return Page(ids, rows[-1].id if len(rows) == _AT_ONCE else None)


def _not_expunged(connection: Connection, ids: Sequence[str]) -> Sequence[str]:
    if not ids:
        return []
    columns = deliveries.c
    query = (
        select(columns.id)
        .join(notifications, notifications.c.id == columns.notification_id)
        .where(columns.id.in_(ids), notifications.c.expunged_at.is_(None))
        .order_by(columns.id)
    )
    return connection.execute(query).scalars().all()


def _missed_of(connection: Connection, endpoint: Endpoint, ids: Sequence[str]) -> Sequence[str]:
    """Return those of the notifications that the endpoint missed."""
    if not ids:
        return []
    columns = deliveries.c
    query = (
        select(
            columns.id,
            columns.notification_id,
            columns.channel,
            columns.endpoint_id,
            columns.status,
            columns.reason,
            columns.replay_of,
        )
        .where(columns.notification_id.in_(ids), columns.channel == WEBHOOK)
        .order_by(columns.notification_id, columns.position)
    )
    rows = connection.execute(query).all()
    each = groupby(rows, key=lambda row: row.notification_id)
    return [note for note, of in each if missed(endpoint.id, list(of)) is not None]
