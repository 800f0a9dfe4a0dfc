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


@pytest.mark.parametrize("query", ["nope=hush", "timeout=hush", "timeout=5&nope=hush"])
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


def test_a_value_that_a_driver_cannot_read_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"does not take .*: read_timeout"):
        store("mysql://somebody@localhost/some?read_timeout=soon")


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://localhost/some?application_name=app&sslmode=prefer&prepare_threshold=5",
        "mysql://somebody@localhost/some?charset=utf8mb4&connect_timeout=3",
    ],
)
def test_options_that_drivers_take_are_taken(url: str) -> None:
    store(url).close()


def test_options_that_sqlite_takes_are_taken(tmp_path: Path) -> None:
    store(f"sqlite:///{tmp_path}/some.db?timeout=3&cached_statements=50").close()


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
def test_a_user_who_may_not_write_is_told_of_rights(poor_url: str, tmp_path: Path) -> None:
    notifier = Notifier.from_settings(
        database_url=poor_url,
        queue_url=f"sqlite:///{tmp_path}/queue.db",
        secret_keys="a-key-of-more-than-thirty-two-characters",
    )
    with notifier, pytest.raises(StoreUnavailable, match="rights: SELECT, INSERT"):
        notifier.notify(RightWanted(), to=Recipient(id="cus_7"))


def _run(engine: Engine, statements: list[str]) -> None:
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))
