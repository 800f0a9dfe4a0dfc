"""The part of the store's contract about leases: what is due, in which order, and to one worker only."""

from __future__ import annotations

import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from claimnotify.model.queues import DELIVERIES
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

__all__ = ["LeaseContract"]


class LeaseContract(StoreCase):
    """What is due is leased, to one worker, the most urgent first, and each gets its share."""

    def test_only_what_is_due_is_leased_and_only_once(
        self, store: Store, case: Case, advance: Advance
    ) -> None:
        assert store.work.lease(DELIVERIES, limit=10, duration=LEASE) is None
        later, now = case.accept(due_in=MINUTE), case.accept()
        case.accept(queue="another")
        lease = case.lease()
        assert [work.notification.id for work in lease.works] == [now.id]
        assert (lease.poisoned, lease.alone, lease.alone_wait) == (False, False, False)
        assert case.state(now) == ("sending", "leased")
        assert case.nothing_due()
        advance(MINUTE)
        assert [work.notification.id for work in case.lease().works] == [later.id]

    def test_each_lease_has_a_token_of_its_own(self, store: Store, case: Case) -> None:
        case.accept_many(2)
        assert case.lease(limit=1).token != case.lease(limit=1).token

    def test_no_more_than_the_limit(self, store: Store, case: Case) -> None:
        case.accept_many(5)
        assert [len(case.lease(limit=2).works) for _ in range(3)] == [2, 2, 1]

    def test_what_has_waited_longest_goes_first(self, store: Store, case: Case) -> None:
        waits = {minutes: case.accept(due_in=-minutes * MINUTE).id for minutes in (1, 3, 2)}
        order = [case.lease(limit=1).works[0].notification.id for _ in range(3)]
        assert order == [waits[3], waits[2], waits[1]]

    def test_the_better_priority_goes_first(self, store: Store, case: Case) -> None:
        case.accept(priority=9, due_in=-MINUTE)
        urgent = case.accept(priority=0)
        (work,) = case.lease(limit=1).works
        assert work.notification.id == urgent.id

    def test_the_better_priority_of_one_tenant_is_not_in_the_way_of_another(
        self, store: Store, case: Case
    ) -> None:
        case.accept_many(30, tenant=ONE, priority=0, due_in=-MINUTE)
        other = {each.id for each in case.accept_many(3, tenant=TWO, priority=1)}
        leased: list[str] = []
        for _ in range(2):
            leased += [work.notification.id for work in case.lease(limit=8).works]
        assert other <= set(leased)
        assert len(leased) > 8

    def test_of_each_tenant_the_better_priority_goes_first(self, store: Store, case: Case) -> None:
        urgent = {each.id for each in case.accept_many(20, tenant=ONE, priority=0)}
        usual = {each.id for each in case.accept_many(5, tenant=ONE, priority=1, due_in=-MINUTE)}
        case.accept_many(2, tenant=TWO, priority=1)
        leased: list[str] = []
        while urgent - set(leased):
            leased += [work.notification.id for work in case.lease(limit=4).works]
        # What is leased together with the last urgent one may be usual.
        assert not usual & set(leased[:-4])

    def test_a_channel_without_room_is_not_in_the_way_of_worse_priorities(
        self, store: Store, case: Case
    ) -> None:
        case.accept_many(5, tenant=ONE, priority=0, channel="email")
        usual = {each.id for each in case.accept_many(3, tenant=ONE, priority=1, channel="sms")}
        leased = {work.notification.id for work in case.lease(room={"email": 0}).works}
        assert leased == usual

    @pytest.mark.parametrize("kind", ["tenant", "channel"])
    def test_of_many_each_tenant_and_channel_gets_its_share(
        self, store: Store, case: Case, kind: str
    ) -> None:
        case.accept_many(30, due_in=-MINUTE, **{kind: "many"})
        few = case.accept_many(2, **{kind: "few"})
        leased = {work.notification.id for work in case.lease(limit=10).works}
        assert {each.id for each in few} <= leased
        assert len(leased) > len(few)

    @pytest.mark.parametrize("kind", ["tenant", "channel"])
    def test_one_at_a_time_they_take_turns(self, store: Store, case: Case, kind: str) -> None:
        for name in ("aa", "mm", "zz"):
            case.accept_many(9, **{kind: name})
        leased = [case.lease(limit=1).works[0].delivery for _ in range(9)]
        turns = Counter(getattr(delivery, kind) for delivery in leased)
        assert turns == dict.fromkeys(("aa", "mm", "zz"), 3)

    def test_what_is_due_is_found_though_other_work_has_gone(
        self, store: Store, case: Case
    ) -> None:
        """Also where the store remembers for a moment what there is to do."""
        case.accept(tenant=ONE)
        assert len(case.lease(limit=1).works) == 1
        case.accept(tenant=TWO)
        assert store.work.lease(DELIVERIES, limit=1, duration=LEASE) is not None

    def test_what_comes_to_an_idle_queue_is_leased_whole(self, store: Store, case: Case) -> None:
        """Also where the store then leases without looking what else there is."""
        for _ in range(3):
            assert case.nothing_due()
            accepted = [
                case.accept(tenant=tenant, priority=priority, channel=channel)
                for tenant in (TWO, ONE)
                for priority in (9, 0)
                for channel in ("post", "pigeon")
            ]
            leased: list[str] = []
            while lease := store.work.lease(DELIVERIES, limit=100, duration=LEASE):
                leased += [work.notification.id for work in lease.works]
                for work in lease.works:
                    assert work.notification.deliveries == ()
                    assert work.delivery.notification_id == work.notification.id
                store.work.record([case.sent(lease, work) for work in lease.works])
            assert sorted(leased) == sorted(each.id for each in accepted)

    def test_in_an_idle_queue_too_only_the_next_of_an_order_is_leased(
        self, store: Store, case: Case
    ) -> None:
        assert case.nothing_due()
        first, second = case.accept_many(2, ordering_key="CLM-1")
        lease = case.lease()
        assert [work.notification.id for work in lease.works] == [first.id]
        store.work.record([case.sent(lease, lease.works[0])])
        assert [work.notification.id for work in case.lease().works] == [second.id]

    def test_in_an_idle_queue_too_a_channel_without_room_waits(
        self, store: Store, case: Case
    ) -> None:
        assert case.nothing_due()
        case.accept_many(3, channel="post")
        assert case.nothing_due(room={"post": 0})
        assert len(case.lease(room={"post": 2}).works) == 2

    def test_a_channel_has_no_more_than_there_is_room_for(self, store: Store, case: Case) -> None:
        case.accept_many(3, channel="post")
        case.accept_many(3, channel="pigeon")
        room = {"post": 0, "pigeon": 2}
        works = case.lease(room=room).works
        assert [work.delivery.channel for work in works] == ["pigeon", "pigeon"]
        assert case.nothing_due(room={"post": 0, "pigeon": 0})
        assert len(case.lease(room={"post": 1, "pigeon": 0}).works) == 1
        left = case.lease(room={"post": 2}).works
        assert {work.delivery.channel for work in left} == {"pigeon", "post"}

    def test_two_workers_never_have_the_same(self, store: Store, case: Case) -> None:
        expected = {each.deliveries[0].id for each in case.accept_many(40)}
        leased: list[str] = []
        lock, deadline = threading.Lock(), time.monotonic() + 30

        def work() -> None:
            while len(leased) < len(expected) and time.monotonic() < deadline:
                lease = store.work.lease(DELIVERIES, limit=3, duration=LEASE)
                if lease is not None:
                    with lock:
                        leased.extend(each.delivery.id for each in lease.works)

        with ThreadPoolExecutor(4) as pool:
            for done in [pool.submit(work) for _ in range(4)]:
                done.result()
        assert len(leased) == len(expected)
        assert set(leased) == expected

    def test_counts_are_of_what_is_not_finished(self, store: Store, case: Case) -> None:
        assert store.work.counts() == {}
        case.accept(due_in=MINUTE)
        case.accept_many(2, tenant=TWO)
        case.accept(queue="another")
        lease = case.lease(limit=2)
        store.work.record([case.sent(lease, lease.works[0])])
        counts = store.work.counts()
        assert counts[DELIVERIES, "scheduled", "scheduled"] == 1
        assert counts[DELIVERIES, "sending", "leased"] == 1
        assert counts["another", "pending", "queued"] == 1
        assert sum(counts.values()) == 3
        assert store.work.counts(TWO) == {(DELIVERIES, "sending", "leased"): 1}
        assert sum(store.work.counts(ONE).values()) == 2

    def test_next_due_is_the_first_to_wait_for(self, store: Store, case: Case) -> None:
        assert store.work.next_due("empty") is None
        later = case.accept(due_in=9 * MINUTE, queue="one").deliveries[0].due_at
        case.accept(due_in=10 * MINUTE, queue="one")
        sooner = case.accept(due_in=2 * MINUTE, channel="pigeon", queue="one").deliveries[0].due_at
        assert store.work.next_due("one") == sooner
        assert store.work.next_due("one", room={"pigeon": 0}) == later

    def test_next_due_knows_when_a_lease_runs_out(self, store: Store, case: Case) -> None:
        case.accept()
        before = store.clock.now()
        case.lease()
        after = store.clock.now()
        due = store.work.next_due(DELIVERIES)
        slack = timedelta(milliseconds=50)  # a store may read its time anew between
        assert due is not None
        assert before + LEASE - slack <= due <= after + LEASE + slack
