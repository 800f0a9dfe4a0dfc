"""Keeps rings in a SQLite file, whose connections no fork may find open."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from huey.storage import SqliteStorage

from claimnotify.dispatch.storages import READ_SECONDS, CountedRings, RingStorage
from claimnotify.model.forks import ForkGate

__all__ = ["SqliteBackend"]


class _SqliteRings(SqliteStorage, CountedRings):  # type: ignore[misc]  # huey ships no type information
    def __init__(self, name: str, *, forks: ForkGate, **options: Any) -> None:
        super().__init__(name, **options)
        self._forks = forks

    @contextmanager
    def db(self, commit: bool = False, close: bool = False) -> Iterator[Any]:
        """Open a cursor; no fork comes between."""
        with self._forks, super().db(commit, close) as cursor:
            yield cursor

    def close(self) -> bool:
        """Close the connection; no fork comes between."""
        with self._forks:
            return bool(super().close())

    def let_go(self) -> None:
        """Close the connection because a fork comes."""
        super().close()

    def prepare(self) -> None:
        Path(self.filename).parent.mkdir(parents=True, exist_ok=True)
        self.initialize_schema()

    def _create_connection(self) -> Any:
        connection = super()._create_connection()
        # In WAL mode this writes without waiting for the disk, and yet cannot corrupt the file.
        connection.execute("PRAGMA synchronous=NORMAL")
        return connection


class SqliteBackend:
    """Makes storages in one file; see `claimnotify.dispatch.storages.Backend`.

    Args:
        path: The file.
        ring_timeout: Seconds a ring may wait for the write lock.
    """

    def __init__(self, path: str, *, ring_timeout: float) -> None:
        self._path = path
        self._ring_timeout = ring_timeout
        self._forks = ForkGate("queue_url", may_be_inherited=False)
        self._open: weakref.WeakSet[_SqliteRings] = weakref.WeakSet()
        self._forks.watch(self._close_all, forget=self._open.clear)

    def ringing(self, name: str) -> RingStorage:
        """Return a storage to ring with."""
        return self._storage(name, self._ring_timeout)

    def listening(self, name: str) -> RingStorage:
        """Return a storage to listen with."""
        return self._storage(name, READ_SECONDS)

    def _storage(self, name: str, timeout: float) -> RingStorage:
        storage = _SqliteRings(
            name,
            forks=self._forks,
            filename=self._path,
            timeout=timeout,
            cache_mb=0,
            create_tables=False,
        )
        self._open.add(storage)
        return storage

    def _close_all(self) -> None:
        for storage in self._open:
            storage.let_go()
