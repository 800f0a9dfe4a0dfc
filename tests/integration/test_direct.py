"""Statements past SQLAlchemy give the rows and raise the errors that SQLAlchemy would."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Connection, bindparam, create_engine, select, text
from sqlalchemy.exc import IntegrityError

from claimnotify.errors import StoreUnavailable
from claimnotify.store.direct import run, select_rows
from claimnotify.store.store import SqlStore
from claimnotify.store.tables import endpoints
from claimnotify.store.transactions import begin_now, beginning_late, reading, writing
from claimnotify.store.writing import insert_rows

_QUERY = select(endpoints).where(endpoints.c.owner == bindparam("owner")).order_by(endpoints.c.id)
_SECRET = "not-to-be-told"


@pytest.fixture
def store(database_url: str) -> Iterator[SqlStore]:
    store = SqlStore(database_url, ring=lambda _queue: None)
    store.upgrade()
    yield store
    store.close()


def _row(number: int, **values: object) -> dict[str, object]:
    return {
        "id": f"{number:032x}",
        "tenant": "acme",
        "owner": "cus_7",
        "url": f"https://example.com/{number}",
        "event_types": '["*"]',
        "description": "größer als 'das' %s ? :x",
        "enabled": number % 2 == 0,
        "rate_limit": "",
        "created_at": datetime(2026, 3, 1, 12, 0, 0, number, tzinfo=UTC),
        **values,
    }


@pytest.mark.parametrize("count", [1, 3])
def test_rows_come_back_as_they_were_and_as_sqlalchemy_reads_them(
    store: SqlStore, count: int
) -> None:
    rows = [_row(number) for number in range(count)]
    with writing(store._engine) as connection:
        insert_rows(connection, endpoints, rows)
    with reading(store._engine) as connection:
        ours = select_rows(connection, _QUERY, {"owner": "cus_7"})
        theirs = connection.execute(_QUERY, {"owner": "cus_7"}).all()
    assert [row._asdict() for row in ours] == [row._asdict() for row in theirs]
    for row, given in zip(ours, rows, strict=True):
        assert {name: row._asdict()[name] for name in given} == given


def test_a_connection_of_others_is_left_to_sqlalchemy(store: SqlStore, database_url: str) -> None:
    engine = create_engine(database_url)
    with engine.begin() as connection:
        insert_rows(connection, endpoints, [_row(1)])
        insert_rows(connection, endpoints, [_row(2), _row(3)])
        assert len(select_rows(connection, _QUERY, {"owner": "cus_7"})) == 3
    engine.dispose()


def test_a_conflict_is_sqlalchemys_error_and_undone(store: SqlStore) -> None:
    def twice(connection: Connection) -> None:
        insert_rows(connection, endpoints, [_row(1)])
        insert_rows(connection, endpoints, [_row(2, owner=_SECRET), _row(1)])

    with pytest.raises(IntegrityError) as raised, writing(store._engine) as connection:
        twice(connection)
    assert _SECRET not in str(raised.value)
    with reading(store._engine) as connection:
        assert select_rows(connection, _QUERY, {"owner": "cus_7"}) == []


def test_what_begins_late_is_undone_as_well(store: SqlStore) -> None:
    def fail() -> None:
        with beginning_late(store._engine) as connection:
            assert select_rows(connection, _QUERY, {"owner": "cus_7"}) == []
            begin_now(connection)
            insert_rows(connection, endpoints, [_row(1)])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    with beginning_late(store._engine) as connection:
        assert select_rows(connection, _QUERY, {"owner": "cus_7"}) == []
        begin_now(connection)
        insert_rows(connection, endpoints, [_row(1)])
    with reading(store._engine) as connection:
        assert len(select_rows(connection, _QUERY, {"owner": "cus_7"})) == 1


def test_a_dead_connection_is_unavailable_and_replaced(
    postgres_url: str,
) -> None:
    store = SqlStore(postgres_url, ring=lambda _queue: None)
    store.upgrade()

    def on_a_dead_one(connection: Connection) -> None:
        pid = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
        other = create_engine(postgres_url, isolation_level="AUTOCOMMIT")
        with other.connect() as killer:
            killer.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": pid})
        other.dispose()
        run(connection, "SELECT 1", ())

    with pytest.raises(StoreUnavailable), reading(store._engine) as connection:
        on_a_dead_one(connection)
    with reading(store._engine) as connection:
        assert run(connection, "SELECT 1", ()).fetchone() == (1,)
    store.close()


def test_a_locked_database_is_unavailable(tmp_path: Path) -> None:
    store = SqlStore(f"sqlite:///{tmp_path / 'x.db'}", ring=lambda _queue: None)
    store.upgrade()
    with reading(store._engine) as connection:
        run(connection, "PRAGMA busy_timeout=50", ())  # of the one connection in the pool
    with closing(sqlite3.connect(tmp_path / "x.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable, match="locked"), writing(store._engine):
            pytest.fail("it must not begin")
        other.execute("ROLLBACK")
    with writing(store._engine) as connection:
        insert_rows(connection, endpoints, [_row(1)])
    store.close()
