"""What is MariaDB's own: which servers will do, migrations without transactions, strict inserts."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Table, create_engine, event, make_url, text
from sqlalchemy.exc import DBAPIError

from claimnotify.errors import ConfigurationError, SchemaMissing, StoreUnavailable
from claimnotify.store.engine import make_engine
from claimnotify.store.migrations import VERSION_TABLE
from claimnotify.store.schema import upgrade
from claimnotify.store.servers import check_server
from claimnotify.store.store import SqlStore
from claimnotify.store.tables import endpoint_keys, metadata, streams
from claimnotify.store.writing import insert_or_ignore


def run(*calls: Callable[[], Any]) -> list[BaseException]:
    """Run calls at the same time, and return what they raised."""
    errors: list[BaseException] = []

    def guarded(call: Callable[[], Any]) -> None:
        try:
            call()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    return errors


def test_a_missing_schema_names_the_remedy(mariadb_empty_url: str) -> None:
    store = SqlStore(mariadb_empty_url, ring=lambda _queue: None)
    with pytest.raises(SchemaMissing, match="claimnotify db upgrade"):
        store.check()
    store.close()


@pytest.mark.parametrize(
    ("mariadb", "version", "refused"),
    [
        (True, (10, 5, 26), True),
        (True, (10, 6, 0), False),
        (True, (11, 4, 2), False),
        (False, (5, 7, 44), True),
        (False, (8, 0, 11), True),
        (False, (8, 0, 17), False),
    ],
)
def test_a_server_that_is_too_old_is_refused(
    mariadb_url: str, mariadb: bool, version: tuple[int, ...], refused: bool
) -> None:
    """What SQLAlchemy read of the server's version decides."""
    engine = create_engine(mariadb_url)
    with engine.connect() as connection:
        dialect: Any = connection.dialect
        assert dialect.is_mariadb, "what is set below is what SQLAlchemy sets"
        assert dialect.server_version_info >= (10, 6)
        dialect.is_mariadb, dialect.server_version_info = mariadb, version
        if refused:
            with pytest.raises(ConfigurationError, match="or newer"):
                check_server(connection)
        else:
            check_server(connection)
    engine.dispose()


@pytest.mark.parametrize(
    ("logs", "how", "refused"),
    [(1, "STATEMENT", True), (1, "MIXED", False), (1, "ROW", False), (0, "STATEMENT", False)],
)
def test_a_server_that_logs_statements_for_replicas_is_refused(
    mariadb_url: str, logs: int, how: str, refused: bool
) -> None:
    """It refuses every write under READ COMMITTED. What the server answers is replaced here."""
    engine = create_engine(mariadb_url)

    @event.listens_for(engine, "before_cursor_execute", retval=True)
    def answer(_c: Any, _cur: Any, statement: str, values: Any, *_: Any) -> tuple[str, Any]:
        statement = statement.replace("@@log_bin", str(logs))
        return statement.replace("@@binlog_format", f"'{how}'"), values

    with engine.connect() as connection:
        if refused:
            with pytest.raises(ConfigurationError, match="binlog_format"):
                check_server(connection)
        else:
            check_server(connection)
    engine.dispose()


@pytest.mark.parametrize(
    ("wrong", "remedy"),
    [
        ({"database": "claimnotify_none"}, "Create the database"),
        ({"username": "claimnotify_nobody"}, "user"),
        ({"port": 1}, "Check that it runs"),
    ],
)
def test_what_cannot_be_reached_says_what_to_do(
    mariadb_url: str, wrong: dict[str, Any], remedy: str
) -> None:
    url = make_url(mariadb_url).set(**wrong)
    store = SqlStore(url.render_as_string(hide_password=False), ring=lambda _queue: None)
    with pytest.raises(StoreUnavailable, match=remedy):
        store.check()
    store.close()


def test_what_uses_a_connection_that_was_ended_says_so_and_the_next_gets_another(
    mariadb_url: str,
) -> None:
    store = SqlStore(mariadb_url, ring=lambda _queue: None, pool_size=1)
    store.upgrade()
    observer = create_engine(mariadb_url)

    def read() -> int:
        return store.inbox.count("t", "r", mark="read_at")

    def write() -> int:
        return store.inbox.mark("t", "r", "read_at", None)

    for use in (read, write):
        assert use() == 0
        with store._engine.connect() as ended:
            dbapi_connection: Any = ended.connection
            number = dbapi_connection.thread_id()
        with observer.connect() as connection:
            connection.execute(text(f"KILL {number:d}"))
        with pytest.raises(StoreUnavailable, match=r"2013|2006|1927"):
            use()
        assert use() == 0
    observer.dispose()
    store.close()


