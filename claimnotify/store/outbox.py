"""Opens transactions, its own or the caller's, and writes notifications with their deliveries in them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, bindparam, select

from claimnotify.errors import IdempotencyConflict, NotFound
from claimnotify.model.endpoints import Endpoint
from claimnotify.model.notifications import Notification
from claimnotify.ports import NewNotification
from claimnotify.store.cancelling import call_back
from claimnotify.store.clock import DatabaseClock
from claimnotify.store.direct import select_rows
from claimnotify.store.journal import notifications_by_id
from claimnotify.store.new_rows import attachment_rows, delivery_rows_of, notification_row
from claimnotify.store.ordering import orders_of, take_numbers
from claimnotify.store.rows import endpoint_of
from claimnotify.store.servers import check_attachments
from claimnotify.store.sessions import RingAfterCommit, SessionGuard, sync_session
from claimnotify.store.tables import (
    attachments,
    deliveries,
    endpoint_notices,
    endpoints,
    notifications,
)
from claimnotify.store.transactions import begin_now, beginning_late, writing
from claimnotify.store.writing import insert_or_ignore, insert_rows, insert_whole

__all__ = ["SqlOutbox", "SqlTransaction"]

_ENDPOINTS = select(endpoints).where(endpoints.c.tenant == bindparam("tenant"))
_ENDPOINTS_OF_ONE = _ENDPOINTS.where(endpoints.c.owner == bindparam("owner")).order_by(
    endpoints.c.id
)
_ENDPOINTS_OF_MANY = _ENDPOINTS.where(
    endpoints.c.owner.in_(bindparam("owners", expanding=True))
).order_by(endpoints.c.id)

_Opened = tuple[Connection, Callable[[str], object]]

_FEW = 8
"""How many deliveries go into one statement: each number of them is another one to plan."""


class SqlOutbox:
    """Opens transactions to accept in.

    Args:
        engine: The store's own engine.
        clock: The one clock.
        ring: Wakes a worker for a queue.
        guard: Checks a caller's session.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        clock: DatabaseClock,
        ring: Callable[[str], None],
        guard: SessionGuard,
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._ring = ring
        self._guard = guard
        self._after_commit = RingAfterCommit(ring)

    @contextmanager
    def transaction(self, session: Any = None) -> Iterator[SqlTransaction]:
        """Yield the caller's transaction if `session` is given, else one that commits at exit."""
        ours = session is None
        opened = self._ours(beginning_late(self._engine)) if ours else self._joined(session)
        with opened as (connection, ring):
            yield SqlTransaction(connection, self._clock, ring, ours=ours)

    @contextmanager
    def begun(self, session: Any = None) -> Iterator[_Opened]:
        """Yield a transaction that has begun, the caller's or ours, and what rings after its commit."""
        ours = session is None
        with self._ours(writing(self._engine)) if ours else self._joined(session) as opened:
            yield opened

    @contextmanager
    def _ours(self, opened: AbstractContextManager[Connection]) -> Iterator[_Opened]:
        queues: dict[str, None] = {}
        with opened as connection:
            yield connection, queues.setdefault
        for queue in queues:
            self._ring(queue)

    @contextmanager
    def _joined(self, session: Any) -> Iterator[_Opened]:
        joined = sync_session(session)
        connection = joined.connection()
        self._guard.check(connection)
        yield connection, lambda queue: self._after_commit.add(joined, queue)


