"""The part of the store's contract about the log of attempts, and about reading one delivery."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from claimnotify.model.endpoints import Endpoint
from claimnotify.model.replays import AttemptRecord
from claimnotify.model.states import AttemptOutcome, DeliveryStatus
from claimnotify.ports import Store
from claimnotify.testing.store_contract.case import MINUTE, ONE, TWO, Advance, Case
from claimnotify.testing.store_contract.webhooks import ReplayCase, Webhooks, skipped

__all__ = ["AttemptContract"]


class AttemptContract(ReplayCase):
    """An endpoint's attempts are told newest delivery first, to its tenant only."""

    @pytest.fixture
    def log(
        self, store: Store, case: Case, webhooks: Webhooks, endpoint: Endpoint, advance: Advance
    ) -> list[AttemptRecord]:
        """Attempts as the log is to tell them: of three deliveries, the second one retried twice."""
        expected: list[AttemptRecord] = []
        webhooks.accept(skipped(endpoint))
        for number in range(3):
            note = webhooks.accept(endpoint, event_type=f"claim.number_{number}")
            tries = []
            for _ in range(2 if number == 1 else 0):
                lease = case.lease()
                retry = case.retry(lease, lease.works[0], status_code=503)
                store.work.record([retry])
                assert retry.attempt is not None
                tries.append(retry.attempt)
                advance(2 * MINUTE)
            status = DeliveryStatus.DELIVERED if number else DeliveryStatus.FAILED
            webhooks.end(
                status,
                "why",
                number=len(tries) + 1,
                status_code=200,
                detail="answer",
                request_headers={"webhook-id": note.id},
                response_headers={"server": "it"},
            )
            (delivery,) = case.seen(note)
            assert list(delivery.history[:-1]) == tries
            mine = [
                AttemptRecord(
                    id="",
                    delivery_id=delivery.id,
                    notification_id=note.id,
                    event_type=note.event_type,
                    status=status,
                    reason="why",
                    replay_of=None,
                    attempt=attempt,
                )
                for attempt in reversed(delivery.history)
            ]
            expected = [*mine, *expected]
        webhooks.failed(case.endpoint())
        return expected

    def _read(self, store: Store, endpoint: Endpoint, **options: Any) -> list[AttemptRecord]:
        return list(store.journal.attempts(ONE, endpoint.id, **options))

    def test_each_attempt_tells_what_it_was_for_and_how_it_went(
        self, store: Store, endpoint: Endpoint, log: list[AttemptRecord]
    ) -> None:
        found = self._read(store, endpoint)
        assert len({each.id for each in found}) == len(log) == 5
        assert [_plain(each) for each in found] == [_plain(each) for each in log]
        attempt = found[0].attempt
        assert (attempt.detail, attempt.duration) == ("answer", timedelta(milliseconds=120))
        assert attempt.request_headers == {"webhook-id": found[0].notification_id}
        assert attempt.response_headers == {"server": "it"}

    def test_the_log_is_narrowed(
        self, store: Store, endpoint: Endpoint, log: list[AttemptRecord]
    ) -> None:
        good = [each.attempt.outcome == AttemptOutcome.DELIVERED for each in log]
        cases: list[tuple[dict[str, Any], list[bool]]] = [
            ({"status": DeliveryStatus.FAILED}, [each.status == "failed" for each in log]),
            ({"status": DeliveryStatus.PARKED}, [False] * 5),
            ({"succeeded": True}, good),
            ({"succeeded": False}, [not each for each in good]),
            ({"event_type": "claim.number_1"}, [each.event_type.endswith("1") for each in log]),
            ({"succeeded": False, "limit": 1}, [False, False, True, False, False]),
        ]
        for options, wanted in cases:
            found = [_plain(each) for each in self._read(store, endpoint, **options)]
            chosen = [_plain(each) for each, is_it in zip(log, wanted, strict=True) if is_it]
            assert found == chosen, options

    @pytest.mark.parametrize("size", [1, 2, 3, 5, 6])
    def test_the_log_is_read_page_by_page(
        self, store: Store, endpoint: Endpoint, log: list[AttemptRecord], size: int
    ) -> None:
        found: list[AttemptRecord] = []
        for _ in range(len(log) + 1):
            last = found[-1].id if found else None
            page = self._read(store, endpoint, limit=size, before=last)
            assert len(page) <= size
            found += page
        assert found == self._read(store, endpoint)
        assert len(found) == len(log)
        assert self._read(store, endpoint, before="0" * 32) == []

    def test_the_log_of_a_deleted_endpoint_stays(
        self, store: Store, endpoint: Endpoint, log: list[AttemptRecord]
    ) -> None:
        store.endpoints.delete_endpoint(ONE, endpoint.id)
        assert len(self._read(store, endpoint)) == len(log)

    def test_no_tenant_sees_another_s_log_or_delivery(
        self, store: Store, endpoint: Endpoint, log: list[AttemptRecord]
    ) -> None:
        assert list(store.journal.attempts(TWO, endpoint.id)) == []
        mark = self._read(store, endpoint)[0].id
        assert list(store.journal.attempts(TWO, endpoint.id, before=mark)) == []
        assert store.journal.delivery(TWO, log[0].delivery_id) is None
        assert store.journal.delivery(ONE, "0" * 32) is None

    def test_a_delivery_is_read_with_its_attempts(
        self, store: Store, case: Case, log: list[AttemptRecord]
    ) -> None:
        delivery = store.journal.delivery(ONE, log[1].delivery_id)
        assert delivery is not None
        (note,) = store.journal.history(ONE, notification_id=delivery.notification_id)
        assert note.deliveries == (delivery,)
        assert len(delivery.history) == 3
        assert (delivery.event_type, delivery.recipient) == (note.event_type, note.recipient)


def _plain(record: AttemptRecord) -> tuple[Any, ...]:
    """Return a record without its id, which is the store's own affair."""
    return (
        record.delivery_id,
        record.notification_id,
        record.event_type,
        record.status,
        record.reason,
        record.attempt,
    )
