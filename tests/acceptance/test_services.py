"""A service that cannot be reached skips a user's tests and fails those of CI."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.ports import free_port

_ROOT = Path(__file__).parents[2]
_CONFTEST = _ROOT / "tests" / "conftest.py"
_TESTS = """
def test_needs_postgres(postgres_url): pass
def test_needs_mariadb(mariadb_url): pass
def test_needs_redis(redis_url): pass
"""


@pytest.fixture(scope="module")
def seen() -> dict[str, set[str]]:
    """What an earlier test of this module saw."""
    return {}


@pytest.mark.parametrize(
    ("required", "expected"),
    [
        ("", "3 skipped"),  # on a user's machine
        ("1", "3 errors"),  # in continuous integration
    ],
)
def test_missing_services_skip_or_fail(tmp_path: Path, required: str, expected: str) -> None:
    (tmp_path / "conftest.py").write_text(_CONFTEST.read_text())
    (tmp_path / "test_needs.py").write_text(_TESTS)
    address = f"127.0.0.1:{free_port()}"
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)],
        cwd=tmp_path,
        env={
            **os.environ,
            "PYTHONPATH": str(_ROOT),
            "CLAIMNOTIFY_REQUIRE_SERVICES": required,
            "CLAIMNOTIFY_TEST_POSTGRES_URL": f"postgresql+psycopg://postgres@{address}/postgres",
            "CLAIMNOTIFY_TEST_MARIADB_URL": f"mysql+pymysql://root@{address}/mysql",
            "CLAIMNOTIFY_TEST_REDIS_URL": f"redis://{address}",
        },
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.stdout.splitlines()[-1].startswith(expected), result.stdout
    assert (result.returncode != 0) == (required == "1")


@pytest.mark.parametrize("turn", [1, 2])
def test_each_test_gets_a_database_without_a_row(database_url: str, turn: int) -> None:
    """Our tables, which take long to make, are kept, and what says that they are there."""
    from sqlalchemy import create_engine, inspect, text

    kept = ("_meta", "_alembic_version")
    engine = create_engine(database_url)
    tables = [name for name in inspect(engine).get_table_names() if not name.endswith(kept)]
    with engine.begin() as connection:
        for name in tables:
            assert connection.execute(text(f"SELECT count(*) FROM {name}")).scalar() == 0, name
        connection.execute(text("CREATE TABLE IF NOT EXISTS left_over (id INTEGER)"))
        connection.execute(text("INSERT INTO left_over VALUES (1)"))
    engine.dispose()


@pytest.mark.parametrize("turn", [1, 2])
@pytest.mark.parametrize("fixture", ["sqlite_ready_url", "postgres_ready_url"])
def test_a_database_with_tables_is_ready_and_a_store_of_its_own(
    request: pytest.FixtureRequest, fixture: str, turn: int, seen: dict[str, set[str]]
) -> None:
    """Also after a test that wrote rows and tables, or took away a table of ours."""
    from sqlalchemy import create_engine, inspect, text

    from claimnotify.store.store import SqlStore

    url = request.getfixturevalue(fixture)
    store = SqlStore(url, ring=lambda _queue: None)
    store.check()
    store.close()
    engine = create_engine(url)
    with engine.begin() as connection:
        assert not inspect(connection).has_table("left_over")
        meta = connection.execute(text("SELECT name, value FROM claimnotify_meta")).all()
        ((name, number),) = meta
        assert name == "store_id"
        assert number not in seen.setdefault(fixture, set())
        seen[fixture].add(number)
        connection.execute(text("CREATE TABLE left_over (id INTEGER)"))
        connection.execute(text("DROP TABLE claimnotify_attempts"))
    engine.dispose()


@pytest.mark.parametrize("turn", [1, 2])
def test_nothing_is_left_from_the_test_before(postgres_url: str, redis_url: str, turn: int) -> None:
    import psycopg
    import redis

    with redis.Redis.from_url(redis_url) as client:
        assert client.get("left_over") is None
        client.set("left_over", turn)
    with psycopg.connect(postgres_url.replace("+psycopg", "", 1)) as connection:
        assert connection.execute("SELECT to_regclass('left_over')").fetchone() == (None,)
        connection.execute("CREATE TABLE left_over (id INTEGER)")