class SqlTransaction:
    """One open transaction. See `claimnotify.ports.Transaction`.

    Args:
        connection: What it is open on.
        clock: The one clock.
        ring: Keeps what is to be rung after the commit.
        ours: Whether it is our own, from `beginning_late`, and not a caller's.
    """

    def __init__(
        self,
        connection: Connection,
        clock: DatabaseClock,
        ring: Callable[[str], object],
        *,
        ours: bool = False,
    ) -> None:
        self._connection = connection
        self._begins_late = ours
        self._clock = clock
        self._ring_later = ring

    def now(self) -> datetime:
        """Return the clock's time, read over this transaction's connection if need be."""
        return self._clock.now(self._connection)

    def take_notice(self, notice_id: str) -> bool:
        """Delete a notice that is told in this transaction; return whether it was still there."""
        self._begin()
        gone = endpoint_notices.delete().where(endpoint_notices.c.id == notice_id)
        return bool(self._connection.execute(gone).rowcount)

    def ring(self, queue: str) -> None:
        """Ring `queue` when, and only if, the transaction commits."""
        self._ring_later(queue)

    def endpoints_of(
        self, tenant: str, owners: Collection[str]
    ) -> Mapping[str, Sequence[Endpoint]]:
        """Return the endpoints of each owner that has any, oldest first."""
        found: dict[str, list[Endpoint]] = {}
        if len(owners) == 1:
            (owner,) = owners
            values = {"tenant": tenant, "owner": owner}
            rows = select_rows(self._connection, _ENDPOINTS_OF_ONE, values)
        else:
            rows = self._connection.execute(
                _ENDPOINTS_OF_MANY, {"tenant": tenant, "owners": list(owners)}
            ).all()
        for row in rows:
            found.setdefault(row.owner, []).append(endpoint_of(row))
        return found

    def add(self, new: Sequence[NewNotification], *, last: bool = False) -> Sequence[Notification]:
        """Write them; return them, or for keys used before the earlier notifications."""
        note_rows = {each.notification.id: notification_row(each) for each in new}
        rows_of = {each.notification.id: list(delivery_rows_of(each)) for each in new}
        if self._fits_one_statement(new):
            if not last:
                self._begin()
            (note,) = note_rows.items()
            parts = [(deliveries, row) for row in rows_of[note[0]]]
            insert_whole(self._connection, [(notifications, note[1]), *parts])
            return [new[0].notification]
        self._begin()
        check_attachments(self._connection, [file for each in new for file in each.attachments])
        keyed = [each for each in new if each.notification.idempotency_key]
        earlier = self._insert_keyed(keyed, note_rows) if keyed else {}
        plain = [note_rows[e.notification.id] for e in new if not e.notification.idempotency_key]
        if plain:
            insert_rows(self._connection, notifications, plain)
        fresh = [each for each in new if each.notification.id not in earlier]
        delivery_rows = [row for each in fresh for row in rows_of[each.notification.id]]
        self._put_in_order(fresh, delivery_rows)
        if delivery_rows:
            insert_rows(self._connection, deliveries, delivery_rows)
        file_rows = [row for each in fresh for row in attachment_rows(each)]
        if file_rows:
            insert_rows(self._connection, attachments, file_rows)
        return [earlier.get(each.notification.id, each.notification) for each in new]

    def _begin(self) -> None:
        if self._begins_late:
            begin_now(self._connection)
            self._begins_late = False

    def _put_in_order(self, new: Sequence[NewNotification], rows: Sequence[dict[str, Any]]) -> None:
        """Give those under an ordering key their place in it."""
        strict: dict[str, bool] = {}
        streams: dict[str, str] = {}
        for each in new:
            for delivery_id, (order, is_strict) in orders_of(each).items():
                streams[delivery_id] = order
                strict[delivery_id] = is_strict
        if not streams:
            return
        tenant = new[0].notification.tenant
        numbers = take_numbers(self._connection, tenant, Counter(streams.values()), self.now())
        for row in rows:
            stream = streams.get(row["id"])
            if stream is not None:
                row |= {
                    "order_key": stream,
                    "order_seq": numbers[stream],
                    "order_strict": strict[row["id"]],
                }
                numbers[stream] += 1

    def cancel(self, tenant: str, notification_id: str) -> int:
        """Cancel what has not been sent; a send under way is not retried after it."""
        self._begin()
        called_back = call_back(self._connection, tenant, notification_id, self.now())
        if not called_back.ids and not self._exists(tenant, notification_id):
            raise NotFound("notification_id", "there is no such notification", "Check the id.")
        for queue in called_back.queues:
            self.ring(queue)
        return called_back.waited

    def _exists(self, tenant: str, notification_id: str) -> bool:
        query = select(notifications.c.id).where(
            notifications.c.tenant == tenant, notifications.c.id == notification_id
        )
        return self._connection.execute(query).first() is not None

    def _fits_one_statement(self, new: Sequence[NewNotification]) -> bool:
        """Return whether it is a single one for which nothing has to be looked up or counted."""
        if len(new) > 1 or self._connection.dialect.driver != "psycopg":
            return False
        note = new[0].notification
        keys = note.idempotency_key, note.ordering_key, new[0].ordered
        return (
            keys == (None, None, None) and not new[0].attachments and len(note.deliveries) <= _FEW
        )

    def _insert_keyed(
        self, new: Sequence[NewNotification], note_rows: Mapping[str, dict[str, Any]]
    ) -> Mapping[str, Notification]:
        """Insert those whose key is free; return the earlier ones by the id that was not used."""
        tenant = new[0].notification.tenant
        first_of: dict[str, NewNotification] = {}
        for each in new:
            first_of.setdefault(str(each.notification.idempotency_key), each)
        # Sorted, so that two batches with the same keys wait for each other and never deadlock.
        rows = [note_rows[first_of[key].notification.id] for key in sorted(first_of)]
        self._connection.execute(insert_or_ignore(notifications, self._connection), rows)
        query = select(
            notifications.c.idempotency_key, notifications.c.id, notifications.c.fingerprint
        ).where(notifications.c.tenant == tenant, notifications.c.idempotency_key.in_(first_of))
        if self._connection.dialect.name in ("mysql", "mariadb"):
            query = query.with_for_update(read=True)
        winners = {row.idempotency_key: row for row in self._connection.execute(query)}
        for each in new:
            key = str(each.notification.idempotency_key)
            if winners[key].fingerprint != each.fingerprint:
                # The transaction may be the caller's, who may commit it in spite of the error.
                mine = notifications.c.id.in_([each.notification.id for each in first_of.values()])
                self._connection.execute(notifications.delete().where(mine))
                raise IdempotencyConflict(
                    "idempotency_key",
                    f"{key!r} was used for another event, payload or recipient",
                    "Use a key that names this one thing.",
                )
        lost = {
            each.notification.id: winners[str(each.notification.idempotency_key)].id
            for each in new
            if winners[str(each.notification.idempotency_key)].id != each.notification.id
        }
        ours = {each.notification.id: each.notification for each in first_of.values()}
        stored = notifications_by_id(self._connection, [i for i in lost.values() if i not in ours])
        return {mine: _replayed(stored.get(won) or ours[won]) for mine, won in lost.items()}


def _replayed(notification: Notification) -> Notification:
    return replace(notification, replayed=True)
