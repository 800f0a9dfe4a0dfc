"""Writes what became of leased rows, batch by batch, so that none is forgotten whatever goes wrong."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Generic, Protocol, TypeVar

from claimnotify.errors import StoreUnavailable
from claimnotify.model.states import AttemptOutcome, DeliveryStatus, Reason
from claimnotify.ports import JobOutcome, Outcome

__all__ = ["OutcomeWriter", "Written", "plain_delivery", "plain_job"]

T = TypeVar("T")

_STORE_PAUSE = 0.25
"""Seconds before outcomes that could not be written are tried again."""


class _Recorded(Protocol):
    """What a store says of outcomes that it recorded."""

    @property
    def lost(self) -> Collection[str]:
        """The ids of rows that had lost their lease."""

    @property
    def next_due(self) -> datetime | None:
        """When the next of what the outcomes left waiting is due, or None."""


@dataclass(frozen=True, slots=True)
class Written(Generic[T]):
    """What was written of a batch.

    Args:
        outcomes: The outcomes that were written, as they were handed in.
        lost: The ids of rows that had lost their lease; nothing was written for them.
        next_due: When the next of what the outcomes left waiting is due, or None.
    """

    outcomes: Sequence[T] = ()
    lost: Collection[str] = ()
    next_due: datetime | None = None


class OutcomeWriter(Generic[T]):
    """The outcomes that came back and wait to be written.

    One that the store refuses costs none of the others: those of its batch are then written one by
    one, and that one in the plain form that every database takes.

    Args:
        done: The outcomes that wait, the oldest first; others append to it.
        record: Writes outcomes in one transaction.
        plain: Returns an outcome without what a database may refuse.
        batch_size: How many are written at once.
        news: Set when there is more to write.
        log: Where trouble is told.
    """

    def __init__(
        self,
        done: deque[T],
        *,
        record: Callable[[Sequence[T]], _Recorded],
        plain: Callable[[T], T],
        batch_size: int,
        news: threading.Event,
        log: logging.Logger,
    ) -> None:
        self._done = done
        self._record = record
        self._plain = plain
        self._batch_size = batch_size
        self._news = news
        self._log = log
        self.kept_back = False
        """Whether outcomes are kept that could not be written, as the database was not there."""

    def write(self) -> Written[T]:
        """Write a batch; what cannot be written is kept, and tried again by a later call.

        Raises:
            Exception: The store's own, if it refuses every outcome of the batch in its plain form
                too. They are kept.
        """
        batch = [self._done.popleft() for _ in range(min(len(self._done), self._batch_size))]
        if self._done:
            self._news.set()
        if not batch:
            return Written()
        try:
            recorded = self._record(batch)
        except StoreUnavailable as error:
            self._keep(batch, error)
            return Written()
        except Exception as error:
            self._log.error(
                "a batch of %d outcomes was refused and is written one by one: %s",
                len(batch),
                type(error).__name__,
            )
            return self._one_by_one(batch)
        self.kept_back = False
        return Written(batch, recorded.lost, recorded.next_due)

    def _one_by_one(self, batch: Sequence[T]) -> Written[T]:
        self.kept_back = False
        written: list[T] = []
        lost: set[str] = set()
        moments: list[datetime] = []
        fault: Exception | None = None
        for position, outcome in enumerate(batch):
            try:
                recorded = self._one(outcome)
            except StoreUnavailable as error:
                self._keep(batch[position:], error)
                break
            except Exception as error:
                # Not of its texts: a fault of the store, which may pass. The others go first.
                self._log.error("an outcome is kept, for a %s", type(error).__name__)
                self._done.append(outcome)
                fault = error
                continue
            written.append(outcome)
            lost.update(recorded.lost)
            if recorded.next_due is not None:
                moments.append(recorded.next_due)
        if fault is not None and not written:
            raise fault
        return Written(written, lost, min(moments, default=None))

    def _one(self, outcome: T) -> _Recorded:
        try:
            return self._record([outcome])
        except StoreUnavailable:
            raise
        except Exception as error:
            # Neither the outcome nor what the driver says, which may quote it.
            self._log.error("an outcome is written plainly, for a %s", type(error).__name__)
            return self._record([self._plain(outcome)])

    def _keep(self, outcomes: Sequence[T], error: StoreUnavailable) -> None:
        """Keep outcomes to try again: what was done must not be forgotten for a lock."""
        self._log.warning("outcomes could not be written yet: %s", error)
        self.kept_back = True
        self._done.extendleft(reversed(outcomes))
        time.sleep(_STORE_PAUSE)  # also while stopping, when an event would not wait
        self._news.set()


def plain_job(outcome: JobOutcome) -> JobOutcome:
    """Return the outcome with a fixed text for its error."""
    return replace(outcome, error="its error could not be written" if outcome.error else "")


def plain_delivery(outcome: Outcome) -> Outcome:
    """Return the outcome without what its channel said; one with an inbox item has failed.

    A delivery to an inbox is its item: if that cannot be written, nothing was delivered.
    """
    attempt, failed = outcome.attempt, outcome.inbox_item is not None
    if attempt is not None:
        attempt = replace(
            attempt,
            outcome=AttemptOutcome.PERMANENT if failed else attempt.outcome,
            status_code=None,
            error="",
            detail="what its channel said could not be written",
        )
    known = str(outcome.reason) in set(Reason)
    return replace(
        outcome,
        status=DeliveryStatus.FAILED if failed else outcome.status,
        reason=Reason.REJECTED if failed or not known else outcome.reason,
        attempt=attempt,
        provider_id="",
        inbox_item=None,
    )
