"""Keeps the leases of what is in hand alive, on a thread of its own, and knows how long they last."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Iterable
from datetime import timedelta
from typing import Protocol

from claimnotify.errors import StoreUnavailable

__all__ = ["LeaseKeeper", "Renewing"]

_log = logging.getLogger("claimnotify.delivery")


class Renewing(Protocol):
    """Where leases are: a `WorkQueue` or a `JobQueue`."""

    def renew(self, token: str, ids: Collection[str], /, *, duration: timedelta) -> None:
        """Prolong the lease of those of the rows that still carry `token`."""


class LeaseKeeper:
    """Renews what is in hand every third of a lease's duration.

    Args:
        work: Where the leases are.
        duration: How long a lease lasts.
        monotonic: Seconds that never go back.
    """

    def __init__(
        self,
        work: Renewing,
        *,
        duration: timedelta,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._work = work
        self._duration = duration
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._held: dict[str, set[str]] = {}
        self._ends: dict[str, float] = {}
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def duration(self) -> timedelta:
        """How long a lease lasts."""
        return self._duration

    def began(self) -> float:
        """Return the moment to give to `hold`; ask before leasing."""
        return self._monotonic()

    def hold(self, token: str, ids: Iterable[str], *, began: float) -> None:
        """Keep a new lease alive, which was asked for at `began`."""
        with self._lock:
            self._held[token] = set(ids)
            self._ends[token] = began + self._duration.total_seconds()
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(
                    target=self._run, name="claimnotify-leases", daemon=True
                )
                self._thread.start()

    def drop(self, token: str, row_id: str) -> None:
        """Forget one row of a lease: its outcome is recorded."""
        with self._lock:
            ids = self._held.get(token)
            if ids is not None:
                ids.discard(row_id)
                if not ids:
                    del self._held[token], self._ends[token]

    def remaining(self, token: str) -> timedelta:
        """Return how long the lease is certain to last; zero or less when it may be over."""
        return timedelta(seconds=self._ends.get(token, float("-1e9")) - self._monotonic())

    def close(self) -> None:
        """Stop renewing."""
        self._closing.set()
        thread = self._thread
        if thread is not None:
            thread.join()

    def _run(self) -> None:
        while not self._closing.wait(self._duration.total_seconds() / 3):
            with self._lock:
                held = {token: tuple(ids) for token, ids in self._held.items()}
            for token, ids in held.items():
                self._renew(token, ids)

    def _renew(self, token: str, ids: tuple[str, ...]) -> None:
        began = self._monotonic()
        try:
            self._work.renew(token, ids, duration=self._duration)
        except StoreUnavailable as error:
            _log.warning("leases could not be renewed: %s", error)
            return
        with self._lock:
            if token in self._ends:
                self._ends[token] = began + self._duration.total_seconds()
