"""The part of the store's contract about what is kept: endpoints with their keys, and the journal."""

from __future__ import annotations

from dataclasses import replace

import pytest

from claimnotify.model.states import AttemptOutcome, DeliveryStatus
from claimnotify.ports import Store
from claimnotify.testing.store_contract.case import MINUTE, ONE, TWO, Advance, Case, StoreCase

__all__ = ["RecordsContract"]


class RecordsContract(StoreCase):
    """What was written is read as it was, by its tenant only."""

    def test_an_endpoint_is_kept_as_it_was(self, store: Store, case: Case) -> None:
        endpoint = case.endpoint(
            event_types=("claim.*", "fraud.flagged"), description="ü", rate_limit="5/second"
        )
        assert store.endpoints.get_endpoint(ONE, endpoint.id) == endpoint
        assert store.endpoints.get_endpoint(ONE, "0" * 32) is None

    def test_endpoints_are_listed_oldest_first(self, store: Store, case: Case) -> None:
        first, second = case.endpoint(), case.endpoint(owner="partner")
        third = case.endpoint()
        assert list(store.endpoints.list_endpoints(ONE)) == [first, second, third]
        assert list(store.endpoints.list_endpoints(ONE, "cus_7")) == [first, third]
        with store.outbox.transaction() as transaction:
            found = transaction.endpoints_of(ONE, ["cus_7", "nobody"])
            assert {owner: list(each) for owner, each in found.items()} == {"cus_7": [first, third]}
            found = transaction.endpoints_of(ONE, ["partner"])
            assert {owner: list(each) for owner, each in found.items()} == {"partner": [second]}

    def test_an_endpoint_is_disabled_and_enabled(self, store: Store, case: Case) -> None:
        endpoint, disable = case.endpoint(), store.endpoints.set_endpoint_enabled
        assert disable(ONE, endpoint.id, enabled=False, reason="by hand")
        off = replace(endpoint, enabled=False, disabled_reason="by hand")
        assert store.endpoints.get_endpoint(ONE, endpoint.id) == off
        assert disable(ONE, endpoint.id, enabled=True, reason="none is kept")
        assert store.endpoints.get_endpoint(ONE, endpoint.id) == endpoint
        assert not disable(ONE, "0" * 32, enabled=True)

    def test_a_deleted_endpoint_is_gone_with_its_keys(self, store: Store, case: Case) -> None:
        endpoint, other = case.endpoint(), case.endpoint()
        assert store.endpoints.delete_endpoint(ONE, endpoint.id)
        assert not store.endpoints.delete_endpoint(ONE, endpoint.id)
        assert list(store.endpoints.list_endpoints(ONE)) == [other]
        pairs = [(ONE, endpoint.id), (ONE, other.id)]
        assert set(store.endpoints.load_endpoints(pairs)) == {(ONE, other.id)}

    def test_a_new_key_retires_the_others(self, store: Store, case: Case, advance: Advance) -> None:
        endpoint = case.endpoint()
        pair = (ONE, endpoint.id)
        newer = replace(case.key(endpoint), ciphertext="newer")
        soon = store.clock.now() + MINUTE
        store.endpoints.add_endpoint_key(ONE, newer, retire_others_at=soon)
        kept, keys = store.endpoints.load_endpoints([pair])[pair]
        assert kept == endpoint
        assert [each.ciphertext for each in keys] == ["newer", "not readable"]
        assert [each.expires_at for each in keys] == [None, soon]
        newest = replace(case.key(endpoint), ciphertext="newest")
        store.endpoints.add_endpoint_key(ONE, newest, retire_others_at=soon + MINUTE)
        keys = store.endpoints.load_endpoints([pair])[pair][1]
        assert [each.expires_at for each in keys] == [None, soon + MINUTE, soon], "never put off"
        advance(2 * MINUTE)
        keys = store.endpoints.load_endpoints([pair])[pair][1]
        assert list(keys) == [newest]
        assert store.endpoints.load_endpoints([]) == {}

    def test_no_tenant_sees_or_changes_another_s_endpoints(self, store: Store, case: Case) -> None:
        endpoint, endpoints = case.endpoint(), store.endpoints
        assert endpoints.get_endpoint(TWO, endpoint.id) is None
        assert list(endpoints.list_endpoints(TWO)) == []
        assert list(endpoints.list_endpoints(TWO, "cus_7")) == []
        assert endpoints.load_endpoints([(TWO, endpoint.id)]) == {}
        assert not endpoints.set_endpoint_enabled(TWO, endpoint.id, enabled=False)
        assert not endpoints.delete_endpoint(TWO, endpoint.id)
        with store.outbox.transaction() as transaction:
            assert transaction.endpoints_of(TWO, ["cus_7"]) == {}
        now, key = store.clock.now(), case.key(endpoint)
        endpoints.add_endpoint_key(TWO, key, retire_others_at=now)
        pair = (ONE, endpoint.id)
        kept, keys = endpoints.load_endpoints([pair])[pair]
        assert (kept, [each.expires_at for each in keys]) == (endpoint, [None])
        assert keys[0].id != key.id

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
