"""The part of the store's contract about the journal: what was accepted and what became of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from claimnotify.model.states import AttemptOutcome, DeliveryStatus
from claimnotify.ports import Store
from claimnotify.testing.store_contract.case import MINUTE, ONE, TWO, Case, StoreCase

__all__ = ["RecordsContract"]


class RecordsContract(StoreCase):
    """What was written is read as it was, by its tenant only."""

    @pytest.mark.parametrize(
        ("name", "column"),
        [("recipient", "owner"), ("subject", "subject"), ("event_type", "event_type")],
    )
    def test_the_journal_is_searched(
        self, store: Store, case: Case, name: str, column: str
    ) -> None:
        wanted = [case.accept(**{column: "wanted"}).id for _ in range(3)]
        case.accept(**{column: "another"})
        found = store.journal.history(ONE, **{name: "wanted"})  # type: ignore[arg-type]
        assert [each.id for each in found] == wanted[::-1], "newest first"
        assert store.journal.history(ONE, **{name: "none"}) == []  # type: ignore[arg-type]

    def test_the_journal_is_read_page_by_page(self, store: Store, case: Case) -> None:
        ids = [case.accept().id for _ in range(5)]
        page = store.journal.history(ONE, limit=2)
        assert [each.id for each in page] == [ids[4], ids[3]]
        page = store.journal.history(ONE, limit=2, before=page[-1].id)
        assert [each.id for each in page] == [ids[2], ids[1]]
        both = store.journal.history(ONE, notification_id=ids[0], before=ids[0])
        assert both == []

    def test_the_journal_has_all_that_was_accepted_and_became_of_it(
        self, store: Store, case: Case
    ) -> None:
        accepted = case.accept(addresses=("a", "b", "c"), idempotency_key="k", subject="CLM-1")
        lease = case.lease()
        attempts = [
            case.attempt(AttemptOutcome.TRANSIENT, status_code=503),
            case.attempt(AttemptOutcome.SENT, number=2),
        ]
        b = next(work for work in lease.works if work.delivery.address == "b")
        retry = replace(case.retry(lease, b, wait=-MINUTE), attempt=attempts[0])
        store.work.record([retry])
        lease = case.lease()
        sent = case.outcome(lease, lease.works[0], DeliveryStatus.SENT, attempt=attempts[1])
        store.work.record([sent])
        (found,) = store.journal.history(ONE)
        assert [each.address for each in found.deliveries] == ["a", "b", "c"]
        assert [list(each.history) for each in found.deliveries] == [[], attempts, []]
        assert replace(found, deliveries=()) == replace(accepted, deliveries=())

    def test_no_tenant_sees_another_s_journal(self, store: Store, case: Case) -> None:
        accepted = case.accept(subject="CLM-1")
        assert store.journal.history(TWO) == []
        assert store.journal.history(TWO, notification_id=accepted.id) == []
        assert store.journal.history(TWO, recipient="cus_7", subject="CLM-1") == []
        assert store.work.counts(TWO) == {}
