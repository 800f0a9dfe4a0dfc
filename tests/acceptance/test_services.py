"""A service that cannot be reached skips a user's tests and fails those of CI."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

_CONFTEST = Path(__file__).parents[1] / "conftest.py"
_TESTS = """
def test_needs_postgres(postgres_url): pass
def test_needs_mariadb(mariadb_url): pass
def test_needs_redis(redis_url): pass
"""


@pytest.fixture
def closed_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@pytest.mark.parametrize(
    ("required", "expected"),
    [
        ("", "3 skipped"),  # on a user's machine
        ("1", "3 errors"),  # in continuous integration
    ],
)
def test_missing_services_skip_or_fail(
    tmp_path: Path, closed_port: int, required: str, expected: str
) -> None:
    (tmp_path / "conftest.py").write_text(_CONFTEST.read_text())
    (tmp_path / "test_needs.py").write_text(_TESTS)
    address = f"127.0.0.1:{closed_port}"
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)],
        cwd=tmp_path,
        env={
            **os.environ,
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
def test_each_test_gets_an_empty_database(database_url: str, turn: int) -> None:
    """MariaDB's keeps its tables, which take long to make, and what says that they are there."""
    from sqlalchemy import create_engine, inspect, text

    engine = create_engine(database_url)
    tables = inspect(engine).get_table_names()
    if database_url.startswith("mysql"):
        tables = [name for name in tables if not name.endswith(("_meta", "_alembic_version"))]
        with engine.connect() as connection:
            counts = [connection.execute(text(f"SELECT count(*) FROM {name}")) for name in tables]
            assert sum(count.scalar_one() for count in counts) == 0
    else:
        assert tables == []
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE IF NOT EXISTS left_over (id INTEGER)"))
        connection.execute(text("INSERT INTO left_over VALUES (1)"))
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
