"""No statement of a replay, a recovery, an expunge or the log of attempts reads what is not concerned."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import event

from claimnotify.delivery.replay import Replayer
from claimnotify.model.endpoints import Endpoint
from claimnotify.model.states import AttemptOutcome, DeliveryStatus, Reason
from claimnotify.store.store import SqlStore
from claimnotify.testing.store_contract.case import ONE, Case
from claimnotify.testing.store_contract.webhooks import NOBODY, Webhooks

BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)
OTHERS = 1_500
MINE = 5
_MOST_ROWS = 60
_TABLES = ("deliveries", "attempts", "notifications", "inbox_items", "attachments", "endpoints")


@pytest.fixture
def store(database_url: str) -> Iterator[SqlStore]:
    """A store with a history of others, each delivery of which had an attempt."""
    store = SqlStore(database_url, ring=lambda _queue: None)
    store.upgrade()
    case = Case(store)
    other = case.endpoint(owner="other")
    options: dict[str, Any] = {"channel": "webhook", "endpoint_id": other.id, "owner": "other"}
    case.accept_many(OTHERS, **options)
    while not case.all_ended():
        lease = case.lease(limit=500)
        attempt = case.attempt(AttemptOutcome.PERMANENT)
        failed = (DeliveryStatus.FAILED, Reason.EXHAUSTED)
        store.work.record(
            [case.outcome(lease, work, *failed, attempt=attempt) for work in lease.works]
        )
    with store._engine.begin() as connection:
        if connection.dialect.name == "mysql":
            names = ", ".join(f"claimnotify_{name}" for name in _TABLES)
            connection.exec_driver_sql(f"ANALYZE TABLE {names}").all()
        else:
            connection.exec_driver_sql("ANALYZE")
    yield store
    store.close()


Statement = tuple[str, Any]


@pytest.fixture
def said(store: SqlStore) -> list[Statement]:
    """Every statement that is run, with its parameters."""
    said: list[Statement] = []

    def note(_c: Any, _cur: Any, statement: str, values: Any, _ctx: Any, many: bool) -> None:
        if not many and statement.startswith(("SELECT", "UPDATE", "DELETE", "WITH")):
            said.append((statement, values))

    event.listen(store._engine, "before_cursor_execute", note)
    return said


def plan(store: SqlStore, statement: str, values: Any) -> list[str]:
    """Return what a statement does that reads more than it should."""
    connection = store._engine.raw_connection()
    cursor = connection.cursor()
    try:
        if store.url.get_backend_name() == "postgresql":
            cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", values)
            found = cursor.fetchone()
            assert found is not None
            tree = found[0] if isinstance(found[0], list) else json.loads(found[0])
            return [
                f"{node['Node Type']} reads {rows:.0f}"
                for node in _nodes(tree[0]["Plan"])
                if (rows := _read(node)) > _MOST_ROWS
            ]
        if store.url.get_backend_name() == "sqlite":
            cursor.execute(f"EXPLAIN QUERY PLAN {statement}", values)
            lines = [row[3] for row in cursor.fetchall()]
            return [line for line in lines if line.startswith("SCAN claimnotify_")]
        cursor.execute(f"EXPLAIN {statement}", values)
        heads = [each[0] for each in cursor.description]
        rows = [dict(zip(heads, row, strict=True)) for row in cursor.fetchall()]
        return [
            f"{row['type']} of {row['table']} reads {row['rows']}"
            for row in rows
            if row["type"] in ("ALL", "index") and int(row["rows"] or 0) > _MOST_ROWS
        ]
    finally:
        connection.rollback()
        connection.close()


def _nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for each in node.get("Plans", ()):
        yield from _nodes(each)


def _read(node: dict[str, Any]) -> float:
    """Return how many rows a scan looked at."""
    names = ("Actual Rows", "Rows Removed by Filter", "Rows Removed by Index Recheck")
    return float(sum(node.get(name, 0) for name in names) * node["Actual Loops"])


def _replay(store: SqlStore, case: Case, replayer: Replayer, endpoint: Endpoint) -> None:
    note = store.journal.history(ONE, recipient="cus_7")[-1]
    replayer.replay(note.deliveries[0].id, tenant=ONE)


def _expunge(store: SqlStore, case: Case, replayer: Replayer, endpoint: Endpoint) -> None:
    note = store.journal.history(ONE, recipient="cus_7")[-1]
    replayer.expunge(note.id, tenant=ONE)


def _recover(store: SqlStore, case: Case, replayer: Replayer, endpoint: Endpoint) -> None:
    found = replayer.recover(endpoint, since=BEGINNING, until=None, limit=100)
    assert found.replayed == MINE


def _miss(store: SqlStore, case: Case, replayer: Replayer, endpoint: Endpoint) -> None:
    late = case.endpoint()
    found = replayer.replay_missing(late, since=BEGINNING, until=None, limit=100)
    assert found.replayed == MINE + 1


def _log(store: SqlStore, case: Case, replayer: Replayer, endpoint: Endpoint) -> None:
    read = store.journal.attempts
    page = read(ONE, endpoint.id, limit=2)
    assert len(page) == 2
    for options in (
        {"before": page[-1].id},
        {"status": DeliveryStatus.FAILED},
        {"succeeded": False},
        {"event_type": "claim.approved"},
    ):
        assert read(ONE, endpoint.id, **options), options  # type: ignore[arg-type]
    assert store.journal.delivery(ONE, page[0].delivery_id)


def _come_back(store: SqlStore, case: Case, replayer: Replayer, endpoint: Endpoint) -> None:
    """What a send under way brings back of what was expunged meanwhile."""
    note = case.accept()
    lease = case.lease()
    replayer.expunge(note.id, tenant=ONE)
    store.work.keep_content(lease.token, {lease.works[0].delivery.id: "{}"})
    outcome = case.sent(lease, lease.works[0])
    store.work.record([outcome, replace(outcome, token="0" * 32)])


@pytest.mark.parametrize("call", [_replay, _expunge, _recover, _miss, _log, _come_back])
def test_every_statement_finds_its_rows_by_an_index(
    store: SqlStore, said: list[Statement], call: Callable[..., None]
) -> None:
    case = Case(store)
    webhooks, endpoint = Webhooks(case), case.endpoint()
    for _ in range(MINE):
        webhooks.failed(endpoint)
    webhooks.accept(NOBODY)
    said.clear()
    call(store, case, webhooks.replayer, endpoint)
    statements = [(text, values) for text, values in said if "claimnotify_meta" not in text]
    assert statements
    for text, values in statements:
        assert not plan(store, text, values), text


def test_the_log_of_one_failure_among_many_successes_is_read_in_few_statements(
    store: SqlStore, said: list[Statement]
) -> None:
    """Otherwise an endpoint that works well would be slow to look at."""
    case = Case(store)
    webhooks, endpoint = Webhooks(case), case.endpoint()
    failed = webhooks.failed(endpoint)
    case.accept_many(OTHERS, channel="webhook", endpoint_id=endpoint.id)
    while not case.all_ended():
        lease = case.lease(limit=500)
        store.work.record([case.sent(lease, work) for work in lease.works])
    said.clear()
    (found,) = store.journal.attempts(ONE, endpoint.id, succeeded=False)
    assert found.notification_id == failed.id
    assert len(said) <= 6, "two for each of 200, 800 and 3,200 deliveries"
    assert len(store.journal.attempts(ONE, endpoint.id, succeeded=True, limit=1_300)) == 1_300
