"""Joins a caller's SQLAlchemy session: checks that it is our database, rings when its root commits."""

from __future__ import annotations

import weakref
from collections.abc import Callable

from sqlalchemy import Connection, Engine, event
from sqlalchemy.orm import Session, SessionTransaction

from claimnotify.errors import ConfigurationError
from claimnotify.model.locks import ProcessLock
from claimnotify.store import schema
from claimnotify.store.real_transactions import check_transaction
from claimnotify.store.servers import check_caller

__all__ = ["RingAfterCommit", "SessionGuard", "sync_session"]


def sync_session(session: object) -> Session:
    """Return `session` if it is a plain `Session`.

    Raises:
        ConfigurationError: If it is an `AsyncSession`, or no session at all.
    """
    if isinstance(session, Session):
        return session
    if hasattr(session, "run_sync"):
        raise ConfigurationError(
            "session", "is an AsyncSession", "Await the a-twin of the method: anotify, acancel …"
        )
    raise ConfigurationError(
        "session", f"is a {type(session).__name__}", "Give a SQLAlchemy Session or AsyncSession."
    )


class SessionGuard:
    """Makes sure that a session's database is the one of the store and keeps texts whole, once per engine.

    Args:
        own: Returns our store's id.
    """

    def __init__(self, own: Callable[[], str | None]) -> None:
        self._own = own
        self._known: weakref.WeakSet[Engine] = weakref.WeakSet()
        self._lock = ProcessLock()

    def check(self, connection: Connection) -> None:
        """Check the connection's database.

        Raises:
            ConfigurationError: If it is another database, has no tables of ours, commits each
                statement by itself, or is reached over connections that may cut texts off.
        """
        engine = connection.engine
        check_transaction(connection)
        with self._lock:
            if engine in self._known:
                return
        theirs = schema.store_id(connection)
        if theirs is None or theirs != self._own():
            raise ConfigurationError(
                "session",
                "its database is not the one claimnotify is configured with",
                "Set CLAIMNOTIFY_DATABASE_URL to the application's database, or leave session out.",
            )
        check_caller(connection)
        with self._lock:
            self._known.add(engine)


class RingAfterCommit:
    """Collects rings during a session's transaction and rings them when the root has committed.

    A savepoint's rollback forgets the rings made inside it; the end of the root, by rollback or by
    closing the session, forgets all.

    Args:
        ring: Wakes a worker for a queue.
    """

    def __init__(self, ring: Callable[[str], None]) -> None:
        self._ring = ring
        self._pending: weakref.WeakKeyDictionary[
            Session, list[tuple[str, tuple[SessionTransaction, ...]]]
        ] = weakref.WeakKeyDictionary()

    def add(self, session: Session, queue: str) -> None:
        """Ring `queue` when the transaction `session` is in has committed for good."""
        pending = self._pending.get(session)
        if pending is None:
            pending = self._pending[session] = []
            event.listen(session, "after_commit", self._committed)
            event.listen(session, "after_soft_rollback", self._rolled_back)
            event.listen(session, "after_transaction_end", self._ended)
        pending.append((queue, _enclosing(session)))

    def _committed(self, session: Session) -> None:
        # Fires for savepoints too: only the root's commit makes anything visible.
        if session.in_nested_transaction():
            return
        pending = self._pending.get(session)
        if pending:
            queues = dict.fromkeys(queue for queue, _ in pending)
            pending.clear()
            for queue in queues:
                self._ring(queue)

    def _rolled_back(self, session: Session, ended: SessionTransaction) -> None:
        pending = self._pending.get(session)
        if pending:
            pending[:] = [entry for entry in pending if ended not in entry[1]]

    def _ended(self, session: Session, ended: SessionTransaction) -> None:
        # Closing a session without a commit is a rollback that has no event of its own.
        pending = self._pending.get(session)
        if pending and ended.parent is None:
            pending.clear()


def _enclosing(session: Session) -> tuple[SessionTransaction, ...]:
    chain: list[SessionTransaction] = []
    transaction = session.get_nested_transaction() or session.get_transaction()
    while transaction is not None:
        chain.append(transaction)
        transaction = transaction.parent
    return tuple(chain)
