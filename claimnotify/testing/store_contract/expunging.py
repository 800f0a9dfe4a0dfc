"""The part of the store's contract about removing a payload: nothing of it stays, and nothing comes back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from claimnotify.delivery.replay import Replayer
from claimnotify.errors import InvalidInput, NotFound
from claimnotify.model.endpoints import Endpoint
from claimnotify.model.messages import Attachment, EmailMessage, InAppMessage, message_to_json
from claimnotify.model.notifications import Attempt, Notification
from claimnotify.model.queues import DELIVERIES
from claimnotify.model.states import AttemptOutcome, DeliveryStatus, Reason
from claimnotify.ports import Lease, Store, Work
from claimnotify.testing.store_contract.case import LEASE, ONE, TWO, Advance, Case
from claimnotify.testing.store_contract.webhooks import NOBODY, ReplayCase, Webhooks

__all__ = ["ExpungeContract"]

_TEXT = message_to_json(EmailMessage(subject="secret", text="secret"))
_FILES = (Attachment(filename="a.txt", content=b"secret"),)


def _telling(case: Case) -> Attempt:
    return replace(
        case.attempt(AttemptOutcome.DELIVERED),
        detail="secret",
        request_headers={"x-note": "secret"},
        response_headers={"x-echo": "secret"},
    )


def _all_told(store: Store, note: Notification) -> str:
    """Return all that the journal and the inbox tell of a notification."""
    (found,) = store.journal.history(note.tenant, notification_id=note.id)
    items = store.inbox.list_items(
        note.tenant, note.owner, limit=9, before=None, unread_only=False, archived=True
    )
    told: list[object] = [found.payload, found.payload_json, found.webhook_json]
    for each in found.deliveries:
        told.append(None if each.content is None else message_to_json(each.content))
        told += [(a.detail, a.request_headers, a.response_headers) for a in each.history]
    return str([*told, *((item.title, item.body, item.url) for item in items)])


class ExpungeContract(ReplayCase):
    """A payload is removed wherever it was kept; that it was accepted, and what became of it, stays."""

    def _sending(self, store: Store, case: Case, **about: Any) -> tuple[Notification, Lease, Work]:
        about = {"payload": {"a": "secret"}, "payload_json": '{"a": "secret"}', **about}
        new = case.new(attachments=_FILES)
        note = replace(new.notification, **about)
        with store.outbox.transaction() as transaction:
            (accepted,) = transaction.add([replace(new, notification=note)])
        lease = case.lease()
        return accepted, lease, lease.works[0]

    def test_what_was_sent_leaves_nothing_but_that_it_was(
        self, store: Store, case: Case, replayer: Replayer
    ) -> None:
        note, lease, work = self._sending(store, case, webhook_json='"secret"', tags=("eu",))
        store.work.keep_content(lease.token, {work.delivery.id: _TEXT})
        item = InAppMessage(title="secret", body="secret")
        done = replace(case.sent(lease, work), attempt=_telling(case), inbox_item=("cus_7", item))
        store.work.record([done])
        assert _all_told(store, note).count("secret") >= 8
        replayer.expunge(note.id, tenant=ONE)
        assert "secret" not in _all_told(store, note)
        (after,) = store.journal.history(ONE)
        assert after.expunged_at is not None
        assert (after.payload, after.tags, after.recipient) == ({}, ("eu",), note.recipient)
        (delivery,) = after.deliveries
        assert (delivery.status, delivery.reason) == ("delivered", "confirmed")
        assert delivery.address == note.deliveries[0].address
        assert [each.outcome for each in delivery.history] == [AttemptOutcome.DELIVERED]
        assert store.inbox.count(ONE, "cus_7", mark="seen_at") == 0

    def test_what_waits_is_cancelled_and_lets_others_go(
        self, store: Store, case: Case, replayer: Replayer, rings: list[str]
    ) -> None:
        first = case.accept(ordering_key="CLM-1")
        second = case.accept(ordering_key="CLM-1")
        other = case.accept()
        assert len(case.lease().works) == 2, "the second is parked"
        replayer.expunge(second.id, tenant=ONE)
        assert case.state(second) == ("cancelled", "expunged")
        assert case.only(second).finished_at is not None
        assert case.state(first) == case.state(other) == ("sending", "leased")
        third = case.accept(ordering_key="CLM-2", due_in=LEASE)
        fourth = case.accept(ordering_key="CLM-2")
        assert case.nothing_due()
        replayer.expunge(third.id, tenant=ONE)
        assert rings == [DELIVERIES]
        assert [w.delivery.id for w in case.lease().works] == [fourth.deliveries[0].id]

    @pytest.mark.parametrize("item", [("cus_7", InAppMessage(title="secret", body="secret")), None])
    @pytest.mark.parametrize("ending", ["pending", "delivered", "failed"])
    def test_what_a_send_under_way_brings_back_is_not_kept(
        self, store: Store, case: Case, replayer: Replayer, ending: str, item: Any
    ) -> None:
        note, lease, work = self._sending(store, case)
        replayer.expunge(note.id, tenant=ONE)
        assert case.only(note).status == DeliveryStatus.SENDING
        store.work.keep_content(lease.token, {work.delivery.id: _TEXT})
        due_at = store.clock.now() if ending == "pending" else None
        outcome = case.outcome(lease, work, DeliveryStatus(ending), "why", due_at=due_at)
        outcome = replace(outcome, attempt=_telling(case), inbox_item=item)
        assert not store.work.record([outcome]).lost
        assert "secret" not in _all_told(store, note)
        ended = ("cancelled", "expunged") if ending == "pending" else (ending, "why")
        assert case.state(note) == ended
        assert len(case.only(note).history) == 1
        assert case.nothing_due()

    def test_nor_what_one_brings_back_that_lost_its_lease(
        self, store: Store, case: Case, replayer: Replayer, advance: Advance
    ) -> None:
        note, lease, work = self._sending(store, case)
        replayer.expunge(note.id, tenant=ONE)
        advance(2 * LEASE)
        lapsed = case.lapsed(alone=True)
        assert lapsed is None or not lapsed.works
        assert case.state(note) == ("cancelled", "expunged")
        late = replace(case.sent(lease, work), attempt=_telling(case))
        assert list(store.work.record([late]).lost) == [work.delivery.id]
        assert "secret" not in _all_told(store, note)
        assert len(case.only(note).history) == 1

    def test_another_notification_keeps_what_it_has(
        self, store: Store, case: Case, replayer: Replayer
    ) -> None:
        kept, lease, work = self._sending(store, case)
        store.work.keep_content(lease.token, {work.delivery.id: _TEXT})
        gone = case.accept()
        replayer.expunge(gone.id, tenant=ONE)
        store.work.record([replace(case.sent(lease, work), attempt=_telling(case))])
        assert _all_told(store, kept).count("secret") >= 6
        again = replayer.replay(work.delivery.id, tenant=ONE)
        (work,) = case.lease().works
        assert (work.delivery.id, work.delivery.attachments) == (again.id, _FILES)

    def test_doing_it_again_does_nothing(
        self, store: Store, case: Case, replayer: Replayer, advance: Advance
    ) -> None:
        note = case.accept()
        replayer.expunge(note.id, tenant=ONE)
        before = store.journal.history(ONE)
        advance(LEASE)
        replayer.expunge(note.id, tenant=ONE)
        assert store.journal.history(ONE) == before

    def test_only_what_there_is_for_the_tenant_is_expunged(
        self, store: Store, case: Case, replayer: Replayer
    ) -> None:
        note = case.accept()
        for tenant, key in ((TWO, note.id), (ONE, "0" * 32), (ONE, note.deliveries[0].id)):
            with pytest.raises(NotFound, match="notification_id"):
                replayer.expunge(key, tenant=tenant)
        (found,) = store.journal.history(ONE)
        assert (found.expunged_at, found.payload) == (None, note.payload)
        assert case.state(note) == ("pending", "queued")

    def test_its_key_still_finds_it(self, case: Case, replayer: Replayer) -> None:
        note = case.accept(idempotency_key="claim-1")
        replayer.expunge(note.id, tenant=ONE)
        again = case.accept(idempotency_key="claim-1")
        assert (again.id, again.replayed, again.payload) == (note.id, True, {})

    def test_it_is_not_sent_again(
        self, case: Case, webhooks: Webhooks, replayer: Replayer, endpoint: Endpoint
    ) -> None:
        failed, missing = webhooks.failed(endpoint), webhooks.accept(NOBODY)
        for note in (failed, missing):
            replayer.expunge(note.id, tenant=ONE)
        with pytest.raises(InvalidInput, match="payload of its notification was removed"):
            replayer.replay(failed.deliveries[0].id, tenant=ONE)
        for call in (replayer.recover, replayer.replay_missing):
            found = call(endpoint, since=failed.created_at, until=None, limit=9)
            assert (found.replayed, found.more) == (0, False)
        assert case.only(failed).reason != Reason.EXPUNGED, "it had failed before"
