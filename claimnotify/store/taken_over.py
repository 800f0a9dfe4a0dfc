"""Remembers what this process leased after another's lease had run out, and keeps its hands off meanwhile.

Where the clocks of two processes are an hour apart, as on SQLite they may be, each finds that the other's
leases have run out. They would take the same row from each other many times in the time of one send, and
count each time as a worker that it killed, until it is poison.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Column, ColumnElement

from claimnotify.model.locks import ProcessLock

__all__ = ["TakenOver"]


class TakenOver:
    """The rows that were leased here in the time of one lease, by the clock of this process.

    Whoever has one of them now leased it later, so his lease has not run out, whatever it says.
    """

    def __init__(self) -> None:
        self._until: dict[str, datetime] = {}
        self._lock = ProcessLock()

    def add(self, ids: Iterable[str], until: datetime) -> None:
        """Note rows that were just leased until then, after their lease had run out."""
        with self._lock:
            self._until.update(dict.fromkeys(ids, until))

    def others(
        self, row_id: Column[Any], now: datetime, duration: timedelta
    ) -> Sequence[ColumnElement[bool]]:
        """Return the condition that a row is none of these, if there are any."""
        with self._lock:
            self._until = {
                key: until for key, until in self._until.items() if now < until <= now + duration
            }
            ids = list(self._until)
        return [row_id.not_in(ids)] if ids else []
