"""The part of the store's contract about what becomes of deliveries: states, attempts, what follows."""

from __future__ import annotations

import pytest

from claimnotify.model.messages import InAppMessage, SmsMessage, message_to_json
from claimnotify.model.states import AttemptOutcome, DeliveryStatus, Reason
from claimnotify.ports import Lease, Store, Work
from claimnotify.testing.store_contract.case import LEASE, MINUTE, ONE, Advance, Case, StoreCase

__all__ = ["RecordContract"]

_ENDINGS = (
    DeliveryStatus.SENT,
    DeliveryStatus.DELIVERED,
    DeliveryStatus.FAILED,
    DeliveryStatus.SKIPPED,
    DeliveryStatus.CANCELLED,
    DeliveryStatus.EXPIRED,
)


class RecordContract(StoreCase):
    """An outcome is written as a whole, with all that follows from it."""

    @pytest.mark.parametrize("status", _ENDINGS)
    def test_what_ended_is_never_leased_again(
        self, store: Store, case: Case, advance: Advance, status: DeliveryStatus
    ) -> None:
        accepted = case.accept()
        lease = case.lease()
        attempt = case.attempt(AttemptOutcome.SENT, status_code=250)
        ended = case.outcome(
            lease, lease.works[0], status, "as it went", attempt=attempt, provider_id="p-1"
        )
        before = store.clock.now() - MINUTE
        recorded = store.work.record([ended])
        assert (list(recorded.lost), recorded.next_due) == ([], None)
        delivery = case.only(accepted)
        assert (delivery.status, delivery.reason) == (status, "as it went")
        assert (delivery.attempts, delivery.provider_id) == (1, "p-1")
        assert list(delivery.history) == [attempt]
        assert delivery.due_at is None
        assert delivery.finished_at is not None
        assert delivery.finished_at > before
        advance(2 * LEASE)
        assert case.nothing_due()
        assert case.lapsed(alone=True) is None
        assert store.work.counts() == {}
        assert set(store.work.record([ended]).lost) == {ended.delivery_id}

    @pytest.mark.parametrize("count", [1, 6])
    def test_an_outcome_that_is_written_again_is_one_attempt(
        self, store: Store, case: Case, count: int
    ) -> None:
        """A worker that got no answer writes again what may have been written."""
        accepted = case.accept_many(count)
        lease = case.lease()
        outcomes = [case.sent(lease, work) for work in lease.works]
        assert not store.work.record(outcomes).lost
        assert len(store.work.record(outcomes).lost) == count
        for each in accepted:
            delivery = case.only(each)
            assert (delivery.attempts, len(delivery.history)) == (1, 1)

    def test_of_a_few_each_is_written_that_is_still_held(self, store: Store, case: Case) -> None:
        accepted = [case.accept(), case.accept(ordering_key="CLM-1"), case.accept()]
        works: dict[str, tuple[Lease, Work]] = {}
        while len(works) < len(accepted):
            lease = case.lease(limit=1)
            works |= {work.notification.id: (lease, work) for work in lease.works}
        taken = accepted[-1].id
        store.work.record([case.retry(*works[taken])])  # its lease has ended, with its attempt
        recorded = store.work.record([case.sent(*works[each.id]) for each in accepted])
        assert set(recorded.lost) == {accepted[-1].deliveries[0].id}
        for each in accepted[:2]:
            delivery = case.only(each)
            assert (delivery.status, delivery.attempts, len(delivery.history)) == (
                "delivered",
                1,
                1,
            )
        assert case.only(accepted[-1]).status == "pending"
        assert len(case.only(accepted[-1]).history) == 1

    def test_a_retry_waits_for_its_time(self, store: Store, case: Case, advance: Advance) -> None:
        accepted = case.accept()
        lease = case.lease()
        message = SmsMessage(text="kept")
        key = lease.works[0].delivery.id
        store.work.keep_content(lease.token, {key: message_to_json(message)})
        retry = case.retry(lease, lease.works[0])
        recorded = store.work.record([retry])
        assert recorded.next_due == retry.due_at
        delivery = case.only(accepted)
        assert (delivery.status, delivery.reason) == ("pending", "retry")
        assert (delivery.due_at, delivery.finished_at) == (retry.due_at, None)
        assert case.nothing_due()
        advance(MINUTE)
        again = case.lease()
        assert again.works[0].delivery.attempts == 1
        assert again.works[0].delivery.content == message, "what was rendered is sent again"
        store.work.record(
            [
                case.outcome(
                    again,
                    again.works[0],
                    DeliveryStatus.SENT,
                    attempt=case.attempt(AttemptOutcome.SENT, number=2),
                )
            ]
        )
        assert [each.number for each in case.only(accepted).history] == [1, 2]
        assert case.only(accepted).attempts == 2

    def test_what_is_given_back_unsent_has_had_no_try(self, store: Store, case: Case) -> None:
        accepted = case.accept()
        lease, now = case.lease(), store.clock.now()
        back = case.outcome(
            lease, lease.works[0], DeliveryStatus.PENDING, Reason.RELEASED, due_at=now
        )
        assert store.work.record([back]).next_due == now
        assert (case.only(accepted).attempts, list(case.only(accepted).history)) == (0, [])
        assert len(case.lease().works) == 1

    def test_next_due_is_of_the_first_of_them(self, store: Store, case: Case) -> None:
        case.accept_many(6)
        lease = case.lease()
        outcomes = [case.retry(lease, w, wait=n * MINUTE) for n, w in enumerate(lease.works, 2)]
        outcomes[0] = case.sent(lease, lease.works[0])
        recorded = store.work.record(outcomes)
        assert recorded.next_due == outcomes[1].due_at
        states = [d.status for n in store.journal.history(ONE) for d in n.deliveries]
        assert sorted(map(str, states)) == ["delivered", *["pending"] * 5]

    def test_an_inbox_item_is_written_with_its_outcome_once(self, store: Store, case: Case) -> None:
        accepted = case.accept()
        lease = case.lease()
        message = InAppMessage(title="Approved", body="Your claim.", url="https://example.com/c/1")
        put = case.outcome(
            lease, lease.works[0], DeliveryStatus.DELIVERED, inbox_item=("cus_7", message)
        )
        for _ in range(2):
            store.work.record([put])
        (item,) = store.inbox.list_items(
            ONE, "cus_7", limit=9, before=None, unread_only=False, archived=True
        )
        assert (item.title, item.body, item.url) == (message.title, message.body, message.url)
        assert item.notification_id == accepted.id
        assert (item.seen_at, item.read_at, item.archived_at) == (None, None, None)

    def test_an_endpoint_is_disabled_with_the_outcome(self, store: Store, case: Case) -> None:
        gone, other = case.endpoint(), case.endpoint()
        case.accept(endpoint_id=gone.id, channel="webhook")
        lease = case.lease()
        store.work.record(
            [
                case.outcome(
                    lease,
                    lease.works[0],
                    DeliveryStatus.FAILED,
                    Reason.ENDPOINT_GONE,
                    disable_endpoint=True,
                )
            ]
        )
        found = store.endpoints.get_endpoint(ONE, gone.id)
        assert found is not None
        assert (found.enabled, found.disabled_reason) == (False, "endpoint_gone")
        untouched = store.endpoints.get_endpoint(ONE, other.id)
        assert untouched is not None
        assert untouched.enabled
