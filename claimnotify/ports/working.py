"""The seam of the work queue: leases of deliveries, outcomes, breakers and rates. Protocol and values."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from claimnotify.model.messages import InAppMessage
from claimnotify.model.notices import EndpointNotice
from claimnotify.model.notifications import Attempt, Delivery, Notification
from claimnotify.model.states import DeliveryStatus
from claimnotify.policy.breaker import Trouble
from claimnotify.policy.rates import RateLimit

__all__ = ["Lease", "Outcome", "Recorded", "Work", "WorkQueue"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """One leased delivery with what is needed to send it."""

    delivery: Delivery
    notification: Notification


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """Deliveries leased together, under one fencing token.

    Args:
        token: Identifies this lease; outcomes are written only while a row still carries it.
        works: What was leased; may be empty.
        poisoned: Whether this single delivery killed its worker too often: to be failed, not sent.
        alone: Whether it is to be sent with nothing else in hand.
        alone_wait: Whether there are others that are to be sent alone.
        more: Whether more is known to be due; None if nobody looked.
        taken: By channel, how many were taken from its rate limit for it; what is not sent of them
            is to be put back.
    """

    token: str
    works: Sequence[Work]
    poisoned: bool = False
    alone: bool = False
    alone_wait: bool = False
    more: bool | None = False
    taken: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one leased delivery.

    Args:
        delivery_id: The delivery.
        tenant: Its tenant.
        notification_id: Its notification.
        token: The lease's token.
        channel: Its channel.
        status: The new state; `pending` for a retry or a release, `parked` to wait for its
            endpoint's breaker.
        reason: Why.
        due_at: When to look at it next; None unless `pending` or `parked`.
        attempt: The try to append, or None if no send was started.
        provider_id: The transport's own id, or empty.
        endpoint_id: The endpoint, or None.
        inbox_item: An inbox item to write in the same transaction, with its recipient's id.
        disable_endpoint: Whether to disable the endpoint in the same transaction.
        pause_endpoint: For how long at least nothing is to be sent to the endpoint, as it has too
            much to do; None if it did not say so.
        our_fault: Whether an attempt that failed did so for a fault on our side.
        sent_to: The endpoint's URL that a failed attempt went to, or empty if it is not known: what
            an endpoint's former URL answers says nothing of the one that it has now.
    """

    delivery_id: str
    tenant: str
    notification_id: str
    token: str
    channel: str
    status: DeliveryStatus
    reason: str
    due_at: datetime | None = None
    attempt: Attempt | None = None
    provider_id: str = ""
    endpoint_id: str | None = None
    inbox_item: tuple[str, InAppMessage] | None = field(default=None, repr=False)
    disable_endpoint: bool = False
    pause_endpoint: timedelta | None = None
    our_fault: bool = False
    sent_to: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Recorded:
    """What came of recording outcomes.

    Args:
        lost: The ids of deliveries that had lost their lease; their state was not changed.
        next_due: When the next of what the outcomes left waiting, or let go, is due; None if
            there is nothing.
        notices: Whether there is something new to tell of endpoints; see `WorkQueue.notices`.
    """

    lost: Collection[str] = ()
    next_due: datetime | None = None
    notices: bool = False


class WorkQueue(Protocol):
    """Leases of due deliveries and the record of what became of them.

    `room` says of how many further deliveries of a channel there is room; channels that it does not
    name have room. `rates` are the rate limits of channels, enforced across all workers.
    """

    def lease(
        self,
        queue: str,
        *,
        limit: int,
        duration: timedelta,
        room: Mapping[str, int] | None = None,
        rates: Mapping[str, RateLimit] | None = None,
    ) -> Lease | None:
        """Lease up to `limit` due deliveries for `duration`, or return None if nothing is due.

        Of each tenant's deliveries those of the best priority are leased first; of these, each
        channel and each tenant gets its share. A delivery that is not the next under its ordering
        key is parked and not returned; then the lease may be without any.
        """

    def lease_lapsed(
        self, queue: str, *, limit: int, duration: timedelta, alone: bool
    ) -> Lease | None:
        """Lease deliveries whose lease ran out, or return None if there are none.

        Any of them may have killed its worker. Those for which that happened once are leased
        together. One for which it happened again is leased alone, and only if `alone` says that the
        caller has nothing else in hand.
        """

    def renew(self, token: str, delivery_ids: Collection[str], *, duration: timedelta) -> None:
        """Prolong the lease of those of the rows that still carry `token`."""

    def keep_content(self, token: str, contents: Mapping[str, str]) -> None:
        """Keep rendered content by delivery id, on rows that still carry `token`."""

    def record(self, outcomes: Sequence[Outcome]) -> Recorded:
        """Write outcomes and attempts in one transaction.

        A row that lost its lease keeps its state but gets its attempt, though never a second one
        under the same lease. What ends, or fails without being strict, lets the next under its
        ordering key go. Failures and successes move the breaker of the endpoint, or of a channel
        that has none (`policy.breaker`); a delivery is parked only while its endpoint's breaker is
        open.

        An endpoint that says that it is gone, or from which nothing but failure has come for long
        enough (`policy.streaks`), is disabled; and what its owner is to be told is written, once for
        each streak of failures and at most once in a day, in the same transaction.
        """

    def troubles(self) -> Mapping[str, Trouble]:
        """Return what has failed of late, by the breaker's name; may be a second old."""

    def trouble(self, tenant: str, endpoint_id: str) -> Trouble:
        """Return what is known of one endpoint's failures, as it is now; of none, none."""

    def notices(self, *, limit: int, after: str = "") -> Sequence[EndpointNotice]:
        """Return what is still to be told of endpoints of any tenant, oldest first.

        Args:
            limit: At most how many.
            after: Only those with a greater id.
        """

    def release(self) -> int:
        """Let parked deliveries go whose breaker has closed, or of which one is to be tried.

        Returns how many became due. Called again and again, it lets them all go.
        """

    def recall(self, queue: str, delivery: Delivery, *, limit: int) -> int:
        """Make some of `queue` due that wait as the endpoint was busy: it answers promptly now.

        Args:
            queue: The queue.
            delivery: One of the same tenant, channel and endpoint; or to no endpoint, as they are.
            limit: How many may become due; those that would be due first.

        Returns how many became due.
        """

    def take(self, tenant: str, wanted: Mapping[str, tuple[RateLimit, int]]) -> Mapping[str, int]:
        """Take sends from rate limits; return by the limit's name how many are allowed now.

        Args:
            tenant: Whose limits.
            wanted: By name, the limit and how many sends are wanted. A name is one limit, whatever
                the tenant.
        """

    def put_back(self, tenant: str, unused: Mapping[str, tuple[RateLimit, int]]) -> None:
        """Put back what was taken from rate limits and is not sent; see `take`."""

    def next_due(self, queue: str, *, room: Mapping[str, int] | None = None) -> datetime | None:
        """Return when there is next something to lease in `queue`, or None; may be a moment old."""

    def counts(self, tenant: str | None = None) -> Mapping[tuple[str, str, str], int]:
        """Return how many unfinished deliveries there are by (queue, status, reason)."""
