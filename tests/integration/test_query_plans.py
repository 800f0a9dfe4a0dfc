"""No statement of the delivery engine reads a whole table, though the tables were empty when it was planned."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import text

from claimnotify.model.queues import DELIVERIES
from claimnotify.model.states import AttemptOutcome, DeliveryStatus
from claimnotify.store.store import SqlStore
from claimnotify.testing.store_contract.case import ONE, Case

_SCANS = text(
    "SELECT relname, seq_scan FROM pg_stat_user_tables"
    " WHERE relname IN ('claimnotify_notifications', 'claimnotify_deliveries',"
    " 'claimnotify_attempts', 'claimnotify_endpoints', 'claimnotify_endpoint_keys')"
)


@pytest.fixture
def store(postgres_url: str) -> SqlStore:
    store = SqlStore(postgres_url, ring=lambda _queue: None)
    store.upgrade()
    yield store
    store.close()


def test_postgres_finds_every_row_by_an_index(store: SqlStore) -> None:
    case = Case(store)
    before = _scans(store)
    for _ in range(12):  # psycopg prepares a statement at its sixth use, the server plans for good
        case.accept_many(30)
        case.accept(idempotency_key=case.new_id())
        case.accept(ordering_key="CLM-1")
        with store.outbox.transaction() as transaction:
            transaction.endpoints_of(ONE, ["cus_7"])
            transaction.add([case.new()], last=True)
        while lease := store.work.lease(DELIVERIES, limit=20, duration=timedelta(minutes=5)):
            store.endpoints.load_endpoints([(ONE, work.delivery.id) for work in lease.works])
            attempt = case.attempt(AttemptOutcome.SENT)
            store.work.record(
                [
                    case.outcome(lease, work, DeliveryStatus.SENT, attempt=attempt)
                    for work in lease.works
                ]
            )
            store.work.renew(
                lease.token,
                [work.delivery.id for work in lease.works],
                duration=timedelta(minutes=5),
            )
        assert case.lapsed(alone=True) is None
        # A lease when something waits for its time, first without a look at the lanes.
        case.accept()
        lease = case.lease()
        store.work.record([case.retry(lease, work, timedelta(hours=1)) for work in lease.works])
        store.work.recall(DELIVERIES, case.new().notification.deliveries[0], limit=9)
        store.work.next_due(DELIVERIES)
        store.work.counts()
    assert _scans(store) == before


def _scans(store: SqlStore) -> dict[str, int]:
    """Return how often each table was read whole."""
    store._engine.dispose()  # what a connection has counted is known when it is closed
    store._lease_engine.dispose()
    with store._engine.connect() as connection:
        return {row.relname: row.seq_scan for row in connection.execute(_SCANS)}
