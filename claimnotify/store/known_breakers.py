"""What a process knows of the breakers, read once a second: which are open, and who has a row at all."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import Connection, Row, Select, select, union_all

from claimnotify.model.locks import ProcessLock
from claimnotify.policy.breaker import Trouble
from claimnotify.store.tables import breakers

__all__ = ["FINE", "KnownBreakers", "trouble_of"]

FINE = Trouble()
_MOST_OPEN = 10_000
"""How many that are open, or on trial, are known: of more, those that are to be tried last."""
_MOST_OTHERS = 1_000
"""How many others are known. If there are more, each success is looked up, which takes no harm."""


class KnownBreakers:
    """What was read last, and what this process wrote since.

    Before a send it matters which breakers are open, so these are read before all others, of which
    there may be many that only count a failure or two. When outcomes are recorded it matters which
    have a row, as a success ends what is counted there.

    Args:
        monotonic: Seconds that never go back.
    """

    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.monotonic = monotonic
        self.troubles: Mapping[str, Trouble] = {}
        self._are_all = True
        self._read_at: float | None = None
        self._lock = ProcessLock()

    @property
    def stale(self) -> bool:
        """Whether it should be read again."""
        return self._read_at is None or self.monotonic() - self._read_at >= 1.0

    def read(self, connection: Connection) -> None:
        """Read it."""
        rows = connection.execute(_query()).all()
        others = sum(row.retry_at is None for row in rows)
        with self._lock:
            self.troubles = {row.id: trouble_of(row) for row in rows}
            self._are_all = others < _MOST_OTHERS and len(rows) - others < _MOST_OPEN
            self._read_at = self.monotonic()

    def may_fail(self, name: str) -> bool:
        """Return whether a breaker may have a row that says something: so a success has to go there."""
        return not self._are_all or self.troubles.get(name, FINE) != FINE

    def remember(self, troubles: Mapping[str, Trouble]) -> None:
        """Note what this process wrote."""
        with self._lock:
            self.troubles = {**self.troubles, **troubles}


def trouble_of(row: Row[Any]) -> Trouble:
    """Return what a row says."""
    return Trouble(
        failures=row.failures,
        openings=row.openings,
        opened_at=row.opened_at,
        retry_at=row.retry_at,
        failing_since=row.failing_since,
        failed_at=row.failed_at,
    )


def _query() -> Select[Any]:
    retry_at = breakers.c.retry_at
    opened = select(breakers).where(retry_at.is_not(None)).order_by(retry_at.desc())
    others = select(breakers).where(retry_at.is_(None))
    parts = (opened.limit(_MOST_OPEN).subquery(), others.limit(_MOST_OTHERS).subquery())
    return select(union_all(*(select(part) for part in parts)).subquery())
