"""The part of the store's contract about endpoints from which nothing but failure comes."""

from __future__ import annotations

from datetime import timedelta

from claimnotify.model.endpoints import Endpoint
from claimnotify.model.states import AttemptOutcome, DeliveryStatus
from claimnotify.policy.breaker import BreakerPolicy, Trouble
from claimnotify.policy.streaks import DISABLE_AFTER, LONGEST_GAP
from claimnotify.ports import Store
from claimnotify.testing.store_contract.case import ONE, TWO, Advance, Case
from claimnotify.testing.store_contract.failing_case import FailingCase

__all__ = ["FailingContract"]

_DAY = timedelta(days=1)
_MOMENT = timedelta(seconds=1)


class FailingContract(FailingCase):
    """An endpoint that only fails is disabled after days; sporadic failures disable nothing."""

    def test_nothing_but_failure_for_days_disables(
        self, store: Store, case: Case, endpoint: Endpoint, advance: Advance
    ) -> None:
        other = case.endpoint()
        began = store.clock.now()
        self.let_fail(case, endpoint)
        while store.clock.now() - began < DISABLE_AFTER - _DAY - _MOMENT:
            advance(_DAY)
            self.let_fail(case, endpoint)
        assert self.is_enabled(store, endpoint)
        advance(_DAY)
        assert self.let_fail(case, endpoint)
        found = store.endpoints.get_endpoint(ONE, endpoint.id)
        assert found is not None
        assert (found.enabled, found.disabled_reason) == (False, "failing")
        assert self.is_enabled(store, other)
        assert self.kinds(store) == [("failing", "failing"), ("disabled", "failing")]
        last = self.notices(store)[-1]
        assert (last.tenant, last.endpoint_id, last.owner) == (ONE, endpoint.id, endpoint.owner)
        assert last.url == endpoint.url
        assert last.failing_since is not None
        assert abs(last.failing_since - began) < timedelta(minutes=1)

    def test_refusals_for_good_count_for_days_though_they_block_nothing(
        self, store: Store, case: Case, endpoint: Endpoint, advance: Advance
    ) -> None:
        """An endpoint that answers each delivery with a redirect takes nothing either."""
        for _ in range(DISABLE_AFTER // _DAY + 1):
            assert self.is_enabled(store, endpoint)
            self.let_fail(
                case,
                endpoint,
                outcome=AttemptOutcome.PERMANENT,
                status=DeliveryStatus.FAILED,
                reason="redirect",
            )
            if self.is_enabled(store, endpoint):
                assert not store.work.troubles()[endpoint.id].blocked(store.clock.now())
            advance(_DAY)
        assert not self.is_enabled(store, endpoint)

    def test_a_streak_outlives_the_closing_of_its_breaker(
        self, store: Store, case: Case, endpoint: Endpoint
    ) -> None:
        case.accept(endpoint_id=endpoint.id)
        held = case.lease()
        self.let_fail(case, endpoint, times=BreakerPolicy().threshold)
        since = store.work.trouble(ONE, endpoint.id).failing_since
        attempt = case.attempt(AttemptOutcome.PERMANENT)
        failed = case.outcome(held, held.works[0], DeliveryStatus.FAILED, attempt=attempt)
        store.work.record([failed])
        for _ in range(3):
            assert store.work.release() == 0
        found = store.work.trouble(ONE, endpoint.id)
        assert (found.retry_at, found.failing_since) == (None, since)

    def test_what_is_our_own_fault_does_not_count(
        self, store: Store, case: Case, endpoint: Endpoint, advance: Advance
    ) -> None:
        for _ in range(DISABLE_AFTER // _DAY + 2):
            assert not self.let_fail(case, endpoint, our_fault=True)
            advance(_DAY)
        assert self.is_enabled(store, endpoint)
        assert store.work.trouble(ONE, endpoint.id).failing_since is None

    def test_a_success_between_begins_anew(
        self, store: Store, case: Case, endpoint: Endpoint, advance: Advance
    ) -> None:
        for _ in range(2):
            for _ in range(DISABLE_AFTER // _DAY - 1):
                self.let_fail(case, endpoint)
                advance(_DAY)
            self.succeed(case, endpoint)
            assert store.work.trouble(ONE, endpoint.id) == Trouble()
        assert self.is_enabled(store, endpoint)
        assert self.kinds(store) == [("failing", "failing")] * 2, "once for each streak"

    def test_a_success_recorded_with_failures_ends_their_streak(
        self, store: Store, case: Case, endpoint: Endpoint, advance: Advance
    ) -> None:
        for _ in range(DISABLE_AFTER // _DAY):
            self.let_fail(case, endpoint)
            advance(_DAY)
        case.accept_many(2, endpoint_id=endpoint.id)
        lease = case.lease()
        bad, good = lease.works
        store.work.record([case.retry(lease, bad, wait=30 * _DAY), case.sent(lease, good)])
        assert self.is_enabled(store, endpoint)
        assert store.work.trouble(ONE, endpoint.id).failing_since is None

    def test_sporadic_failures_do_not_disable(
        self, store: Store, case: Case, endpoint: Endpoint, advance: Advance
    ) -> None:
        for _ in range(5):
            assert not self.let_fail(case, endpoint)
            advance(LONGEST_GAP + _MOMENT)
        assert self.is_enabled(store, endpoint)

    def test_enabling_it_begins_anew(
        self, store: Store, case: Case, endpoint: Endpoint, advance: Advance
    ) -> None:
        for _ in range(DISABLE_AFTER // _DAY + 1):
            self.let_fail(case, endpoint)
            advance(_DAY)
        assert not self.is_enabled(store, endpoint)
        store.endpoints.set_endpoint_enabled(ONE, endpoint.id, enabled=True)
        assert store.work.trouble(ONE, endpoint.id) == Trouble()
        assert not self.let_fail(case, endpoint)
        assert self.is_enabled(store, endpoint)

    def test_a_clock_that_goes_back_disables_nothing(
        self, store: Store, case: Case, endpoint: Endpoint, advance: Advance
    ) -> None:
        advance(10 * DISABLE_AFTER)
        self.let_fail(case, endpoint)
        advance(-10 * DISABLE_AFTER)
        assert not self.let_fail(case, endpoint)
        assert self.is_enabled(store, endpoint)
        since = store.work.trouble(ONE, endpoint.id).failing_since
        assert since is not None
        assert since <= store.clock.now()

    def test_the_figures_of_one_endpoint_can_be_read_by_its_tenant(
        self, store: Store, case: Case, endpoint: Endpoint
    ) -> None:
        assert store.work.trouble(ONE, endpoint.id) == Trouble()
        self.let_fail(case, endpoint, times=2)
        found = store.work.trouble(ONE, endpoint.id)
        assert found.failures == 2
        assert found.failing_since == found.failed_at
        assert found.failing_since is not None
        assert abs(found.failing_since - store.clock.now()) < timedelta(minutes=1)
        assert store.work.trouble(TWO, endpoint.id) == Trouble()