def test_many_may_migrate_at_once(mariadb_empty_url: str) -> None:
    stores = [SqlStore(mariadb_empty_url, ring=lambda _queue: None) for _ in range(4)]
    assert run(*(store.upgrade for store in stores)) == []
    stores[0].check()
    for store in stores:
        store.close()


def test_a_migration_that_is_broken_off_again_and_again_goes_on(mariadb_empty_url: str) -> None:
    """Its connection is ended after each change of a table; another upgrade takes the next step."""
    url = make_url(mariadb_empty_url)
    patient, observer = make_engine(url, patient=True), create_engine(url)
    changes: list[str] = []
    in_the_way = True

    @event.listens_for(patient, "after_cursor_execute")
    def end(connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        if in_the_way and statement.lstrip().startswith(("CREATE ", "ALTER ", "DROP ")):
            changes.append(statement)
            with observer.connect() as other:
                other.execute(text(f"KILL {connection.connection.thread_id():d}"))

    for _ in range(100):
        try:
            upgrade(patient)
        except StoreUnavailable:
            continue
        break
    in_the_way = False
    assert len(changes) == len(set(changes)) > 30, "each step is taken once"
    with observer.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
        assert compare_metadata(context, metadata) == []
    store = SqlStore(mariadb_empty_url, ring=lambda _queue: None)
    store.check()
    store.close()
    observer.dispose()
    patient.dispose()


def test_an_upgrade_leaves_what_is_there(mariadb_url: str) -> None:
    """Even where the row is missing by which a store is known."""
    store = SqlStore(mariadb_url, ring=lambda _queue: None)
    store.upgrade()
    engine = create_engine(mariadb_url)
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM claimnotify_meta"))
        connection.execute(text("INSERT INTO claimnotify_streams VALUES ('kept', 't', 1)"))
    store.upgrade()
    store.check()
    with engine.begin() as connection:
        assert connection.execute(text("SELECT id FROM claimnotify_streams")).scalar() == "kept"
    engine.dispose()
    store.close()


@pytest.mark.parametrize(
    "url", ["mysql://u:p@h/n", "mariadb://u:p@h/n", "mysql+asyncmy://u:p@h/n", "mysql+aiomysql://u:p@h/n"]
)  # fmt: skip
def test_other_drivers_urls_mean_the_same_database(url: str) -> None:
    store = SqlStore(url, ring=lambda _queue: None)
    assert store.describe() == "mysql+pymysql://u:***@h/n"
    store.close()


def test_a_driver_we_do_not_know_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="mysql\\+mysqldb"):
        SqlStore("mysql+mysqldb://h/n", ring=lambda _queue: None)


@pytest.mark.parametrize(
    ("table", "row"),
    [
        (streams, {"id": "x" * 33, "tenant": "t", "last_seq": 1}),
        (streams, {"id": "x", "tenant": None, "last_seq": 1}),
        (streams, {"id": "x", "tenant": "t", "last_seq": 2**63}),
        (endpoint_keys, {"id": "x", "tenant": "t", "endpoint_id": "none", "ciphertext": "", "created_at": datetime(2026, 1, 1, tzinfo=UTC)}),
    ],
    ids=["too long", "missing", "too large", "without parent"],
)  # fmt: skip
def test_an_insert_that_leaves_duplicates_alone_refuses_all_else(
    mariadb_url: str, table: Table, row: dict[str, Any]
) -> None:
    """As INSERT IGNORE does not, which cuts off what is too long and drops what has no parent."""
    store = SqlStore(mariadb_url, ring=lambda _queue: None)
    store.upgrade()
    with pytest.raises(DBAPIError), store._engine.begin() as connection:
        connection.execute(insert_or_ignore(table, connection), row)
    with store._engine.begin() as connection:
        # It gets through there, with no more than a warning.
        ignoring = table.insert().prefix_with("IGNORE")
        connection.execute(ignoring, row)
        connection.rollback()
    store.close()
