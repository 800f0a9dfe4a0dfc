"""The part of the store's contract about endpoints that say that they have too much to do."""

from __future__ import annotations

from datetime import timedelta

import pytest

from claimnotify.model.endpoints import Endpoint
from claimnotify.model.states import AttemptOutcome, DeliveryStatus, Reason
from claimnotify.policy.breaker import BLOCKED_FOR_AT_MOST, PARKED_FOR_AT_MOST, BreakerPolicy
from claimnotify.ports import Lease, Outcome, Store, Work
from claimnotify.testing.store_contract.case import MINUTE, Advance, Case, StoreCase

__all__ = ["PauseContract"]

_MOMENT = timedelta(seconds=1)
_FIRST_PAUSE = BreakerPolicy().first_pause


class PauseContract(StoreCase):
    """One answer that there is too much to do is enough to send nothing for the time asked for."""

    @pytest.fixture
    def endpoint(self, case: Case) -> Endpoint:
        """An endpoint with too much to do."""
        return case.endpoint()

    def busy(self, case: Case, lease: Lease, work: Work, asked: timedelta) -> Outcome:
        """Return the outcome of a send that was put off."""
        return case.outcome(
            lease,
            work,
            DeliveryStatus.PENDING,
            Reason.RETRY,
            due_at=case.store.clock.now() + 100 * PARKED_FOR_AT_MOST,
            attempt=case.attempt(AttemptOutcome.TRANSIENT, status_code=429),
            pause_endpoint=asked,
        )

    def put_by(self, case: Case, lease: Lease, work: Work) -> Outcome:
        """Return the outcome of one that waits for its endpoint."""
        until = case.store.clock.now() + PARKED_FOR_AT_MOST
        parked, reason = DeliveryStatus.PARKED, Reason.ENDPOINT_BLOCKED
        return case.outcome(lease, work, parked, reason, due_at=until)

    def blocked_for(self, store: Store, endpoint: Endpoint) -> timedelta:
        """Return for how long nothing is sent to it."""
        now, trouble = store.clock.now(), store.work.troubles()[endpoint.id]
        if trouble.retry_at is None or not trouble.blocked(now):
            return timedelta(0)
        return trouble.retry_at - now

    @pytest.mark.parametrize(
        ("asked", "given"),
        [
            (timedelta(0), _FIRST_PAUSE),
            (MINUTE, MINUTE),
            (100 * BLOCKED_FOR_AT_MOST, BLOCKED_FOR_AT_MOST),
        ],
    )
    def test_one_answer_blocks_for_the_time_asked_for_within_bounds(
        self, store: Store, case: Case, endpoint: Endpoint, asked: timedelta, given: timedelta
    ) -> None:
        case.accept(endpoint_id=endpoint.id)
        lease = case.lease()
        store.work.record([self.busy(case, lease, lease.works[0], asked)])
        assert given - _MOMENT < self.blocked_for(store, endpoint) <= given

    def test_those_recorded_with_it_are_parked_and_go_out_after_it(
        self, store: Store, case: Case, endpoint: Endpoint, advance: Advance
    ) -> None:
        first, *others = case.accept_many(4, endpoint_id=endpoint.id)
        lease = case.lease()
        by_id = {work.notification.id: work for work in lease.works}
        put_off = self.busy(case, lease, by_id.pop(first.id), MINUTE)
        store.work.record([*(self.put_by(case, lease, work) for work in by_id.values()), put_off])
        assert {case.state(each) for each in others} == {("parked", "endpoint_blocked")}
        assert store.work.release() == 0
        advance(MINUTE + _MOMENT)
        assert store.work.release() == 1, "one goes on trial"
        lease = case.lease()
        store.work.record([case.sent(lease, lease.works[0])])
        assert store.work.release() == 2

    def test_a_pause_holds_though_others_went_well(
        self, store: Store, case: Case, endpoint: Endpoint
    ) -> None:
        case.accept_many(2, endpoint_id=endpoint.id)
        lease = case.lease()
        good, bad = lease.works
        store.work.record([self.busy(case, lease, bad, MINUTE), case.sent(lease, good)])
        assert self.blocked_for(store, endpoint) > timedelta(0)
        assert store.work.trouble(endpoint.tenant, endpoint.id).failing_since is None

    def test_a_longer_pause_asked_for_meanwhile_prolongs_it(
        self, store: Store, case: Case, endpoint: Endpoint
    ) -> None:
        case.accept_many(2, endpoint_id=endpoint.id)
        lease = case.lease()
        for work, asked in zip(lease.works, (MINUTE, 2 * MINUTE), strict=True):
            store.work.record([self.busy(case, lease, work, asked)])
        assert self.blocked_for(store, endpoint) > MINUTE + _MOMENT

    def test_pauses_in_a_row_grow(
        self, store: Store, case: Case, endpoint: Endpoint, advance: Advance
    ) -> None:
        seen = []
        for _ in range(3):
            case.accept(endpoint_id=endpoint.id)
            lease = case.lease()
            store.work.record([self.busy(case, lease, lease.works[0], timedelta(0))])
            seen.append(round(self.blocked_for(store, endpoint) / _FIRST_PAUSE))
            advance(self.blocked_for(store, endpoint) + _MOMENT)
        assert seen == [1, 2, 4]
