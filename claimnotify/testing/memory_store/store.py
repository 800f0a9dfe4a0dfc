"""The in-memory store as one object: composes outbox, work, jobs, inbox, endpoints …."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from claimnotify.errors import ConfigurationError
from claimnotify.policy.breaker import BreakerPolicy
from claimnotify.policy.streaks import StreakPolicy
from claimnotify.testing.memory_store.endpoints import MemoryEndpoints
from claimnotify.testing.memory_store.inbox import MemoryInbox
from claimnotify.testing.memory_store.jobs import MemoryJobs
from claimnotify.testing.memory_store.journal import MemoryJournal
from claimnotify.testing.memory_store.kept import Kept
from claimnotify.testing.memory_store.outbox import MemoryOutbox
from claimnotify.testing.memory_store.replays import MemoryReplays
from claimnotify.testing.memory_store.sealing import MemorySealing
from claimnotify.testing.memory_store.work import MemoryWorkQueue

__all__ = ["MemoryStore"]


class MemoryStore:
    """Everything that is kept, in memory. See `claimnotify.ports.Store`.

    One lock is held for the whole of each transaction, and looking for what is due reads all that
    there is: good for tests, and gone with the process. A session cannot be joined.

    Args:
        ring: Wakes a worker for a queue, after a transaction.
        new_id: Makes ids that sort by time.
        breaker: When to stop sending to what keeps failing.
        streaks: When an endpoint that keeps failing is told of and disabled.
    """

    def __init__(
        self,
        ring: Callable[[str], None],
        *,
        new_id: Callable[[], str] | None = None,
        breaker: BreakerPolicy | None = None,
        streaks: StreakPolicy | None = None,
    ) -> None:
        kept = Kept(new_id)
        self._kept = kept
        self._closed = False
        self.clock = kept.clock
        self.outbox = MemoryOutbox(kept, ring=ring)
        self.work = MemoryWorkQueue(kept, breaker=breaker, streaks=streaks)
        self.jobs = MemoryJobs(kept, ring=ring)
        self.inbox = MemoryInbox(kept)
        self.endpoints = MemoryEndpoints(kept)
        self.sealing = MemorySealing(kept)
        self.journal = MemoryJournal(kept)
        self.replays = MemoryReplays(kept, ring=ring)

    def check(self) -> None:
        """Make sure that it was not closed.

        Raises:
            ConfigurationError: It was.
        """
        if self._closed:
            raise ConfigurationError("store", "was closed", "Make another.")

    def upgrade(self) -> None:
        """Do nothing: there is no schema."""

    def describe(self) -> str:
        """Return where it is."""
        return "memory"

    def close(self) -> None:
        """Take no part any more; what was kept stays readable."""
        self._closed = True

    def advance(self, by: timedelta) -> None:
        """Move the store's clock on."""
        self.clock.advance(by)
