"""The part of the store's contract about breakers: when nothing is sent, and how it begins again."""

from __future__ import annotations

from datetime import timedelta

import pytest

from claimnotify.model.endpoints import Endpoint
from claimnotify.model.notifications import Notification
from claimnotify.model.states import AttemptOutcome, DeliveryStatus, Reason
from claimnotify.policy.breaker import PARKED_FOR_AT_MOST, BreakerPolicy, channel_breaker
from claimnotify.ports import Lease, Outcome, Store, Work
from claimnotify.testing.store_contract.case import MINUTE, ONE, TWO, Advance, Case, StoreCase

__all__ = ["BreakerContract"]

_POLICY = BreakerPolicy()
_MOMENT = timedelta(seconds=1)


class BreakerContract(StoreCase):
    """What keeps failing is left alone for a while; what waits for it then goes out again."""

    @pytest.fixture
    def endpoint(self, case: Case) -> Endpoint:
        """An endpoint to fail."""
        return case.endpoint()

    def fail(
        self, case: Case, times: int, endpoint_id: str | None, status_code: int | None = None
    ) -> None:
        """Let `times` sends fail, which are not tried again soon."""
        if times:
            case.accept_many(times, endpoint_id=endpoint_id)
            lease = case.lease()
            far = 100 * PARKED_FOR_AT_MOST
            case.store.work.record(
                [case.retry(lease, w, wait=far, status_code=status_code) for w in lease.works]
            )

    def parked(self, case: Case, lease: Lease, work: Work) -> Outcome:
        """Return the outcome that `work` waits for its endpoint."""
        until = case.store.clock.now() + PARKED_FOR_AT_MOST
        return case.outcome(
            lease, work, DeliveryStatus.PARKED, Reason.ENDPOINT_BLOCKED, due_at=until
        )

    def block(self, case: Case, endpoint: Endpoint, waiting: int) -> list[Notification]:
        """Open the breaker of `endpoint` with so many deliveries parked for it; return those."""
        self.fail(case, _POLICY.threshold, endpoint.id)
        accepted = case.accept_many(waiting, endpoint_id=endpoint.id)
        lease = case.lease()
        case.store.work.record([self.parked(case, lease, work) for work in lease.works])
        return accepted

    def refused(self, case: Case, lease: Lease, work: Work) -> Outcome:
        """Return the outcome of a send that was answered so that it is not tried again."""
        attempt = case.attempt(AttemptOutcome.PERMANENT, status_code=308)
        return case.outcome(lease, work, DeliveryStatus.FAILED, attempt=attempt)

    def let_go(self, store: Store) -> int:
        """Return how many are let go of all, as a worker does it: again and again."""
        total = 0
        while count := store.work.release():
            total += count
        # One more call may be what tells that nothing is left.
        return total + store.work.release()

    def test_it_opens_at_the_threshold_and_not_before(
        self, store: Store, case: Case, endpoint: Endpoint
    ) -> None:
        assert store.work.troubles() == {}
        self.fail(case, _POLICY.threshold - 1, endpoint.id)
        trouble = store.work.troubles()[endpoint.id]
        assert trouble.failures == _POLICY.threshold - 1
        assert not trouble.blocked(store.clock.now())
        self.fail(case, 1, endpoint.id)
        trouble = store.work.troubles()[endpoint.id]
        assert trouble.blocked(store.clock.now())
        assert trouble.openings == 1
        assert set(store.work.troubles()) == {endpoint.id}

    def test_a_success_between_starts_anew(
        self, store: Store, case: Case, endpoint: Endpoint
    ) -> None:
        for _ in range(2):
            self.fail(case, _POLICY.threshold - 1, endpoint.id)
            case.accept(endpoint_id=endpoint.id)
            lease = case.lease()
            store.work.record([case.sent(lease, lease.works[0])])
        trouble = store.work.troubles().get(endpoint.id)
        assert trouble is None or trouble.failures == 0

    def test_of_those_recorded_together_a_success_counts(
        self, store: Store, case: Case, endpoint: Endpoint
    ) -> None:
        case.accept_many(_POLICY.threshold + 1, endpoint_id=endpoint.id)
        lease = case.lease()
        good, *bad = lease.works
        store.work.record([*(case.retry(lease, w) for w in bad), case.sent(lease, good)])
        trouble = store.work.troubles().get(endpoint.id)
        assert trouble is None or not trouble.blocked(store.clock.now())

    @pytest.mark.parametrize(
        ("status_code", "counts"), [(None, True), (421, True), (503, True), (450, False)]
    )
    def test_a_channel_is_judged_by_its_transport_not_by_one_recipient(
        self, store: Store, case: Case, status_code: int | None, counts: bool
    ) -> None:
        self.fail(case, _POLICY.threshold, None, status_code)
        trouble = store.work.troubles().get(channel_breaker("post"))
        assert (trouble is not None and trouble.blocked(store.clock.now())) == counts

    def test_refusals_for_good_open_no_breaker_and_close_one(
        self, store: Store, case: Case, endpoint: Endpoint
    ) -> None:
        case.accept(endpoint_id=endpoint.id)
        held = case.lease()
        case.accept_many(_POLICY.threshold, endpoint_id=endpoint.id)
        lease = case.lease()
        store.work.record([self.refused(case, lease, each) for each in lease.works])
        trouble = store.work.troubles()[endpoint.id]
        assert not trouble.blocked(store.clock.now())
        assert trouble.failures == 0
        (waiting,) = self.block(case, endpoint, 1)
        case.store.work.record([self.refused(case, held, held.works[0])])
        assert self.let_go(store) == 1
        assert case.state(waiting) == ("pending", "released")

    def test_a_delivery_is_parked_only_while_the_breaker_is_open(
        self, store: Store, case: Case, endpoint: Endpoint
    ) -> None:
        early = case.accept(endpoint_id=endpoint.id)
        lease = case.lease()
        recorded = store.work.record([self.parked(case, lease, lease.works[0])])
        assert case.state(early) == ("pending", "released")
        assert recorded.next_due is not None
        assert recorded.next_due <= store.clock.now() + _MOMENT
        lease = case.lease()
        store.work.record([case.retry(lease, lease.works[0], wait=100 * PARKED_FOR_AT_MOST)])
        (late,) = self.block(case, endpoint, 1)
        assert case.state(late) == ("parked", "endpoint_blocked")
        assert case.nothing_due()
        assert store.work.release() == 0

    def test_after_a_while_one_is_let_go_for_a_trial(
        self, store: Store, case: Case, endpoint: Endpoint, advance: Advance
    ) -> None:
        waiting = self.block(case, endpoint, 3)
        advance(_POLICY.first_wait + _MOMENT)
        assert store.work.release() == 1
        assert store.work.release() == 0, "what becomes of it is awaited"
        assert len(case.lease().works) == 1
        states = sorted(str(case.only(each).status) for each in waiting)
        assert states == ["parked", "parked", "sending"]
        trouble = store.work.troubles()[endpoint.id]
        assert trouble.on_trial(store.clock.now())

    def test_a_trial_that_nobody_ended_is_followed_by_another(
        self, store: Store, case: Case, endpoint: Endpoint, advance: Advance
    ) -> None:
        self.block(case, endpoint, 2)
        advance(_POLICY.first_wait + _MOMENT)
        assert store.work.release() == 1
        advance(MINUTE)
        assert store.work.release() == 1

    def test_a_trial_that_fails_blocks_for_longer(
        self, store: Store, case: Case, endpoint: Endpoint, advance: Advance
    ) -> None:
        self.block(case, endpoint, 2)
        advance(_POLICY.first_wait + _MOMENT)
        assert store.work.release() == 1
        lease = case.lease()
        store.work.record([case.retry(lease, lease.works[0], wait=100 * PARKED_FOR_AT_MOST)])
        trouble = store.work.troubles()[endpoint.id]
        assert trouble.openings == 2
        advance(_POLICY.first_wait + _MOMENT)
        assert store.work.release() == 0
        advance(_POLICY.first_wait)
        assert store.work.release() == 1

    def test_a_trial_that_succeeds_lets_all_go(
        self, store: Store, case: Case, endpoint: Endpoint, advance: Advance
    ) -> None:
        self.block(case, endpoint, 25)
        advance(_POLICY.first_wait + _MOMENT)
        assert store.work.release() == 1
        lease = case.lease()
        store.work.record([case.sent(lease, lease.works[0])])
        assert self.let_go(store) == 24
        assert len(case.lease().works) == 24
        advance(2 * _MOMENT)
        trouble = store.work.troubles().get(endpoint.id)
        assert trouble is None or trouble.failures == 0

    @pytest.mark.parametrize("how", ["disable", "enable", "delete", "gone"])
    def test_an_endpoint_that_changes_lets_all_go(
        self, store: Store, case: Case, endpoint: Endpoint, how: str
    ) -> None:
        """They go out now, or are skipped; none waits for what will not be tried again."""
        other = case.accept(endpoint_id=endpoint.id)
        held = case.lease()
        waiting = self.block(case, endpoint, 3)
        if how == "delete":
            assert store.endpoints.delete_endpoint(ONE, endpoint.id)
        elif how == "gone":
            gone = case.outcome(
                held, held.works[0], DeliveryStatus.FAILED, "gone", disable_endpoint=True
            )
            store.work.record([gone])
            assert case.state(other) == ("failed", "gone")
        else:
            store.endpoints.set_endpoint_enabled(ONE, endpoint.id, enabled=how == "enable")
        assert self.let_go(store) == 3
        assert {case.state(each) for each in waiting} == {("pending", "released")}

    @pytest.mark.parametrize("how", ["enable", "disable", "delete"])
    def test_another_tenant_lets_nothing_go(
        self, store: Store, case: Case, endpoint: Endpoint, how: str
    ) -> None:
        """Its calls find no such endpoint, and leave the breaker alone."""
        self.block(case, endpoint, 1)
        if how == "delete":
            assert not store.endpoints.delete_endpoint(TWO, endpoint.id)
        else:
            enabled = how == "enable"
            assert not store.endpoints.set_endpoint_enabled(TWO, endpoint.id, enabled=enabled)
        assert store.work.troubles()[endpoint.id].blocked(store.clock.now())
        assert store.work.release() == 0

    def test_what_is_parked_can_be_cancelled(
        self, store: Store, case: Case, endpoint: Endpoint, advance: Advance
    ) -> None:
        (parked,) = self.block(case, endpoint, 1)
        assert case.cancel(parked) == 1
        advance(_POLICY.first_wait + _MOMENT)
        assert store.work.release() == 0
        assert case.state(parked) == ("cancelled", "cancelled")

    def test_a_clock_that_goes_back_leaves_nothing_blocked(
        self, store: Store, case: Case, endpoint: Endpoint, advance: Advance
    ) -> None:
        day = timedelta(days=1)
        advance(day)
        self.block(case, endpoint, waiting=1)
        advance(-day)
        assert not store.work.troubles()[endpoint.id].blocked(store.clock.now())
        assert store.work.release() == 1
