"""What processes know of breakers: those that are open, however many others have a row; and which rows go."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event, func, select

from claimnotify.model.states import AttemptOutcome, DeliveryStatus, Reason
from claimnotify.policy.breaker import Trouble
from claimnotify.store import known_breakers
from claimnotify.store.store import SqlStore
from claimnotify.store.tables import breakers
from claimnotify.testing.store_contract.case import ONE, Case


@pytest.fixture
def stores(database_url: str) -> Iterator[list[SqlStore]]:
    """Two stores on one database, as two workers have them."""
    stores = [SqlStore(database_url, ring=lambda _queue: None) for _ in range(2)]
    stores[0].upgrade()
    yield stores
    for store in stores:
        store.close()


def fail(case: Case, endpoint_id: str) -> None:
    case.accept(endpoint_id=endpoint_id)
    lease = case.lease()
    case.store.work.record([case.retry(lease, lease.works[0])])


def succeed(case: Case, endpoint_id: str) -> None:
    case.accept(endpoint_id=endpoint_id)
    lease = case.lease()
    case.store.work.record([case.sent(lease, lease.works[0])])


def test_what_another_process_counted_is_known_a_second_later(stores: list[SqlStore]) -> None:
    first, second = (Case(store) for store in stores)
    endpoint = first.endpoint()
    assert stores[1].work.troubles() == {}
    fail(first, endpoint.id)
    stores[1].work.breakers.known.monotonic = lambda: time.monotonic() + 1.0
    succeed(second, endpoint.id)
    assert stores[0].work.trouble(ONE, endpoint.id) == Trouble()


def test_with_more_breakers_than_are_read_a_success_still_ends_its_own(
    stores: list[SqlStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(known_breakers, "_MOST_OTHERS", 1)
    first, second = (Case(store) for store in stores)
    endpoints = [first.endpoint() for _ in range(3)]
    for endpoint in endpoints:
        fail(first, endpoint.id)
    assert len(stores[1].work.troubles()) == 1
    for endpoint in endpoints:
        succeed(second, endpoint.id)
        assert stores[0].work.trouble(ONE, endpoint.id) == Trouble()


def count_failures(store: SqlStore, count: int, tenant: str = ONE) -> None:
    """Let there be rows as one failed attempt each leaves them."""
    now = store.clock.now()
    row = {"tenant": tenant, "failures": 1, "openings": 0, "release_size": 1}
    row |= {"failing_since": now, "failed_at": now}
    with store._engine.begin() as connection:
        rows = [{"id": f"{number:032x}", **row} for number in range(1, count + 1)]
        connection.execute(breakers.insert(), rows)


def overload(case: Case, endpoint_id: str) -> None:
    """Let an endpoint say that it has too much to do."""
    case.accept(endpoint_id=endpoint_id)
    lease = case.lease()
    attempt = case.attempt(AttemptOutcome.TRANSIENT)
    work, pause = lease.works[0], timedelta(minutes=9)
    case.store.work.record(
        [case.outcome(lease, work, DeliveryStatus.FAILED, attempt=attempt, pause_endpoint=pause)]
    )


def rows_of(store: SqlStore, *ids: str) -> int:
    query = select(func.count()).where(breakers.c.id.in_(ids))
    with store._engine.connect() as connection:
        return int(connection.execute(query).scalar_one())


def test_one_that_is_open_is_known_however_many_count_failures(stores: list[SqlStore]) -> None:
    first, second = (Case(store) for store in stores)
    count_failures(stores[0], 3_000)
    endpoint = first.endpoint()
    overload(first, endpoint.id)
    for store in stores:
        store.work.breakers.known._read_at = None
        known = store.work.troubles()
        assert known[endpoint.id].blocked(store.clock.now())
        assert len(known) < 1_500, "the read of each second stays small"
    succeed(second, endpoint.id)
    assert stores[0].work.trouble(ONE, endpoint.id) == Trouble()


def test_the_read_of_each_second_goes_by_an_index(stores: list[SqlStore]) -> None:
    store = stores[0]
    count_failures(store, 3_000)
    overload(Case(store), Case(store).endpoint().id)
    said: list[tuple[str, Any]] = []

    def note(_c: Any, _cur: Any, statement: str, values: Any, _ctx: Any, _many: bool) -> None:
        said.append((statement, values))

    with store._engine.connect() as connection:
        on_mariadb = connection.dialect.name == "mysql"
        connection.exec_driver_sql(
            "ANALYZE TABLE claimnotify_breakers" if on_mariadb else "ANALYZE"
        )
        connection.commit()
        event.listen(store._engine, "before_cursor_execute", note)
        store.work.breakers.known.read(connection)
        event.remove(store._engine, "before_cursor_execute", note)
        ((statement, values),) = said
        explain = "EXPLAIN QUERY PLAN" if connection.dialect.name == "sqlite" else "EXPLAIN"
        plan = connection.exec_driver_sql(f"{explain} {statement}", values).all()
    assert "claimnotify_ix_breakers_retry" in str(plan), plan


def test_the_row_of_an_endpoint_goes_with_it(stores: list[SqlStore]) -> None:
    store, case = stores[0], Case(stores[0])
    idle, busy = case.endpoint(), case.endpoint()
    fail(case, idle.id)
    assert rows_of(store, idle.id) == 1
    for endpoint in (idle, busy):
        case.accept(endpoint_id=endpoint.id)
    lease = case.lease()
    for endpoint in (idle, busy):
        assert store.endpoints.delete_endpoint(ONE, endpoint.id)
    # What was under way when they were deleted fails.
    store.work.record([case.retry(lease, work) for work in lease.works])
    assert rows_of(store, busy.id) == 0, "none is made for it"
    for _ in range(2):
        store.work.release()
    assert rows_of(store, idle.id) == 0


def test_what_failed_long_ago_and_got_nothing_since_is_forgotten(stores: list[SqlStore]) -> None:
    store, case = stores[0], Case(stores[0])
    count_failures(store, 700)
    waiting = case.endpoint()
    overload(case, waiting.id)
    case.accept_many(4, endpoint_id=waiting.id)
    lease = case.lease()
    until = store.clock.now() + timedelta(days=90)
    parked = (DeliveryStatus.PARKED, Reason.ENDPOINT_BLOCKED)
    store.work.record([case.outcome(lease, work, *parked, due_at=until) for work in lease.works])
    store.clock.shift(timedelta(days=29))
    ids = [f"{number:032x}" for number in range(1, 701)]
    store.work.release()
    assert rows_of(store, *ids) == 700
    store.clock.shift(timedelta(days=2))
    store.work.breakers.known.monotonic = lambda: time.monotonic() + 3600.0
    for _ in range(2):  # they go in batches
        store.work.release()
    assert rows_of(store, *ids) == 0
    assert rows_of(store, waiting.id) == 1
