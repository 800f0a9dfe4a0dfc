"""The part of the store's contract about what is to be told of endpoints: each thing once."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest

from claimnotify.model.endpoints import Endpoint
from claimnotify.model.states import AttemptOutcome, DeliveryStatus, Reason
from claimnotify.policy.streaks import LONGEST_GAP, StreakPolicy
from claimnotify.ports import Outcome, Store
from claimnotify.testing.store_contract.case import ONE, TWO, Advance, Case
from claimnotify.testing.store_contract.failing_case import FailingCase

__all__ = ["NoticeContract"]

_MOMENT = timedelta(seconds=1)


class NoticeContract(FailingCase):
    """What its owner is to be told of an endpoint is written with what happened, and taken once."""

    def test_it_is_told_once_for_each_streak_however_many_fail(
        self, store: Store, case: Case, endpoint: Endpoint, advance: Advance
    ) -> None:
        assert self.give_up(case, endpoint, times=3)
        assert not self.give_up(case, endpoint)
        advance(StreakPolicy().tell_after + _MOMENT)
        assert not self.give_up(case, endpoint, times=2)
        assert self.kinds(store) == [("failing", "exhausted")]
        advance(LONGEST_GAP + _MOMENT)
        assert self.give_up(case, endpoint)
        assert self.kinds(store) == [("failing", "exhausted")] * 2

    def test_it_is_told_once_a_day_though_it_works_between(
        self, store: Store, case: Case, endpoint: Endpoint, advance: Advance
    ) -> None:
        hours = 60
        for _ in range(hours):
            self.give_up(case, endpoint)
            self.succeed(case, endpoint)
            advance(timedelta(hours=1))
        assert self.kinds(store) == [("failing", "exhausted")] * 3

    def test_of_one_that_was_enabled_again_it_is_told_again(
        self, store: Store, case: Case, endpoint: Endpoint
    ) -> None:
        assert self.give_up(case, endpoint)
        store.endpoints.set_endpoint_enabled(ONE, endpoint.id, enabled=True)
        assert self.give_up(case, endpoint)

    def test_that_it_is_disabled_is_told_though_it_was_told_of_just_now(
        self, store: Store, case: Case, endpoint: Endpoint
    ) -> None:
        assert self.give_up(case, endpoint)
        failed, gone = DeliveryStatus.FAILED, Reason.ENDPOINT_GONE
        assert self.let_fail(case, endpoint, status=failed, reason=gone, disable_endpoint=True)
        assert self.kinds(store) == [("failing", "exhausted"), ("disabled", "endpoint_gone")]

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

    @pytest.mark.parametrize("gone", [True, False])
    def test_what_a_former_url_answered_is_not_held_against_the_new_one(
        self, store: Store, case: Case, endpoint: Endpoint, gone: bool
    ) -> None:
        case.accept(endpoint_id=endpoint.id)
        lease = case.lease()
        store.endpoints.update_endpoint(ONE, endpoint.id, {"url": "https://new.example.com/in"})
        late: Outcome = case.outcome(
            lease,
            lease.works[0],
            DeliveryStatus.FAILED,
            Reason.ENDPOINT_GONE if gone else Reason.EXHAUSTED,
            attempt=case.attempt(AttemptOutcome.PERMANENT if gone else AttemptOutcome.TRANSIENT),
            disable_endpoint=gone,
            sent_to=endpoint.url,
        )
        assert not store.work.record([late]).notices
        assert self.is_enabled(store, endpoint)
        assert self.notices(store) == []

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

    def test_of_our_own_fault_it_is_told_once_a_day_and_disables_nothing(
        self, store: Store, case: Case, endpoint: Endpoint, advance: Advance
    ) -> None:
        ours: dict[str, Any] = {"status": DeliveryStatus.FAILED, "reason": Reason.EXHAUSTED}
        assert self.let_fail(case, endpoint, times=3, our_fault=True, **ours)
        assert not self.let_fail(case, endpoint, our_fault=True, **ours)
        assert self.give_up(case, endpoint), "the endpoint's own is told besides"
        advance(timedelta(days=1) + _MOMENT)
        assert self.let_fail(case, endpoint, our_fault=True, **ours)
        assert self.kinds(store) == [
            ("failing", "our_fault"),
            ("failing", "exhausted"),
            ("failing", "our_fault"),
        ]
        assert self.is_enabled(store, endpoint)

    def test_of_one_that_was_deleted_nothing_is_told(
        self, store: Store, case: Case, endpoint: Endpoint
    ) -> None:
        assert store.endpoints.delete_endpoint(ONE, endpoint.id)
        assert not self.give_up(case, endpoint)
        assert self.notices(store) == []

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
