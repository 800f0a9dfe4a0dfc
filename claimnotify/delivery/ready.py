"""A delivery that is ready to be sent, and the outcomes of those that are not sent after all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from claimnotify.model.messages import Message
from claimnotify.model.states import DeliveryStatus, Reason
from claimnotify.policy.breaker import PARKED_FOR_AT_MOST
from claimnotify.ports import Channel, Lease, Outcome, Work

__all__ = ["Ready", "given_back", "outcome_of", "parked", "released"]


@dataclass(frozen=True, slots=True)
class Ready:
    """A delivery that is to be sent now."""

    work: Work
    token: str
    channel: Channel
    message: Message

    @property
    def line(self) -> str:
        """What it waits for a slot of: its endpoint, or its channel where there is none."""
        return self.work.delivery.endpoint_id or self.channel.name


def outcome_of(
    work: Work, token: str, status: DeliveryStatus, reason: str, *, due_at: datetime | None = None
) -> Outcome:
    """Return the outcome of a delivery for which no send was started.

    Args:
        work: The delivery.
        token: Its lease.
        status: What becomes of it.
        reason: Why.
        due_at: When to look at it again; no later than when it expires.
    """
    expires_at = work.delivery.expires_at
    if due_at is not None and expires_at is not None:
        due_at = min(due_at, expires_at)
    return Outcome(
        delivery_id=work.delivery.id,
        tenant=work.delivery.tenant,
        notification_id=work.delivery.notification_id,
        token=token,
        channel=work.delivery.channel,
        status=status,
        reason=reason,
        due_at=due_at,
        endpoint_id=work.delivery.endpoint_id,
    )


def parked(work: Work, token: str, now: datetime) -> Outcome:
    """Return the outcome of a delivery that waits until its endpoint works again."""
    due_at = now + PARKED_FOR_AT_MOST
    return outcome_of(work, token, DeliveryStatus.PARKED, Reason.ENDPOINT_BLOCKED, due_at=due_at)


def released(work: Work, token: str) -> Outcome:
    """Return the outcome of a delivery that was not begun and keeps its place in the queue."""
    return outcome_of(
        work, token, DeliveryStatus.PENDING, Reason.RELEASED, due_at=work.delivery.created_at
    )


def given_back(lease: Lease) -> Sequence[Outcome]:
    """Return the outcomes of a lease of which nothing was begun."""
    return [released(work, lease.token) for work in lease.works]
