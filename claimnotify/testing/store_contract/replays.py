"""The part of the store's contract about replaying one delivery: a new one of the same content."""

from __future__ import annotations

import threading

import pytest

from claimnotify.delivery.replay import Replayer
from claimnotify.errors import InvalidInput, NotFound
from claimnotify.model.endpoints import Endpoint
from claimnotify.model.messages import Attachment, EmailMessage, message_to_json
from claimnotify.model.queues import DELIVERIES
from claimnotify.model.states import AttemptOutcome, DeliveryStatus, Reason
from claimnotify.ports import Store
from claimnotify.testing.store_contract.case import MINUTE, ONE, TWO, Advance, Case
from claimnotify.testing.store_contract.webhooks import NOBODY, ReplayCase, Webhooks

__all__ = ["ReplayContract"]

_ENDINGS = ["sent", "delivered", "failed", "skipped", "expired", "cancelled"]


class ReplayContract(ReplayCase):
    """A delivery that came to its end is repeated by a new one, once; it stays as it was."""

    @pytest.mark.parametrize("ending", _ENDINGS)
    def test_a_new_delivery_repeats_what_came_to_its_end(
        self, case: Case, webhooks: Webhooks, replayer: Replayer, rings: list[str], ending: str
    ) -> None:
        note = case.accept(addresses=("a", "b"), priority=3)
        webhooks.end(DeliveryStatus(ending), "why")
        before = case.seen(note)
        made = replayer.replay(before[0].id, tenant=ONE)
        assert rings == [DELIVERIES]
        *kept, new = case.seen(note)
        assert kept == list(before), "what there was is not rewritten, and comes first"
        assert new == made
        assert (new.replay_of, new.notification_id) == (before[0].id, note.id)
        assert (new.channel, new.address) == ("post", "a")
        assert (new.status, new.reason, new.attempts) == ("pending", "queued", 0)
        assert new.due_at == new.created_at
        assert new.due_at is not None
        assert new.due_at >= before[0].created_at
        (work,) = case.lease().works
        assert (work.delivery.id, work.notification.payload_json) == (new.id, note.payload_json)

    def test_the_same_content_and_files_are_sent_by_the_same_queue(
        self, store: Store, case: Case, webhooks: Webhooks, replayer: Replayer
    ) -> None:
        files = (Attachment(filename="a.txt", content=b"a"),)
        note = case.accept(attachments=files, queue="others", priority=3)
        lease = store.work.lease("others", limit=1, duration=MINUTE)
        assert lease is not None
        message = EmailMessage(subject="Re: claim", text="as it was")
        (work,) = lease.works
        store.work.keep_content(lease.token, {work.delivery.id: message_to_json(message)})
        store.work.record([case.outcome(lease, work, DeliveryStatus.FAILED, "why")])
        replayer.replay(work.delivery.id, tenant=ONE)
        assert case.nothing_due()
        again = store.work.lease("others", limit=1, duration=MINUTE)
        assert again is not None
        assert again.works[0].delivery.content == message
        assert again.works[0].delivery.attachments == files
        assert case.seen(note)[1].content == message

    def test_while_its_replay_is_under_way_that_one_is_returned(
        self, store: Store, case: Case, webhooks: Webhooks, replayer: Replayer, rings: list[str]
    ) -> None:
        note = case.accept()
        first = note.deliveries[0].id
        assert replayer.replay(first, tenant=ONE).id == first, "itself, as it has not ended"
        webhooks.end(DeliveryStatus.FAILED)
        second = replayer.replay(first, tenant=ONE)
        rings.clear()
        assert replayer.replay(first, tenant=ONE).id == second.id
        assert replayer.replay(second.id, tenant=ONE).id == second.id
        lease = case.lease()
        sending = replayer.replay(first, tenant=ONE)
        assert (sending.id, sending.status) == (second.id, DeliveryStatus.SENDING)
        store.work.record([case.retry(lease, lease.works[0])])
        assert replayer.replay(first, tenant=ONE).status == DeliveryStatus.PENDING
        assert len(case.seen(note)) == 2
        assert rings == []

    def test_a_chain_of_replays_has_no_branches(
        self, case: Case, webhooks: Webhooks, replayer: Replayer
    ) -> None:
        note = case.accept()
        chain = [note.deliveries[0].id]
        for asked in (0, 0, 1):
            webhooks.end(DeliveryStatus.FAILED)
            chain.append(replayer.replay(chain[asked], tenant=ONE).id)
        assert [each.replay_of for each in case.seen(note)] == [None, *chain[:3]]

    def test_callers_at_once_make_one_replay(
        self, case: Case, webhooks: Webhooks, replayer: Replayer
    ) -> None:
        note = case.accept()
        webhooks.end(DeliveryStatus.FAILED)
        together, made = threading.Barrier(4), []

        def ask() -> None:
            together.wait()
            made.append(replayer.replay(note.deliveries[0].id, tenant=ONE).id)

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(made) == 4
        assert len(set(made)) == 1
        assert [each.id for each in case.seen(note)][1:] == made[:1]

    def test_only_what_there_is_for_the_tenant_is_replayed(
        self, case: Case, webhooks: Webhooks, replayer: Replayer
    ) -> None:
        note = case.accept()
        webhooks.end(DeliveryStatus.FAILED)
        for tenant, key in ((TWO, note.deliveries[0].id), (ONE, "0" * 32), (ONE, note.id)):
            with pytest.raises(NotFound, match="delivery_id"):
                replayer.replay(key, tenant=tenant)
        assert len(case.seen(note)) == 1

    def test_a_webhook_goes_where_its_endpoint_is_now(
        self, webhooks: Webhooks, replayer: Replayer, endpoint: Endpoint
    ) -> None:
        note = webhooks.failed((endpoint.id, DeliveryStatus.PENDING, Reason.QUEUED))
        assert note.deliveries[0].address != endpoint.url
        made = replayer.replay(note.deliveries[0].id, tenant=ONE)
        assert (made.endpoint_id, made.address) == (endpoint.id, endpoint.url)

    def test_an_endpoint_that_is_disabled_or_deleted_is_sent_nothing(
        self,
        store: Store,
        case: Case,
        webhooks: Webhooks,
        replayer: Replayer,
        endpoint: Endpoint,
    ) -> None:
        note = webhooks.failed(endpoint)
        key = note.deliveries[0].id
        store.endpoints.set_endpoint_enabled(ONE, endpoint.id, enabled=False, reason="asked")
        with pytest.raises(InvalidInput, match=r"disabled \(asked\).*Enable it first"):
            replayer.replay(key, tenant=ONE)
        store.endpoints.set_endpoint_enabled(ONE, endpoint.id, enabled=True)
        assert replayer.replay(key, tenant=ONE).replay_of == key
        webhooks.end(DeliveryStatus.FAILED)
        store.endpoints.delete_endpoint(ONE, endpoint.id)
        with pytest.raises(NotFound, match="it was deleted"):
            replayer.replay(key, tenant=ONE)
        assert len(case.seen(note)) == 2

    def test_what_went_nowhere_cannot_be_replayed(
        self, case: Case, webhooks: Webhooks, replayer: Replayer
    ) -> None:
        note = webhooks.accept(NOBODY)
        with pytest.raises(InvalidInput, match=r"went nowhere \(no_endpoint\).*replay_missing"):
            replayer.replay(note.deliveries[0].id, tenant=ONE)
        assert len(case.seen(note)) == 1

    def test_a_replay_comes_last_in_its_order(
        self, store: Store, case: Case, webhooks: Webhooks, replayer: Replayer
    ) -> None:
        first = case.accept(ordering_key="CLM-1", ordering_strict=True)
        webhooks.end(DeliveryStatus.FAILED)
        second = case.accept(ordering_key="CLM-1", ordering_strict=True)
        made = replayer.replay(first.deliveries[0].id, tenant=ONE)
        third = case.accept(ordering_key="CLM-1", ordering_strict=True)
        order = []
        for _ in range(3):
            (work,) = (lease := case.lease()).works
            order.append(work.delivery.id)
            attempt = case.attempt(AttemptOutcome.DELIVERED)
            done = case.outcome(lease, work, DeliveryStatus.DELIVERED, attempt=attempt)
            store.work.record([done])
        assert order == [second.deliveries[0].id, made.id, third.deliveries[0].id]

    def test_a_strict_replay_holds_up_those_after_it(
        self, store: Store, case: Case, webhooks: Webhooks, replayer: Replayer, advance: Advance
    ) -> None:
        first = case.accept(ordering_key="CLM-1", ordering_strict=True)
        webhooks.end(DeliveryStatus.FAILED)
        made = replayer.replay(first.deliveries[0].id, tenant=ONE)
        case.accept(ordering_key="CLM-1", ordering_strict=True)
        lease = case.lease()
        assert [work.delivery.id for work in lease.works] == [made.id]
        store.work.record([case.retry(lease, lease.works[0])])
        assert case.nothing_due()
        advance(2 * MINUTE)
        assert [work.delivery.id for work in case.lease().works] == [made.id]
