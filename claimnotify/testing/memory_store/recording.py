"""Writes what became of leased deliveries into the in-memory store, and what follows from it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from datetime import datetime

from claimnotify.model.states import TERMINAL, DeliveryStatus, Reason
from claimnotify.policy.breaker import BreakerPolicy
from claimnotify.policy.streaks import StreakPolicy
from claimnotify.ports import InboxItem, Outcome, Recorded
from claimnotify.testing.memory_store import breakers
from claimnotify.testing.memory_store.failing import judge
from claimnotify.testing.memory_store.kept import KeptAttempt, KeptDelivery, KeptItem, Tables
from claimnotify.testing.memory_store.ordering import let_next_go

__all__ = ["record", "without_words"]

_DONE = TERMINAL | {DeliveryStatus.SENT}
_WAITING = (DeliveryStatus.PENDING, DeliveryStatus.PARKED)


def record(
    tables: Tables,
    outcomes: Sequence[Outcome],
    *,
    policy: BreakerPolicy,
    streaks: StreakPolicy,
    new_id: Callable[[], str],
    now: datetime,
) -> Recorded:
    """Write outcomes of those still held, and attempts of all."""
    blocked, failing = breakers.note(tables, outcomes, policy, streaks, now)
    kept: list[Outcome] = []
    lost: set[str] = set()
    left: set[tuple[str, ...]] = set()
    moments: list[datetime] = []
    for outcome in outcomes:
        key = outcome.delivery_id
        lease = outcome.token, key
        if outcome.attempt is not None and lease not in tables.attempted:
            tables.attempted[lease] = None
            made = KeptAttempt(new_id(), outcome.attempt)
            if _is_expunged(tables, outcome.notification_id):
                made = without_words(made)
            tables.attempts[key] = (*tables.attempts.get(key, ()), made)
        before = tables.deliveries.get(key)
        if before is None or before.token != outcome.token:
            lost.add(key)
            continue
        kept.append(outcome)
        after = tables.deliveries[key] = _changed(outcome, before, blocked, now)
        if before.stream is not None and after.stream is None:
            left.add(before.stream)
        if after.delivery.due_at is not None:
            moments.append(after.delivery.due_at)
        if not _is_expunged(tables, outcome.notification_id):
            _put_in_inbox(tables, outcome, new_id(), now)
    if let_next_go(tables, left, now):
        moments.append(now)
    notices = judge(tables, kept, failing, policy=streaks, new_id=new_id, now=now)
    return Recorded(lost, min(moments, default=None), notices)


def without_words(kept: KeptAttempt) -> KeptAttempt:
    """Return an attempt without what was sent and answered."""
    bare = replace(kept.attempt, detail="", request_headers={}, response_headers={})
    return replace(kept, attempt=bare)


def _is_expunged(tables: Tables, notification_id: str) -> bool:
    found = tables.notifications.get(notification_id)
    return found is not None and found.notification.expunged_at is not None


def _changed(
    outcome: Outcome, row: KeptDelivery, blocked: Collection[str], now: datetime
) -> KeptDelivery:
    """Return the row as the outcome leaves it."""
    status, reason, due_at = outcome.status, str(outcome.reason), outcome.due_at
    if status == DeliveryStatus.PARKED and outcome.endpoint_id not in blocked:
        # Its endpoint works again since it was to be parked.
        status, reason, due_at = DeliveryStatus.PENDING, str(Reason.RELEASED), now
    if row.cancel_requested and status in _WAITING:
        expunged = row.delivery.reason == Reason.EXPUNGED
        why = Reason.EXPUNGED if expunged else Reason.CANCELLED
        status, reason, due_at = DeliveryStatus.CANCELLED, str(why), None
    tried, waits = outcome.attempt is not None, status in _WAITING
    delivery = replace(
        row.delivery,
        status=status,
        reason=reason,
        due_at=due_at,
        finished_at=now if status in _DONE else None,
        attempts=row.delivery.attempts + tried,
        provider_id=outcome.provider_id or row.delivery.provider_id,
    )
    gives_up_place = not waits or (tried and not row.strict)
    return replace(
        row,
        delivery=delivery,
        token=None,
        until=None,
        parked_for=outcome.endpoint_id if status == DeliveryStatus.PARKED else None,
        # One that came back with something to tell does not kill its worker.
        crashes=0 if tried or not waits else row.crashes,
        stream=None if gives_up_place else row.stream,
    )


def _put_in_inbox(tables: Tables, outcome: Outcome, item_id: str, now: datetime) -> None:
    if outcome.inbox_item is None:
        return
    recipient_id, message = outcome.inbox_item
    item = InboxItem(
        id=item_id,
        notification_id=outcome.notification_id,
        title=message.title,
        body=message.body,
        url=message.url,
        created_at=now,
    )
    tables.items[item_id] = KeptItem(tenant=outcome.tenant, recipient_id=recipient_id, item=item)
