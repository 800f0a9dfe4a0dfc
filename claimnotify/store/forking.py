"""Takes engines through a fork: a child has connections of its own, and none to SQLite is open meanwhile.

SQLite keeps account of its locks by process. A child that inherits an open connection believes to hold
locks that only its parent has, whatever it opens itself later: another process can then remove the log
in which the child's commits are.

Source: SQLite, "How To Corrupt An SQLite Database File", 2.6.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from typing import Any

from sqlalchemy import Dialect, Engine, event
from sqlalchemy.exc import DisconnectionError

from claimnotify.errors import ConfigurationError

__all__ = ["forget_connections_in_children", "keep_sqlite_out_of_forks"]

_PATIENCE = 5.0
"""Seconds for which a fork waits until what other threads do in the database has ended."""
_LOOK = 0.01


def forget_connections_in_children(engine: Engine) -> None:
    """Give a forked child connections of its own; the parent's are left alone."""
    known = weakref.ref(engine)

    def forget() -> None:
        engine = known()
        if engine is not None:
            engine.dispose(close=False)

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=forget)


def keep_sqlite_out_of_forks(engine: Engine) -> None:
    """Close the connections of a SQLite engine before a fork; parent and child open new ones.

    A fork waits for what other threads are doing, and they wait for the fork. A child of a thread
    that forks in the middle of a transaction of ours cannot use the engine, and is told so.
    """
    forget_connections_in_children(engine)
    if not hasattr(os, "register_at_fork"):
        return
    gate = _Gate(engine)
    event.listen(engine, "do_connect", gate.connect)
    event.listen(engine, "checkout", gate.taken)
    event.listen(engine, "close", gate.closed)
    os.register_at_fork(before=gate.shut, after_in_parent=gate.go_on, after_in_child=gate.reopen)


class _Gate:
    """Knows which connections are open, and lets nobody open another while a fork is near."""

    def __init__(self, engine: Engine) -> None:
        self._engine = weakref.ref(engine)
        self._changed = threading.Condition()
        self._connections: set[int] = set()
        self._shut = False
        self._unusable = False

    def connect(
        self, dialect: Dialect, _record: Any, arguments: list[Any], options: dict[str, Any]
    ) -> Any:
        """Open a connection when no fork is near."""
        if self._unusable:
            raise ConfigurationError(
                "database_url",
                "this process was forked while its parent was using the SQLite database",
                "Fork when no other call is under way, or start the process afresh.",
            )
        with self._changed:
            self._changed.wait_for(lambda: not self._shut, _PATIENCE)
            connection = dialect.connect(*arguments, **options)
            self._connections.add(id(connection))
        return connection

    def taken(self, _connection: Any, _record: Any, _proxy: Any) -> None:
        """Have the pool close a connection that is taken while a fork is near, and open another."""
        if self._shut:
            raise DisconnectionError("the process is about to fork")

    def closed(self, connection: Any, _record: Any) -> None:
        """Close a connection that is about to be closed, and note it: no fork may come between."""
        with self._changed:
            connection.close()
            self._connections.discard(id(connection))

    def shut(self) -> None:
        """Close what is open, and wait until that is all."""
        engine = self._engine()
        if engine is None:
            return
        with self._changed:
            self._shut = True
        ends = time.monotonic() + _PATIENCE
        engine.pool.dispose()
        while self._open() and time.monotonic() < ends:
            time.sleep(_LOOK)
            engine.pool.dispose()

    def _open(self) -> int:
        with self._changed:  # nobody is in the middle of opening or closing one
            return len(self._connections)

    def go_on(self) -> None:
        """Go on in the parent."""
        with self._changed:
            self._shut = False
            self._changed.notify_all()

    def reopen(self) -> None:
        """Go on in the child, where a lock may be held by a thread that is not there."""
        self._changed = threading.Condition()
        self._unusable = self._unusable or bool(self._connections)
        self._connections = set()
        self._shut = False
