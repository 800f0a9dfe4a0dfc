"""The part of the store's contract about endpoints from which nothing but failure comes."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest

from claimnotify.model.endpoints import Endpoint
from claimnotify.model.notices import EndpointNotice
from claimnotify.model.states import AttemptOutcome, DeliveryStatus, Reason
from claimnotify.policy.breaker import BreakerPolicy, Trouble
from claimnotify.policy.streaks import DISABLE_AFTER, LONGEST_GAP, StreakPolicy
from claimnotify.ports import Outcome, Store
from claimnotify.testing.store_contract.case import ONE, TWO, Advance, Case, StoreCase

__all__ = ["FailingContract"]

_DAY = timedelta(days=1)
_MOMENT = timedelta(seconds=1)
_FAR = 30 * _DAY


class FailingContract(StoreCase):
    """An endpoint that only fails is told of once, and disabled after days; sporadic failures are not."""

    @pytest.fixture
    def endpoint(self, case: Case) -> Endpoint:
        """An endpoint to fail."""
        return case.endpoint()

    def let_fail(
        self,
        case: Case,
        endpoint: Endpoint,
        *,
        outcome: AttemptOutcome = AttemptOutcome.TRANSIENT,
        status: DeliveryStatus = DeliveryStatus.PENDING,
        reason: str = Reason.RETRY,
        times: int = 1,
        **options: Any,
    ) -> bool:
        """Let sends fail; return whether there is something new to tell."""
        case.accept_many(times, tenant=endpoint.tenant, endpoint_id=endpoint.id)
        lease = case.lease()
        due_at = case.store.clock.now() + _FAR if status == DeliveryStatus.PENDING else None
        outcomes = [
            case.outcome(
                lease,
                work,
                status,
                reason,
                due_at=due_at,
                attempt=case.attempt(outcome),
                **options,
            )
            for work in lease.works
        ]
        return case.store.work.record(outcomes).notices

    def succeed(self, case: Case, endpoint: Endpoint) -> None:
        """Let one send succeed."""
        case.accept(endpoint_id=endpoint.id)
        lease = case.lease()
        case.store.work.record([case.sent(lease, lease.works[0])])

    def give_up(self, case: Case, endpoint: Endpoint, times: int = 1) -> bool:
        """Let deliveries run out of attempts."""
        failed, exhausted = DeliveryStatus.FAILED, Reason.EXHAUSTED
        return self.let_fail(case, endpoint, status=failed, reason=exhausted, times=times)

    def notices(self, store: Store) -> Sequence[EndpointNotice]:
        """Return all that is to be told."""
        return store.work.notices(limit=100)

    def kinds(self, store: Store) -> list[tuple[str, str]]:
        """Return kind and reason of all that is to be told."""
        return [(each.kind, each.reason) for each in self.notices(store)]

    def is_enabled(self, store: Store, endpoint: Endpoint) -> bool:
        """Return whether the endpoint is enabled."""
        found = store.endpoints.get_endpoint(endpoint.tenant, endpoint.id)
        return found is not None and found.enabled

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
        store.work.record([case.retry(lease, bad, wait=_FAR), case.sent(lease, good)])
        assert self.is_enabled(store, endpoint)
        assert store.work.trouble(ONE, endpoint.id).failing_since is None

    def test_sporadic_failures_do_not_disable(
        self, store: Store, case: Case, endpoint: Endpoint, advance: Advance
    ) -> None:
        for _ in range(5):
            assert not self.let_fail(case, endpoint)
            advance(LONGEST_GAP + _MOMENT)
        assert self.is_enabled(store, endpoint)

    def test_it_is_told_once_for_each_streak_however_many_fail(
        self, store: Store, case: Case, endpoint: Endpoint, advance: Advance
    ) -> None:
        assert self.give_up(case, endpoint, times=3)
        assert not self.give_up(case, endpoint)
        advance(StreakPolicy().tell_after + _MOMENT)
        assert not self.give_up(case, endpoint, times=2)
        assert self.kinds(store) == [("failing", "exhausted")]
        told_at = store.work.trouble(ONE, endpoint.id).told_at
        assert told_at is not None
        advance(LONGEST_GAP + _MOMENT)
        assert self.give_up(case, endpoint)
        assert self.kinds(store) == [("failing", "exhausted")] * 2

    def test_it_is_told_after_a_while_though_nothing_is_given_up(
        self, store: Store, case: Case, endpoint: Endpoint, advance: Advance
    ) -> None:
        assert not self.let_fail(case, endpoint)
        advance(StreakPolicy().tell_after + _MOMENT)
        assert self.let_fail(case, endpoint)
        assert self.kinds(store) == [("failing", "failing")]

    @pytest.mark.parametrize("before", [True, False])
    def test_one_that_is_gone_is_disabled_and_that_is_told_once(
        self, store: Store, case: Case, endpoint: Endpoint, before: bool
    ) -> None:
        if before:
            self.let_fail(case, endpoint)
        gone: dict[str, Any] = {
            "outcome": AttemptOutcome.PERMANENT,
            "status": DeliveryStatus.FAILED,
            "reason": Reason.ENDPOINT_GONE,
            "disable_endpoint": True,
        }
        assert self.let_fail(case, endpoint, times=2, **gone)
        assert not self.let_fail(case, endpoint, **gone)
        found = store.endpoints.get_endpoint(ONE, endpoint.id)
        assert found is not None
        assert (found.enabled, found.disabled_reason) == (False, "endpoint_gone")
        assert self.kinds(store) == [("disabled", "endpoint_gone")]

    def test_of_one_that_its_owner_disabled_nothing_is_told(
        self, store: Store, case: Case, endpoint: Endpoint
    ) -> None:
        store.endpoints.set_endpoint_enabled(ONE, endpoint.id, enabled=False, reason="asked")
        assert not self.give_up(case, endpoint)
        failed, gone = DeliveryStatus.FAILED, Reason.ENDPOINT_GONE
        assert not self.let_fail(case, endpoint, status=failed, reason=gone, disable_endpoint=True)
        found = store.endpoints.get_endpoint(ONE, endpoint.id)
        assert found is not None
        assert found.disabled_reason == "asked"
        assert self.notices(store) == []

    def test_of_one_that_was_deleted_nothing_is_told(
        self, store: Store, case: Case, endpoint: Endpoint
    ) -> None:
        assert store.endpoints.delete_endpoint(ONE, endpoint.id)
        assert not self.give_up(case, endpoint)
        assert self.notices(store) == []

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

    def test_a_failure_that_lost_its_lease_does_not_give_up_the_delivery(
        self, store: Store, case: Case, endpoint: Endpoint
    ) -> None:
        case.accept(endpoint_id=endpoint.id)
        lease = case.lease()
        attempt = case.attempt(AttemptOutcome.TRANSIENT)
        late: Outcome = case.outcome(
            lease, lease.works[0], DeliveryStatus.FAILED, Reason.EXHAUSTED, attempt=attempt
        )
        store.work.record([case.retry(lease, lease.works[0])])
        assert not store.work.record([late]).notices

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

    def test_a_notice_is_taken_once_and_only_if_its_transaction_commits(
        self, store: Store, case: Case, endpoint: Endpoint
    ) -> None:
        self.give_up(case, endpoint)
        self.give_up(case, case.endpoint(tenant=TWO))
        first, second = self.notices(store)
        assert [each.tenant for each in (first, second)] == [ONE, TWO]
        assert store.work.notices(limit=1) == [first]
        assert store.work.notices(limit=9, after=first.id) == [second]
        with suppress(RuntimeError), store.outbox.transaction() as transaction:
            assert transaction.take_notice(first.id)
            raise RuntimeError("something else went wrong")
        assert self.notices(store) == [first, second]
        with store.outbox.transaction() as transaction:
            assert transaction.take_notice(first.id)
            transaction.add([case.new(idempotency_key="k")])
        with store.outbox.transaction() as transaction:
            assert not transaction.take_notice(first.id)
        assert self.notices(store) == [second]
