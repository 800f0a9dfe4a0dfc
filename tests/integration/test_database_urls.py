"""What is wrong with a database's URL, or with the rights of its user, is said in our own words."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, make_url, text

from claimnotify import Event, Notifier, Recipient
from claimnotify.errors import ConfigurationError, StoreUnavailable
from claimnotify.store.store import SqlStore

_SERVERS = ("postgresql://somebody@localhost/some", "mysql://somebody@localhost/some")


class RightWanted(Event, type="right.wanted", channels=("in_app",)):
    """What is to be written."""


def store(url: str) -> SqlStore:
    return SqlStore(url, ring=lambda _queue: None)


@pytest.mark.parametrize(
    "query",
    [
        "nope=hush",
        "timeout=nan",
        "timeout=-1",
        "timeout=hush",
        "cached_statements=hush",
        "cached_statements=99999999999999999999",
        "cached_statements=5&nope=hush",
    ],
)
def test_an_option_that_sqlite_does_not_take_is_refused(tmp_path: Path, query: str) -> None:
    with pytest.raises(ConfigurationError, match="driver pysqlite does not take") as caught:
        store(f"sqlite:///{tmp_path}/some.db?{query}")
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize("url", _SERVERS)
@pytest.mark.parametrize("query", ["nope=hush", "connect_timeout=5&nope=hush"])
def test_an_option_that_a_servers_driver_does_not_take_is_refused(url: str, query: str) -> None:
    with pytest.raises(ConfigurationError, match=r"does not take .*: .*nope") as caught:
        store(f"{url}?{query}")
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "mysql://localhost/some?read_timeout=soon",
        "mysql://localhost/some?port=x",
        "mysql://localhost/some?compress=1",
        "mysql://localhost/some?cursorclass=x",
        "mysql://localhost/some?ssl_ca=/no/such.pem",
        "mysql://localhost/some?charset=latin1",
        "mysql://localhost/some?init_command=SELECT",
        "postgresql://localhost/some?prepare_threshold=5",
        "postgresql://localhost/some?options=-ca%3D1&options=-cb%3D2",
        "postgresql:///some?host=127.0.0.1&port=abc",
        "postgresql:///some?host=a,b&port=5432",
    ],
)
def test_what_a_driver_cannot_use_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="does not take these options"):
        store(url)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://localhost/some?application_name=app&sslmode=prefer&connect_timeout=30",
        "mysql://somebody@localhost/some?charset=utf8mb4&connect_timeout=3",
    ],
)
def test_options_that_drivers_take_are_taken(url: str) -> None:
    store(url).close()


def test_options_that_sqlite_takes_are_taken(tmp_path: Path) -> None:
    kept = store(f"sqlite:///{tmp_path}/some.db?cached_statements=50&timeout=7")
    other = store(f"sqlite:///{tmp_path}/some.db?check_same_thread=true")
    waits = []
    for each in (kept, other):
        with each._engine.connect() as connection:
            waits.append(connection.execute(text("PRAGMA busy_timeout")).scalar())
        each.close()
    assert waits == [7000, 5000]


def test_options_of_postgresql_are_kept_beside_ours(postgres_url: str) -> None:
    kept = store(f"{postgres_url}?options=-c%20work_mem%3D7MB&connect_timeout=30")
    with kept._engine.connect() as connection:
        shown = [
            connection.execute(text(f"SHOW {name}")).scalar()
            for name in ("work_mem", "timezone", "enable_seqscan")
        ]
        timeout = connection.connection.driver_connection.info.get_parameters()["connect_timeout"]
    kept.close()
    assert (shown, timeout) == (["7MB", "UTC", "off"], "30")


@pytest.fixture
def poor_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of a database with our tables, which its user may read and not write."""
    url = make_url(request.getfixturevalue(request.param))
    store(url.render_as_string(hide_password=False)).upgrade()
    name = f"poor_{uuid.uuid4().hex[:12]}"
    postgres = url.get_backend_name() == "postgresql"
    if postgres:
        begin = [
            f"CREATE ROLE {name} LOGIN",
            f"GRANT USAGE ON SCHEMA public TO {name}",
            f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {name}",
        ]
        end = [f"DROP OWNED BY {name}", f"DROP ROLE {name}"]
    else:
        user = f"'{name}'@'%'"
        begin = [
            f"CREATE USER {user} IDENTIFIED BY 'poor'",
            f"GRANT SELECT ON `{url.database}`.* TO {user}",
        ]
        end = [f"DROP USER {user}"]
    engine = create_engine(url)
    try:
        _run(engine, begin)
        poor = url.set(username=name, password=None if postgres else "poor")
        yield poor.render_as_string(hide_password=False)
    finally:
        _run(engine, end)
        engine.dispose()


@pytest.mark.parametrize("poor_url", ["postgres_url", "mariadb_url"], indirect=True)
def test_a_user_who_may_not_write_is_told_of_rights_and_goes_on_with_them(
    poor_url: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    poor = make_url(poor_url)
    name = "mariadb_url" if poor.get_backend_name() == "mysql" else "postgres_url"
    with notifier(poor_url, tmp_path) as told:
        with pytest.raises(StoreUnavailable, match="rights: SELECT, INSERT"):
            told.notify(RightWanted(), to=Recipient(id="cus_7"))
        engine = create_engine(request.getfixturevalue(name))
        rights = "SELECT, INSERT, UPDATE, DELETE ON"
        if name == "mariadb_url":
            _run(engine, [f"GRANT {rights} `{poor.database}`.* TO '{poor.username}'@'%'"])
        else:
            _run(engine, [f"GRANT {rights} ALL TABLES IN SCHEMA public TO {poor.username}"])
        engine.dispose()
        assert told.notify(RightWanted(), to=Recipient(id="cus_7")).id


@pytest.mark.parametrize("poor_url", ["postgres_url"], indirect=True)
def test_a_schema_that_may_not_be_used_is_told_from_a_missing_one(
    poor_url: str, tmp_path: Path, postgres_url: str
) -> None:
    engine = create_engine(postgres_url)
    _run(engine, [f"REVOKE USAGE ON SCHEMA public FROM {make_url(poor_url).username}"])
    engine.dispose()
    with notifier(poor_url, tmp_path) as told, pytest.raises(StoreUnavailable, match="USAGE"):
        told.notify(RightWanted(), to=Recipient(id="cus_7"))


def test_a_database_that_is_read_only_is_told_as_one(postgres_url: str, tmp_path: Path) -> None:
    store(postgres_url).upgrade()
    url = f"{postgres_url}?options=-c%20default_transaction_read_only%3Don"
    with notifier(url, tmp_path) as told, pytest.raises(StoreUnavailable, match="may be written"):
        told.notify(RightWanted(), to=Recipient(id="cus_7"))


def notifier(url: str, folder: Path) -> Notifier:
    return Notifier.from_settings(
        database_url=url,
        queue_url=f"sqlite:///{folder}/queue.db",
        secret_keys="a-key-of-more-than-thirty-two-characters",
    )


def _run(engine: Engine, statements: list[str]) -> None:
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))
