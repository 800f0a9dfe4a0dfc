"""The part of the store's contract about endpoints that get everything one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from claimnotify.model.endpoints import Endpoint
from claimnotify.model.notifications import Notification
from claimnotify.model.states import DeliveryStatus, Reason
from claimnotify.ports import Store
from claimnotify.testing.store_contract.case import MINUTE, Advance, Case
from claimnotify.testing.store_contract.webhooks import ReplayCase

__all__ = ["OrderedEndpointContract"]


class OrderedEndpointContract(ReplayCase):
    """What is said to be in its endpoint's order is, whatever its key."""

    def accepted(
        self, case: Case, *endpoints: Endpoint, strict: bool | None = False, **about: Any
    ) -> Notification:
        """Accept a webhook to each endpoint, in the endpoints' order unless `strict` is None."""
        new = case.new(channel="webhook", addresses=[each.url for each in endpoints], **about)
        note = new.notification
        deliveries = tuple(
            replace(delivery, endpoint_id=endpoint.id)
            for delivery, endpoint in zip(note.deliveries, endpoints, strict=True)
        )
        ordered = None if strict is None else dict.fromkeys((d.id for d in deliveries), strict)
        new = replace(new, notification=replace(note, deliveries=deliveries), ordered=ordered)
        with case.store.outbox.transaction() as transaction:
            (accepted,) = transaction.add([new])
        return accepted

    def next_ones(self, case: Case) -> Sequence[str]:
        """Return the ids of the notifications that can be leased, which are then leased."""
        return [work.notification.id for work in case.lease().works]

    def test_one_after_the_other_whatever_their_keys(self, store: Store, case: Case) -> None:
        endpoint, other = case.endpoint(), case.endpoint()
        first = self.accepted(case, endpoint, ordering_key="a")
        second = self.accepted(case, endpoint, other, ordering_key="b")
        third = self.accepted(case, endpoint, idempotency_key="k")
        lease = case.lease()
        to = {(work.notification.id, work.delivery.endpoint_id) for work in lease.works}
        assert to == {(first.id, endpoint.id), (second.id, other.id)}
        assert case.nothing_due()
        store.work.record([case.sent(lease, work) for work in lease.works])
        lease = case.lease()
        assert [work.notification.id for work in lease.works] == [second.id]
        store.work.record([case.sent(lease, lease.works[0])])
        assert self.next_ones(case) == [third.id]

    def test_it_is_strict_if_it_is_said_to_be(
        self, store: Store, case: Case, advance: Advance
    ) -> None:
        lenient, strict = case.endpoint(), case.endpoint()
        waiting = [self.accepted(case, lenient), self.accepted(case, strict, strict=True)]
        others = [self.accepted(case, lenient), self.accepted(case, strict, strict=True)]
        lease = case.lease()
        store.work.record([case.retry(lease, work) for work in lease.works])
        assert self.next_ones(case) == [others[0].id], "the strict one holds up the other"
        advance(MINUTE)
        assert sorted(self.next_ones(case)) == sorted(each.id for each in waiting)

    def test_what_is_in_no_order_does_not_wait(self, case: Case) -> None:
        endpoint = case.endpoint()
        self.accepted(case, endpoint)
        free = self.accepted(case, endpoint, strict=None)
        assert free.id in self.next_ones(case)

    def test_a_replay_comes_last_in_its_endpoint_s_order(
        self, store: Store, case: Case, webhooks: Any
    ) -> None:
        endpoint = case.endpoint(ordering="strict")
        old = self.accepted(case, endpoint, strict=True)
        webhooks.end(DeliveryStatus.FAILED, Reason.EXHAUSTED)
        waiting = self.accepted(case, endpoint, strict=True)
        since = old.created_at
        recovery = webhooks.replayer.recover(endpoint, since=since, until=None, limit=10)
        assert recovery.replayed == 1
        lease = case.lease()
        assert [work.notification.id for work in lease.works] == [waiting.id]
        store.work.record([case.retry(lease, lease.works[0])])
        assert case.nothing_due(), "strict, so the replay waits too"
