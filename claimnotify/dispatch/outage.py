"""Says once that the queue cannot be reached and once that it can be again."""

from __future__ import annotations

import logging
import threading
from typing import Protocol

from claimnotify.errors import ConfigurationError

__all__ = ["OutageLog", "Place"]


class Place(Protocol):
    """Where queues are, as far as it may be told."""

    @property
    def printable(self) -> str:
        """Its URL without a password."""

    def redact(self, text: str) -> str:
        """Return `text`, which a driver wrote, without the password."""


class OutageLog:
    """One log for several users of one store: an outage lasts from the first failure to the last.

    Args:
        logger: Where to write.
        location: The store; its password is struck out of what drivers say.
        consequence: What the outage means for whoever reads the log.
    """

    def __init__(self, logger: logging.Logger, location: Place, *, consequence: str) -> None:
        self._logger = logger
        self._location = location
        self._consequence = consequence
        self._failing: set[str] = set()
        self._lock = threading.Lock()

    def failed(self, user: str, error: Exception) -> None:
        """Note that `user` (a queue's name) could not use the store."""
        with self._lock:
            begins = not self._failing
            self._failing.add(user)
        if not begins:
            return
        if isinstance(error, ConfigurationError):  # no outage, and it says itself what to do
            self._logger.warning("The queue at %s is not used: %s", self._location.printable, error)
        else:
            lines = str(error).strip().splitlines() or [""]
            self._logger.warning(
                "The queue at %s cannot be used (%s: %s). %s",
                self._location.printable,
                type(error).__name__,
                self._location.redact(lines[0]),
                self._consequence,
            )

    def recovered(self, user: str) -> None:
        """Note that `user` could use the store."""
        if user not in self._failing:  # the usual case, without the lock
            return
        with self._lock:
            self._failing.discard(user)
            ends = not self._failing
        if ends:
            self._logger.warning("The queue at %s is usable again.", self._location.printable)
