"""What a store must do where callers, workers, tenants and breakers cross each other's ways."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import timedelta

from claimnotify.model.queues import DELIVERIES
from claimnotify.model.states import AttemptOutcome, DeliveryStatus, Reason
from claimnotify.policy.breaker import BreakerPolicy
from claimnotify.policy.rates import RateLimit
from claimnotify.ports import Store
from claimnotify.testing.store_contract.case import (
    LEASE,
    MINUTE,
    ONE,
    TWO,
    Advance,
    Case,
    StoreCase,
)

__all__ = ["CornerContract"]

_THRESHOLD = BreakerPolicy().threshold


class CornerContract(StoreCase):
    """What is rare alone, and happens every day where many do it."""

    def park(self, case: Case, endpoint_id: str) -> None:
        """Open the breaker of an endpoint and park a delivery for it."""
        case.accept_many(_THRESHOLD, endpoint_id=endpoint_id)
        lease = case.lease()
        attempt = case.attempt(AttemptOutcome.TRANSIENT)
        case.store.work.record(
            [case.outcome(lease, w, DeliveryStatus.FAILED, attempt=attempt) for w in lease.works]
        )
        case.accept(endpoint_id=endpoint_id)
        lease = case.lease()
        due_at = case.store.clock.now() + timedelta(hours=6)
        case.store.work.record(
            [
                case.outcome(
                    lease, w, DeliveryStatus.PARKED, Reason.ENDPOINT_BLOCKED, due_at=due_at
                )
                for w in lease.works
            ]
        )

    def test_what_was_called_back_is_not_sent_again_after_its_worker_died(
        self, case: Case, advance: Advance
    ) -> None:
        note = case.accept(ordering_key="CLM-1", ordering_strict=True)
        behind = case.accept(ordering_key="CLM-1", ordering_strict=True)
        case.lease()
        assert case.cancel(note) == 0
        advance(LEASE + MINUTE)
        lapsed = case.lapsed(alone=True)
        assert lapsed is None or not lapsed.works
        assert case.state(note) == ("cancelled", "cancelled")
        assert [w.notification.id for w in case.lease().works] == [behind.id]

    def test_a_cancellation_rings_the_queue_of_what_it_lets_go(
        self, case: Case, rings: list[str]
    ) -> None:
        options = {"ordering_key": "CLM-1", "queue": "processing"}
        first = case.accept(due_in=MINUTE, **options)
        case.accept(**options)
        case.store.work.lease("processing", limit=9, duration=LEASE)
        rings.clear()
        case.cancel(first)
        assert rings == ["processing"]

    def test_outcomes_of_an_old_and_the_new_lease_may_come_together(
        self, case: Case, advance: Advance
    ) -> None:
        """A worker that was cut off for a while leases again what it still has in hand."""
        note = case.accept()
        old = case.lease()
        advance(LEASE + MINUTE)
        new = case.lapsed(alone=True)
        assert new is not None
        case.store.work.record([case.sent(new, new.works[0]), case.retry(old, old.works[0])])
        assert case.state(note) == ("delivered", "confirmed")
        assert len(case.only(note).history) == 2

    def test_nothing_is_kept_where_there_is_nothing(self, case: Case) -> None:
        note = case.accept()
        case.store.work.keep_content(case.lease().token, {})
        assert case.only(note).content is None

    def test_limits_of_tenants_are_apart(self, store: Store) -> None:
        wanted = {"endpoint:one": (RateLimit.parse("1/hour"), 2)}
        taken = [store.work.take(tenant, wanted)["endpoint:one"] for tenant in (ONE, ONE, TWO)]
        assert taken == [1, 0, 1]

    def test_tenants_share_the_room_of_a_channel(self, case: Case) -> None:
        """Also while another channel, which has room for all, is served in between."""
        for tenant in "abcd":
            case.accept_many(10, tenant=tenant, channel="email")
        case.accept_many(40, tenant="z", channel="sms")
        served: Counter[str] = Counter()
        for _ in range(8):
            works = case.lease(limit=4, room={"email": 1}).works
            served.update(w.delivery.tenant for w in works if w.delivery.channel == "email")
        assert served == dict.fromkeys("abcd", 2)

    def test_what_is_leased_is_not_let_go_by_its_breaker(
        self, case: Case, advance: Advance
    ) -> None:
        """It was parked until its own time had come, and a worker has it."""
        endpoint_id = case.endpoint().id
        self.park(case, endpoint_id)
        advance(timedelta(hours=6, minutes=1))
        (work,) = case.lease().works
        assert case.store.work.release() == 0
        assert case.state(work.notification) == ("sending", "leased")
        assert case.cancel(work.notification) == 0

    def test_a_breaker_opens_again_after_it_was_closed_and_gone(self, case: Case) -> None:
        endpoint_id = case.endpoint().id
        for _ in range(3):
            self.park(case, endpoint_id)
            assert case.store.work.troubles()[endpoint_id].blocked(case.store.clock.now())
            assert case.store.work.counts()["notifications", "parked", "endpoint_blocked"] == 1
            case.store.endpoints.set_endpoint_enabled(ONE, endpoint_id, enabled=True)
            while case.store.work.release():
                pass
            lease = case.lease()
            case.store.work.record([case.sent(lease, work) for work in lease.works])

    def test_what_waits_for_an_endpoint_that_was_busy_can_be_recalled(
        self, store: Store, case: Case
    ) -> None:
        busy, other = case.endpoint(), case.endpoint()
        for endpoint_id in (busy.id, other.id, None):
            case.accept_many(3, endpoint_id=endpoint_id, priority=1)
        lease = case.lease()
        now = store.clock.now()
        put_off = [
            case.outcome(
                lease,
                work,
                DeliveryStatus.PENDING,
                Reason.ENDPOINT_BUSY,
                due_at=now + timedelta(seconds=10 + number),
            )
            for number, work in enumerate(lease.works)
        ]
        store.work.record(put_off)
        assert case.nothing_due()
        waiting = [each for each in put_off if each.endpoint_id == busy.id]
        delivery = next(
            work.delivery for work in lease.works if work.delivery.endpoint_id == busy.id
        )
        assert store.work.recall(DELIVERIES, replace(delivery, tenant=TWO), limit=9) == 0
        assert store.work.recall("another", delivery, limit=9) == 0
        assert store.work.recall(DELIVERIES, delivery, limit=2) == 2
        # Those that would have come first, and what sends them sees why they waited.
        works = case.lease().works
        assert {work.delivery.id for work in works} == {each.delivery_id for each in waiting[:2]}
        assert {work.delivery.reason for work in works} == {Reason.ENDPOINT_BUSY}
        assert store.work.recall(DELIVERIES, delivery, limit=9) == 1
        assert store.work.recall(DELIVERIES, delivery, limit=9) == 0
        assert store.work.recall(DELIVERIES, replace(delivery, endpoint_id=None), limit=9) == 3

    def test_what_waits_for_another_reason_is_not_recalled(self, store: Store, case: Case) -> None:
        endpoint = case.endpoint()
        case.accept_many(2, endpoint_id=endpoint.id, priority=1)
        lease = case.lease()
        store.work.record([case.retry(lease, work) for work in lease.works])
        assert store.work.recall(DELIVERIES, lease.works[0].delivery, limit=9) == 0
        assert case.nothing_due()
