"""The part of the store's contract about ordering keys: one after the other, in the order of the commits."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from claimnotify.model.queues import DELIVERIES
from claimnotify.model.states import DeliveryStatus, Reason
from claimnotify.ports import Store
from claimnotify.testing.store_contract.case import LEASE, MINUTE, TWO, Advance, Case, StoreCase

__all__ = ["OrderContract"]

_KEY = {"ordering_key": "CLM-1"}


class OrderContract(StoreCase):
    """Under an ordering key only the next is leased."""

    @pytest.mark.parametrize("strict", [False, True], ids=["lenient", "strict"])
    def test_one_after_the_other(self, store: Store, case: Case, strict: bool) -> None:
        accepted = case.accept_many(2, ordering_strict=strict, **_KEY)
        accepted.append(case.accept(ordering_strict=strict, **_KEY))
        for number, expected in enumerate(accepted):
            lease = case.lease()
            assert [work.notification.id for work in lease.works] == [expected.id]
            assert case.nothing_due()
            for later in accepted[number + 1 :]:
                assert case.state(later) == ("parked", "out_of_turn")
            recorded = store.work.record([case.sent(lease, lease.works[0])])
            assert (recorded.next_due is not None) == (expected is not accepted[-1])
        assert store.work.counts() == {}

    @pytest.mark.parametrize(
        "other",
        [
            {"ordering_key": "CLM-2"},
            {"addresses": ("Oak Lane 2",)},
            {"tenant": TWO},
            {"channel": "x"},
        ],
        ids=["key", "address", "tenant", "channel"],
    )
    def test_what_is_in_another_order_does_not_wait(
        self, store: Store, case: Case, other: dict[str, Any]
    ) -> None:
        case.accept(**_KEY)
        case.lease()
        second = case.accept(**{**_KEY, **other})
        assert [work.notification.id for work in case.lease().works] == [second.id]

    def test_one_that_fails_lets_the_others_go(
        self, store: Store, case: Case, advance: Advance
    ) -> None:
        first, second = case.accept_many(2, **_KEY)
        lease = case.lease()
        recorded = store.work.record([case.retry(lease, lease.works[0])])
        assert recorded.next_due is not None
        assert recorded.next_due <= store.clock.now() + timedelta(seconds=1)
        lease = case.lease()
        assert [work.notification.id for work in lease.works] == [second.id]
        advance(MINUTE)
        lease = case.lease()
        assert [work.notification.id for work in lease.works] == [first.id]

    def test_one_that_is_strict_holds_them_up_until_its_end(
        self, store: Store, case: Case, advance: Advance
    ) -> None:
        first, second = case.accept_many(2, ordering_strict=True, **_KEY)
        lease = case.lease()
        retry = case.retry(lease, lease.works[0])
        assert store.work.record([retry]).next_due == retry.due_at
        assert case.nothing_due()
        advance(MINUTE)
        lease = case.lease()
        assert [work.notification.id for work in lease.works] == [first.id]
        failed = case.outcome(lease, lease.works[0], DeliveryStatus.FAILED, Reason.EXHAUSTED)
        store.work.record([failed])
        assert [work.notification.id for work in case.lease().works] == [second.id]

    def test_one_that_is_given_back_unsent_keeps_its_place(self, store: Store, case: Case) -> None:
        first, second = case.accept_many(2, **_KEY)
        lease, now = case.lease(), store.clock.now()
        back = DeliveryStatus.PENDING
        store.work.record([case.outcome(lease, lease.works[0], back, Reason.RELEASED, due_at=now)])
        assert [work.notification.id for work in case.lease().works] == [first.id]
        assert case.state(second) == ("parked", "out_of_turn")

    def test_one_that_is_cancelled_lets_the_next_go(
        self, store: Store, case: Case, rings: list[str]
    ) -> None:
        first, second = case.accept_many(2, ordering_strict=True, **_KEY)
        lease = case.lease()
        store.work.record([case.retry(lease, lease.works[0])])
        assert rings == []
        assert case.cancel(first) == 1
        assert rings == [DELIVERIES]
        assert [work.notification.id for work in case.lease().works] == [second.id]

    def test_one_parked_between_that_is_cancelled_is_left_out(
        self, store: Store, case: Case
    ) -> None:
        _, second, third = case.accept_many(3, **_KEY)
        lease = case.lease()
        assert case.cancel(second) == 1
        store.work.record([case.sent(lease, lease.works[0])])
        assert [work.notification.id for work in case.lease().works] == [third.id]

    @pytest.mark.parametrize("alone", [False, True], ids=["together", "alone"])
    def test_an_order_holds_when_leases_run_out(
        self, store: Store, case: Case, advance: Advance, alone: bool
    ) -> None:
        first, second = case.accept_many(2, ordering_strict=True, **_KEY)
        lease = case.lease()
        for _ in range(2 if alone else 1):
            advance(LEASE + MINUTE)
            lapsed = case.lapsed(alone=alone)
            assert lapsed is not None
            lease = lapsed
        assert [work.notification.id for work in lease.works] == [first.id]
        assert lease.alone == alone
        assert case.state(second) == ("parked", "out_of_turn")
        retry = case.retry(lease, lease.works[0])
        store.work.record([retry])
        assert case.nothing_due()
        assert case.lapsed(alone=True) is None
