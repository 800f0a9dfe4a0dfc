"""What a database says of its schema decides what we say to do about it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import create_engine, event, text

from claimnotify.errors import ConfigurationError, SchemaMissing
from claimnotify.store.migrations import HEAD, VERSION_TABLE
from claimnotify.store.store import SqlStore

Execute = Callable[..., None]

_FOUND_AGAIN = (
    f"CREATE TABLE IF NOT EXISTS {VERSION_TABLE} (version_num VARCHAR(32) PRIMARY KEY)",
    f"DELETE FROM {VERSION_TABLE}",
    f"INSERT INTO {VERSION_TABLE} VALUES ('{HEAD}')",
)


@pytest.fixture(
    params=[
        ("sqlite", "sqlite_url"),
        ("postgresql", "postgres_url"),
        ("mariadb", "mariadb_empty_url"),
    ],
    ids=lambda pair: str(pair[0]),
)
def empty_url(request: pytest.FixtureRequest) -> str:
    """The URL of a database without a table: SQLite, PostgreSQL, MariaDB."""
    return str(request.getfixturevalue(request.param[1]))


def _upgraded(url: str) -> None:
    store = SqlStore(url, ring=lambda _queue: None)
    store.upgrade()
    store.close()


@pytest.fixture
def execute(empty_url: str) -> Iterator[Execute]:
    """Executes statements on a database that was upgraded once; it is as it was after the test."""
    engine = create_engine(empty_url)
    _upgraded(empty_url)

    def run(*statements: str) -> None:
        with engine.begin() as connection:
            for statement in statements:
                connection.execute(text(statement))

    yield run
    run(*_FOUND_AGAIN)
    engine.dispose()


def _refusals(url: str) -> list[str]:
    """Return what a worker or `status` is told, and what an upgrade is."""
    told = []
    for use in (SqlStore.check, SqlStore.upgrade):
        store = SqlStore(url, ring=lambda _queue: None)
        with pytest.raises(SchemaMissing) as refused:
            use(store)
        store.close()
        assert refused.value.field == "database_url"
        assert refused.value.remedy
        told.append(str(refused.value))
    return told


def test_a_newer_schema_asks_at_once_for_a_newer_package(empty_url: str, execute: Execute) -> None:
    execute(f"UPDATE {VERSION_TABLE} SET version_num = '9999'")
    for told in _refusals(empty_url):
        assert "is at 9999" in told
        assert "Upgrade the claimnotify package." in told
        assert "db upgrade" not in told


@pytest.mark.parametrize("lost", [f"DROP TABLE {VERSION_TABLE}", f"DELETE FROM {VERSION_TABLE}"])
def test_tables_that_lost_their_revision_say_so(
    empty_url: str, execute: Execute, lost: str
) -> None:
    execute(lost)
    for told in _refusals(empty_url):
        assert f"has our tables, and the table {VERSION_TABLE} does not say" in told
        assert "backup" in told
        assert "CREATE TABLE" not in told
    execute(*_FOUND_AGAIN)
    store = SqlStore(empty_url, ring=lambda _queue: None)
    store.upgrade()
    store.check()
    store.close()


def test_a_revision_beside_another_says_what_to_do(empty_url: str, execute: Execute) -> None:
    execute(
        f"DELETE FROM {VERSION_TABLE}",
        f"INSERT INTO {VERSION_TABLE} VALUES ('0001')",
        f"INSERT INTO {VERSION_TABLE} VALUES ('{HEAD}')",
    )
    store = SqlStore(empty_url, ring=lambda _queue: None)
    with pytest.raises(SchemaMissing, match="backup"):
        store.upgrade()
    store.close()


def test_an_older_schema_asks_for_an_upgrade(postgres_url: str) -> None:
    _upgraded(postgres_url)
    engine = create_engine(postgres_url)
    with engine.begin() as connection:
        connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '0001'"))
    engine.dispose()
    store = SqlStore(postgres_url, ring=lambda _queue: None)
    with pytest.raises(SchemaMissing, match=rf"is at 0001, this version needs {HEAD}") as refused:
        store.check()
    assert "claimnotify db upgrade" in refused.value.remedy
    store.close()


@pytest.mark.parametrize("moment", [1, 2, 3])
def test_tables_that_are_made_at_this_moment_have_not_lost_their_revision(
    postgres_url: str, moment: int
) -> None:
    """Another process makes them between two looks of ours."""
    store = SqlStore(postgres_url, ring=lambda _queue: None)
    looks = 0

    @event.listens_for(store._engine, "after_cursor_execute")
    def looked(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        nonlocal looks
        looks += "pg_class" in statement
        if looks == moment:
            looks += 1
            _upgraded(postgres_url)

    store.check()
    assert looks > moment
    store.close()


def test_a_change_that_the_database_refuses_is_one_clear_error(postgres_url: str) -> None:
    """Something that is no table has the name of one, as an example."""
    engine = create_engine(postgres_url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TYPE claimnotify_endpoints AS (id text)"))
    engine.dispose()
    store = SqlStore(postgres_url, ring=lambda _queue: None)
    with pytest.raises(ConfigurationError, match=r"refuses .*claimnotify_endpoints") as refused:
        store.upgrade()
    store.close()
    assert "CREATE TABLE" not in str(refused.value)
    assert "rights" in refused.value.remedy
