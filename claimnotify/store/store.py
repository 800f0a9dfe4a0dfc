"""The store as one object: composes outbox, work, jobs, inbox, endpoints … over an engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from claimnotify.errors import ConfigurationError
from claimnotify.model.ids import IdSource
from claimnotify.model.locks import ProcessLock
from claimnotify.policy.streaks import StreakPolicy
from claimnotify.store import schema
from claimnotify.store.clock import DatabaseClock
from claimnotify.store.endpoints import SqlEndpoints
from claimnotify.store.engine import make_engine, parse_url
from claimnotify.store.inbox import SqlInbox
from claimnotify.store.jobs import SqlJobs
from claimnotify.store.journal import SqlJournal
from claimnotify.store.outbox import SqlOutbox
from claimnotify.store.recovering import SqlReplays
from claimnotify.store.sealing import SqlSealing
from claimnotify.store.sessions import SessionGuard, sync_session
from claimnotify.store.transactions import reading, writing
from claimnotify.store.work import SqlWorkQueue

__all__ = ["SqlStore"]


class SqlStore:
    """Everything that is kept, in one SQL database. See `claimnotify.ports.Store`.

    Args:
        url: The database's URL; async drivers' URLs are taken to mean the same database.
        ring: Wakes a worker for a queue, after a commit.
        new_id: Makes ids that sort by time.
        pool_size: Connections kept open.
        streaks: When an endpoint that keeps failing is told of and disabled.

    Raises:
        ConfigurationError: The URL is none of a database we support, or its driver is missing.
    """

    def __init__(
        self,
        url: str,
        *,
        ring: Callable[[str], None],
        new_id: Callable[[], str] | None = None,
        pool_size: int = 5,
        streaks: StreakPolicy | None = None,
    ) -> None:
        new_id = new_id or IdSource()
        self.url = parse_url(url)
        self._engine = make_engine(self.url, pool_size=pool_size)
        # A lease that a crash of the server forgets is given again, so it need not reach the disk.
        self._lease_engine = (
            make_engine(self.url, pool_size=pool_size, durable=False)
            if self.url.get_backend_name() == "postgresql"
            else self._engine
        )
        self._checked = False
        self._closed = False
        self._check_lock = ProcessLock()
        self._guard = SessionGuard(self._store_id)
        self.clock = DatabaseClock(self._engine)
        self.outbox = SqlOutbox(self._engine, clock=self.clock, ring=ring, guard=self._guard)
        self.work = SqlWorkQueue(
            self._engine,
            lease_engine=self._lease_engine,
            clock=self.clock,
            new_id=new_id,
            streaks=streaks,
        )
        self.jobs = SqlJobs(
            self._engine, clock=self.clock, new_id=new_id, ring=ring, joined=self._joined
        )
        self.inbox = SqlInbox(self._engine, clock=self.clock, joined=self._joined)
        self.endpoints = SqlEndpoints(
            self._engine,
            clock=self.clock,
            joined=self._joined,
            let_parked_go=self.work.breakers.let_all_go,
        )
        self.sealing = SqlSealing(self._engine, clock=self.clock)
        self.journal = SqlJournal(self._engine)
        self.replays = SqlReplays(self._engine, clock=self.clock, begun=self.outbox.begun)

    def check(self) -> None:
        """Make sure the schema is there; a SQLite file is migrated, a server is not."""
        if self._closed:
            raise ConfigurationError(
                "notifier", "was closed", "Make another with Notifier.from_settings()."
            )
        if self._checked:
            return
        with self._check_lock:
            schema.ensure(self._engine)
            self._checked = True

    def upgrade(self) -> None:
        """Create or migrate the schema, on any database."""
        engine = make_engine(self.url, pool_size=1, patient=True)
        try:
            schema.upgrade(engine)
        finally:
            engine.dispose()

    def close(self) -> None:
        """Close every pooled connection."""
        self._closed = True
        self._engine.dispose()
        self._lease_engine.dispose()

    @property
    def embedded(self) -> Path | None:
        """The SQLite file that it is in, or None if it is on a server."""
        embedded = self.url.get_backend_name() == "sqlite"
        return Path(self.url.database or "") if embedded else None

    def describe(self) -> str:
        """Return the database's URL without its password."""
        return self.url.render_as_string(hide_password=True)

    @contextmanager
    def _joined(self, session: Any) -> Iterator[Connection]:
        """Yield the caller's connection, or one of ours that commits at exit."""
        if session is None:
            with writing(self._engine) as connection:
                yield connection
            return
        connection = sync_session(session).connection()
        self._guard.check(connection)
        yield connection

    def _store_id(self) -> str | None:
        with reading(self._engine) as connection:
            return schema.store_id(connection)
