"""The part of the store's contract about accepting: one transaction, idempotency keys, cancelling."""

from __future__ import annotations

from typing import Any

import pytest

from claimnotify.errors import IdempotencyConflict, NotFound
from claimnotify.model.messages import Attachment
from claimnotify.model.queues import DELIVERIES
from claimnotify.model.states import DeliveryStatus
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

__all__ = ["OutboxContract"]

_FILES = (Attachment(filename="a.txt", content=b"a"), Attachment(filename="b.txt", content=b"b"))


class OutboxContract(StoreCase):
    """What is accepted is there as a whole, once, or not at all."""

    def test_what_was_accepted_can_be_sent(self, store: Store, case: Case) -> None:
        files = [Attachment(filename=f"{n}.txt", content=bytes([n, 0, 255])) for n in (2, 1)]
        accepted = case.accept(attachments=files, subject="CLM-1", ordering_key="CLM-1")
        (work,) = case.lease().works
        delivery, notification = work.delivery, work.notification
        assert delivery.id == accepted.deliveries[0].id
        assert (delivery.notification_id, delivery.address) == (accepted.id, "Elm Street 1")
        assert delivery.event_type == accepted.event_type
        assert delivery.recipient == notification.recipient == accepted.recipient
        assert list(delivery.attachments) == files, "in their order"
        assert notification.payload_json == accepted.payload_json
        assert (notification.payload, notification.subject) == ({"claim": "CLM-1"}, "CLM-1")

    @pytest.mark.parametrize("key", [None, "k"], ids=["plain", "keyed"])
    def test_what_webhooks_carry_and_tags_are_kept(self, case: Case, key: str | None) -> None:
        thin = '{"claim":"ü"}'
        accepted = case.accept(webhook_json=thin, tags=("eu", "vip"), idempotency_key=key)
        (work,) = case.lease().works
        assert (work.notification.webhook_json, work.notification.tags) == (thin, ("eu", "vip"))
        (found,) = case.store.journal.history(ONE)
        assert (found.webhook_json, found.tags) == (thin, ("eu", "vip")), accepted
        case.accept()
        (work,) = case.lease().works
        assert (work.notification.webhook_json, work.notification.tags) == (None, ())

    def test_an_exception_in_the_transaction_leaves_nothing(
        self, store: Store, case: Case, rings: list[str]
    ) -> None:
        kept = case.accept(idempotency_key="kept", due_in=MINUTE)

        def fail() -> None:
            with store.outbox.transaction() as transaction:
                transaction.add([case.new(), case.new(idempotency_key="k", ordering_key="CLM-1")])
                transaction.cancel(ONE, kept.id)
                transaction.ring(DELIVERIES)
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            fail()
        assert [each.id for each in store.journal.history(ONE)] == [kept.id]
        assert case.state(kept) == ("scheduled", "scheduled")
        assert case.nothing_due()
        assert rings == []
        assert not case.accept(idempotency_key="k").replayed, "the key is free again"

    @pytest.mark.parametrize("count", [0, 1, 3, 12])
    @pytest.mark.parametrize(
        "about",
        [{}, {"idempotency_key": "k"}, {"ordering_key": "CLM-1"}, {"attachments": _FILES}],
        ids=["plain", "key", "order", "files"],
    )
    def test_what_is_written_last_is_as_whole_as_all_else(
        self, store: Store, case: Case, rings: list[str], count: int, about: dict[str, Any]
    ) -> None:
        addresses = tuple(f"Elm Street {number}" for number in range(count))
        with store.outbox.transaction() as transaction:
            (accepted,) = transaction.add([case.new(addresses=addresses, **about)], last=True)
            transaction.ring(DELIVERIES)
        assert rings == [DELIVERIES]
        (kept,) = store.journal.history(ONE)
        assert kept.id == accepted.id
        assert [each.address for each in kept.deliveries] == list(addresses)
        leased = set()
        while count and (lease := store.work.lease(DELIVERIES, limit=100, duration=LEASE)):
            leased |= {(w.delivery.address, len(w.delivery.attachments)) for w in lease.works}
        files = len(about.get("attachments", ()))
        assert leased == {(address, files) for address in addresses}

    def test_what_is_written_before_the_last_goes_with_it(self, store: Store, case: Case) -> None:
        waits = case.accept(due_in=MINUTE)
        with store.outbox.transaction() as transaction:
            transaction.add([case.new()])
            assert transaction.cancel(ONE, waits.id) == 1
            transaction.add([case.new()], last=True)
        assert len(store.journal.history(ONE)) == 3
        assert case.state(waits) == ("cancelled", "cancelled")

    def test_it_rings_once_it_has_committed(
        self, store: Store, case: Case, rings: list[str]
    ) -> None:
        with store.outbox.transaction() as transaction:
            transaction.add([case.new()])
            transaction.ring(DELIVERIES)
            transaction.ring(DELIVERIES)
            assert rings == []
        assert rings == [DELIVERIES]

    def test_the_transaction_has_the_time_of_the_store(
        self, store: Store, case: Case, advance: Advance
    ) -> None:
        advance(MINUTE)
        with store.outbox.transaction() as transaction:
            before, now, after = store.clock.now(), transaction.now(), store.clock.now()
        assert before <= now <= after
        assert now.utcoffset() is not None

    def test_a_key_used_before_gives_the_earlier_notification(
        self, store: Store, case: Case
    ) -> None:
        first = case.accept(idempotency_key="claim-1", addresses=("a", "b"))
        again = case.accept(idempotency_key="claim-1", addresses=("a", "b"))
        assert (first.replayed, again.replayed) == (False, True)
        assert again.id == first.id
        assert [d.id for d in again.deliveries] == [d.id for d in first.deliveries]
        assert len(case.lease().works) == 2
        other = case.accept(idempotency_key="claim-1", tenant=TWO)
        assert not other.replayed, "another tenant's keys are others"

    def test_a_key_repeated_in_one_batch_is_written_once(self, store: Store, case: Case) -> None:
        case.accept(idempotency_key="old")
        batch = [
            case.new(idempotency_key="new"),
            case.new(),
            case.new(idempotency_key="new"),
            case.new(idempotency_key="old"),
        ]
        with store.outbox.transaction() as transaction:
            results = transaction.add(batch)
        assert [each.replayed for each in results] == [False, False, True, True]
        assert results[2].id == results[0].id == batch[0].notification.id
        assert results[1].id == batch[1].notification.id
        assert len(store.journal.history(ONE)) == 3

    @pytest.mark.parametrize("within", [False, True], ids=["before", "in the batch"])
    def test_a_key_used_for_something_else_is_refused(
        self, store: Store, case: Case, within: bool
    ) -> None:
        """Nothing of the batch is left, even if the caller goes on and commits."""
        taken = case.new(idempotency_key="k", fingerprint="this")
        if not within:
            with store.outbox.transaction() as transaction:
                transaction.add([taken])
        batch = [case.new(idempotency_key="a"), case.new(idempotency_key="k", fingerprint="that")]
        with store.outbox.transaction() as transaction, pytest.raises(IdempotencyConflict):
            transaction.add([taken, *batch] if within else batch)
        assert len(store.journal.history(ONE)) == (0 if within else 1)

    def test_what_waits_is_cancelled(self, store: Store, case: Case, advance: Advance) -> None:
        accepted = case.accept(addresses=("a", "b"), due_in=MINUTE)
        assert case.cancel(accepted) == 2
        advance(2 * MINUTE)
        assert case.nothing_due()
        assert {str(d.status) for d in case.seen(accepted)} == {"cancelled"}
        assert all(d.finished_at is not None and d.due_at is None for d in case.seen(accepted))
        assert case.cancel(accepted) == 0

    def test_what_is_leased_is_not_cancelled_but_not_tried_again(
        self, store: Store, case: Case
    ) -> None:
        accepted = case.accept(addresses=("a", "b"))
        lease = case.lease()
        assert case.cancel(accepted) == 0
        one, two = lease.works
        recorded = store.work.record([case.retry(lease, one), case.sent(lease, two)])
        assert (list(recorded.lost), recorded.next_due) == ([], None)
        states = {d.id: d.status for d in case.seen(accepted)}
        assert states == {
            one.delivery.id: DeliveryStatus.CANCELLED,
            two.delivery.id: DeliveryStatus.DELIVERED,
        }

    def test_only_what_there_is_for_the_tenant_can_be_cancelled(
        self, store: Store, case: Case
    ) -> None:
        accepted = case.accept()
        with store.outbox.transaction() as transaction:
            for tenant, key in ((TWO, accepted.id), (ONE, "0" * 32)):
                with pytest.raises(NotFound):
                    transaction.cancel(tenant, key)
        assert case.state(accepted) == ("pending", "queued")
