"""The part of the store's contract about leases that ran out: fencing, and what kills its worker."""

from __future__ import annotations

from datetime import timedelta

from claimnotify.model.messages import InAppMessage, SmsMessage, message_to_json
from claimnotify.model.states import AttemptOutcome, DeliveryStatus, Reason
from claimnotify.ports import Lease, Store
from claimnotify.testing.store_contract.case import LEASE, MINUTE, ONE, Advance, Case, StoreCase

__all__ = ["LapseContract"]

_OVER = LEASE + timedelta(seconds=1)


def _given(lease: Lease | None) -> Lease:
    assert lease is not None
    assert lease.works, "nothing was leased anew although a lease ran out"
    return lease


class LapseContract(StoreCase):
    """Who lost a lease changes nothing any more; who dies over a delivery is not asked for ever."""

    def test_what_is_still_leased_is_nobody_elses(
        self, store: Store, case: Case, advance: Advance
    ) -> None:
        case.accept()
        lease = case.lease()
        assert case.lapsed(alone=True) is None
        advance(LEASE - MINUTE)
        assert case.lapsed(alone=True) is None
        advance(MINUTE + timedelta(seconds=1))
        assert case.nothing_due(), "what ran out is not given with what is merely due"
        assert _given(case.lapsed(alone=False)).token != lease.token

    def test_a_lease_can_be_prolonged(self, store: Store, case: Case, advance: Advance) -> None:
        case.accept_many(2)
        lease = case.lease()
        kept, left = (work.delivery.id for work in lease.works)
        advance(LEASE - MINUTE)
        store.work.renew(lease.token, [kept], duration=LEASE)
        advance(2 * MINUTE)
        assert [w.delivery.id for w in _given(case.lapsed(alone=False)).works] == [left]

    def test_once_is_no_proof_twice_is_sent_alone(
        self, store: Store, case: Case, advance: Advance
    ) -> None:
        case.accept_many(3)
        case.lease()
        advance(_OVER)
        together = _given(case.lapsed(alone=False))
        assert len(together.works) == 3
        assert (together.alone, together.alone_wait, together.poisoned) == (False, False, False)
        advance(_OVER)
        refused = case.lapsed(alone=False)
        assert refused is not None
        assert (list(refused.works), refused.alone_wait) == ([], True)
        for others in (True, True, False):
            alone = _given(case.lapsed(alone=True))
            assert len(alone.works) == 1
            assert (alone.alone, alone.alone_wait, alone.poisoned) == (True, others, False)
        assert case.lapsed(alone=True) is None

    def test_those_that_may_be_together_go_before_one_that_may_not(
        self, store: Store, case: Case, advance: Advance
    ) -> None:
        suspect = case.accept()
        case.lease()
        advance(_OVER)
        _given(case.lapsed(alone=False))
        fresh = case.accept()
        case.lease()
        advance(_OVER)
        lease = _given(case.lapsed(alone=True))
        assert [work.notification.id for work in lease.works] == [fresh.id]
        assert (lease.alone, lease.alone_wait) == (False, True)
        lease = _given(case.lapsed(alone=True))
        assert [work.notification.id for work in lease.works] == [suspect.id]

    def test_what_killed_three_more_alone_is_poison(
        self, store: Store, case: Case, advance: Advance
    ) -> None:
        accepted = case.accept()
        case.lease()
        told = []
        for _ in range(5):
            advance(_OVER)
            lease = _given(case.lapsed(alone=True))
            told.append((lease.alone, lease.poisoned))
        assert told == [(False, False), *[(True, False)] * 3, (True, True)]
        failed = case.outcome(lease, lease.works[0], DeliveryStatus.FAILED, Reason.POISON)
        assert not store.work.record([failed]).lost
        assert case.state(accepted) == ("failed", "poison")

    def test_what_was_given_back_was_not_a_crash(
        self, store: Store, case: Case, advance: Advance
    ) -> None:
        case.accept()
        for _ in range(6):
            lease, now = case.lease(), store.clock.now()
            back = DeliveryStatus.PENDING
            store.work.record(
                [case.outcome(lease, lease.works[0], back, Reason.RELEASED, due_at=now)]
            )
        case.lease()
        advance(_OVER)
        assert not _given(case.lapsed(alone=False)).alone

    def test_giving_back_without_a_try_proves_nothing_a_try_does(
        self, store: Store, case: Case, advance: Advance
    ) -> None:
        case.accept()
        case.lease()
        advance(_OVER)
        lease = _given(case.lapsed(alone=False))
        now, back = store.clock.now(), DeliveryStatus.PENDING
        store.work.record([case.outcome(lease, lease.works[0], back, Reason.RELEASED, due_at=now)])
        case.lease()
        advance(_OVER)
        lease = _given(case.lapsed(alone=True))
        assert lease.alone
        store.work.record([case.retry(lease, lease.works[0], wait=timedelta(0))])
        case.lease()
        advance(_OVER)
        assert not _given(case.lapsed(alone=False)).alone

    def test_an_old_token_changes_nothing_but_its_attempt_is_kept(
        self, store: Store, case: Case, advance: Advance
    ) -> None:
        accepted, endpoint = case.accept(), case.endpoint()
        old = case.lease()
        advance(_OVER)
        new = _given(case.lapsed(alone=False))
        late = case.outcome(
            old,
            old.works[0],
            DeliveryStatus.DELIVERED,
            attempt=case.attempt(AttemptOutcome.DELIVERED),
            inbox_item=("cus_7", InAppMessage(title="Late", body="…")),
            disable_endpoint=True,
            provider_id="late",
        )
        recorded = store.work.record([late])
        assert set(recorded.lost) == {late.delivery_id}
        assert recorded.next_due is None
        delivery = case.only(accepted)
        assert (delivery.status, delivery.reason) == ("sending", "leased")
        assert (delivery.provider_id, delivery.finished_at) == ("", None)
        assert [each.outcome for each in delivery.history] == [AttemptOutcome.DELIVERED]
        assert store.inbox.count(ONE, "cus_7", mark="read_at") == 0
        found = store.endpoints.get_endpoint(ONE, endpoint.id)
        assert found is not None
        assert found.enabled
        assert not store.work.record([case.sent(new, new.works[0])]).lost
        assert len(case.only(accepted).history) == 2

    def test_an_old_token_prolongs_nothing_and_keeps_no_content(
        self, store: Store, case: Case, advance: Advance
    ) -> None:
        case.accept()
        old = case.lease()
        advance(_OVER)
        new = _given(case.lapsed(alone=False))
        key = new.works[0].delivery.id
        texts = {token: SmsMessage(text=token) for token in (new.token, old.token)}
        for token, message in texts.items():
            store.work.keep_content(token, {key: message_to_json(message)})
            store.work.renew(token, [key], duration=LEASE if token == new.token else 9 * LEASE)
        advance(_OVER)
        lease = _given(case.lapsed(alone=True))
        assert lease.works[0].delivery.content == texts[new.token]

    def test_one_outcome_that_lost_its_lease_is_in_nobodys_way(
        self, store: Store, case: Case, advance: Advance
    ) -> None:
        case.accept_many(2)
        old = case.lease(limit=1)
        advance(_OVER)
        _given(case.lapsed(alone=False))
        held = case.lease(limit=1)
        recorded = store.work.record(
            [case.sent(old, old.works[0]), case.retry(held, held.works[0])]
        )
        assert set(recorded.lost) == {old.works[0].delivery.id}
        assert recorded.next_due is not None
