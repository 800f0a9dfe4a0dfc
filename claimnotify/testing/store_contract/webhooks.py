"""What the tests of replays share: webhooks of one notification to several endpoints, and their ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from claimnotify.delivery.replay import Replayer
from claimnotify.model.endpoints import Endpoint
from claimnotify.model.notifications import Delivery, Notification
from claimnotify.model.states import AttemptOutcome, DeliveryStatus, Reason
from claimnotify.ports import NewNotification, Store
from claimnotify.testing.store_contract.case import Case, StoreCase

__all__ = ["NOBODY", "ReplayCase", "Webhooks", "skipped"]

NOBODY = (None, DeliveryStatus.SKIPPED, Reason.NO_ENDPOINT)
"""The delivery of an event that no endpoint was registered for."""

_Target = Endpoint | tuple[str | None, DeliveryStatus, str]


def skipped(endpoint: Endpoint) -> tuple[str, DeliveryStatus, str]:
    """Return the delivery to an endpoint that was disabled."""
    return endpoint.id, DeliveryStatus.SKIPPED, Reason.ENDPOINT_DISABLED


class Webhooks:
    """Accepts webhooks and brings them to their end on the store under test."""

    def __init__(self, case: Case) -> None:
        self._case = case
        self.replayer = Replayer(case.store.replays, clock=case.store.clock, new_id=case.new_id)

    def new(self, *targets: _Target, **about: Any) -> NewNotification:
        """Return a notification with a webhook delivery for each of the `targets`, in order.

        A target is an endpoint, or an endpoint's id with the state and reason that the delivery ends in.
        """
        new = self._case.new(channel="webhook", addresses=[""] * len(targets), **about)
        note = new.notification
        deliveries = tuple(
            _to(target, each) for target, each in zip(targets, note.deliveries, strict=True)
        )
        return replace(new, notification=replace(note, deliveries=deliveries))

    def accept(self, *targets: _Target, **about: Any) -> Notification:
        """Accept what `new` returns."""
        with self._case.store.outbox.transaction() as transaction:
            (accepted,) = transaction.add([self.new(*targets, **about)])
        return accepted

    def end(self, status: DeliveryStatus, reason: str = "", **options: Any) -> list[Delivery]:
        """Lease all that is due and have it end in `status`, after an attempt; return what it was."""
        lease = self._case.lease()
        good = status in (DeliveryStatus.SENT, DeliveryStatus.DELIVERED)
        how = AttemptOutcome(str(status)) if good else AttemptOutcome.PERMANENT
        attempt = replace(self._case.attempt(how), **options)
        outcomes = [
            self._case.outcome(lease, work, status, reason, attempt=attempt) for work in lease.works
        ]
        self._case.store.work.record(outcomes)
        return [work.delivery for work in lease.works]

    def failed(self, *targets: _Target, **about: Any) -> Notification:
        """Accept a notification whose deliveries fail."""
        note = self.accept(*targets, **about)
        self.end(DeliveryStatus.FAILED, Reason.EXHAUSTED)
        return note

    def replays_of(self, notes: Sequence[Notification]) -> list[list[str | None]]:
        """Return for each notification which deliveries were repeated, in order."""
        return [
            [each.replay_of for each in self._case.seen(note) if each.replay_of is not None]
            for note in notes
        ]


class ReplayCase(StoreCase):
    """Gives the tests what accepts webhooks and sends them again."""

    @pytest.fixture
    def webhooks(self, case: Case) -> Webhooks:
        """Accepts webhooks and brings them to their end on the store under test."""
        return Webhooks(case)

    @pytest.fixture
    def replayer(self, webhooks: Webhooks) -> Replayer:
        """Sends again what is in the store under test."""
        return webhooks.replayer

    @pytest.fixture
    def endpoint(self, store: Store, case: Case) -> Endpoint:
        """A registered endpoint."""
        return case.endpoint()


def _to(target: _Target, delivery: Delivery) -> Delivery:
    if isinstance(target, Endpoint):
        return replace(delivery, endpoint_id=target.id, address=target.url)
    endpoint_id, status, reason = target
    ended = status not in (DeliveryStatus.SCHEDULED, DeliveryStatus.PENDING)
    return replace(
        delivery,
        endpoint_id=endpoint_id,
        status=status,
        reason=reason,
        due_at=None if ended else delivery.due_at,
        finished_at=delivery.created_at if ended else None,
    )
