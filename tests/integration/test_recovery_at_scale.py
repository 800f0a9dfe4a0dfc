"""Recoveries of many, by several processes, cut off in between, and in sessions whose view is old."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
import tracemalloc
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import create_engine, event, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from claimnotify.delivery.replay import Replayer
from claimnotify.model.endpoints import Endpoint
from claimnotify.model.ids import IdSource
from claimnotify.model.replays import Recovery
from claimnotify.model.states import DeliveryStatus, Reason
from claimnotify.store.store import SqlStore
from claimnotify.testing.store_contract.case import ONE, Case
from claimnotify.testing.store_contract.webhooks import NOBODY, Webhooks, skipped

BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)
FAILED = (DeliveryStatus.FAILED, Reason.EXHAUSTED)
_MOST_PARAMETERS = 1_100
_MOST_BYTES = 6_000_000  # of ten thousand deliveries alone it would be twice that

RECOVER = """
import os, signal, sys
from claimnotify.delivery.replay import Replayer
from claimnotify.model.ids import IdSource
from claimnotify.store.recovering import SqlReplays
from claimnotify.store.replaying import SqlReplayTransaction
from claimnotify.store.store import SqlStore
from datetime import UTC, datetime, timedelta

url, endpoint_id, what, chunks = sys.argv[1:]
store = SqlStore(url, ring=lambda queue: None)
replayer = Replayer(store.replays, clock=store.clock, new_id=IdSource())
left, add = int(chunks), SqlReplayTransaction.add

def die_after(self, replays, **options):
    global left
    add(self, replays, **options)  # written, and not committed
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)

SqlReplayTransaction.add = die_after
endpoint = store.endpoints.get_endpoint("tenant-one", endpoint_id)
print("ready", flush=True)
sys.stdin.readline()
call = getattr(replayer, what)
print(call(endpoint, since=datetime(2026, 1, 1, tzinfo=UTC), until=None, limit=10_000).replayed)
"""


@pytest.fixture
def store(database_url: str) -> Iterator[SqlStore]:
    store = SqlStore(database_url, ring=lambda _queue: None)
    store.upgrade()
    yield store
    store.close()


@pytest.fixture
def case(store: SqlStore) -> Case:
    return Case(store)


@pytest.fixture
def endpoint(case: Case) -> Endpoint:
    return case.endpoint()


def replayer_of(store: SqlStore) -> Replayer:
    return Replayer(store.replays, clock=store.clock, new_id=Case(store).new_id)


def fill(case: Case, count: int, *targets: Any) -> None:
    """Accept `count` webhooks whose deliveries have come to their end."""

    webhooks = Webhooks(case)
    for first in range(0, count, 500):
        new = [webhooks.new(*targets) for _ in range(min(500, count - first))]
        with case.store.outbox.transaction() as transaction:
            transaction.add(new)


def replays(store: SqlStore) -> list[int]:
    """How often each delivery that was replayed was."""
    query = text(
        "SELECT count(*) FROM claimnotify_deliveries WHERE replay_of IS NOT NULL"
        " GROUP BY replay_of, endpoint_id"
    )
    with store._engine.connect() as connection:
        return list(connection.execute(query).scalars())


def process(url: str, endpoint: Endpoint, what: str, *, chunks: int = 0) -> subprocess.Popen[str]:
    """Start a recovery in a process that kills itself before it commits its chunk number `chunks`."""
    command = [sys.executable, "-c", RECOVER, url, endpoint.id, what, str(chunks)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("what", ["recover", "replay_missing"])
def test_processes_at_once_send_each_once_more(
    database_url: str, store: SqlStore, case: Case, endpoint: Endpoint, what: str
) -> None:
    fill(case, 1_200, (endpoint.id, *FAILED) if what == "recover" else skipped(endpoint))
    started = [process(database_url, endpoint, what) for _ in range(3)]
    for each in started:
        assert each.stdout is not None
        assert each.stdout.readline() == "ready\n"
    said = []
    for each in started:
        assert each.stdin is not None
        each.stdin.write("\n")
        each.stdin.flush()
    for each in started:
        said.append(int(each.communicate(timeout=120)[0]))
    assert sum(said) == 1_200
    assert replays(store) == [1] * 1_200


@pytest.mark.parametrize("what", ["recover", "replay_missing"])
def test_one_that_is_killed_between_chunks_is_gone_on_with(
    database_url: str, store: SqlStore, case: Case, endpoint: Endpoint, what: str
) -> None:
    """What it had committed is there once, what it had not is made by the next call."""
    fill(case, 1_200, (endpoint.id, *FAILED) if what == "recover" else NOBODY)
    killed = process(database_url, endpoint, what, chunks=2)
    killed.communicate("\n", timeout=120)
    assert killed.returncode == -signal.SIGKILL
    assert replays(store) == [1] * 500
    call = getattr(replayer_of(store), what)
    assert call(endpoint, since=BEGINNING, until=None, limit=10_000).replayed == 700
    with store._engine.connect() as connection:
        made = text("SELECT count(*) FROM claimnotify_deliveries WHERE replay_of IS NOT NULL")
        assert connection.execute(made).scalar() == 1_200


@pytest.mark.slow
@pytest.mark.parametrize("what", ["recover", "replay_missing"])
def test_ten_thousand_take_little_memory(
    store: SqlStore, case: Case, endpoint: Endpoint, what: str
) -> None:
    """Nor has any statement more parameters than those of one page."""
    call, parameters = getattr(replayer_of(store), what), []

    def note(_c: Any, _cur: Any, _statement: str, values: Any, _context: Any, many: bool) -> None:
        if not many:
            parameters.append(len(values))

    fill(case, 10_000, (endpoint.id, *FAILED) if what == "recover" else NOBODY)
    event.listen(store._engine, "before_cursor_execute", note)
    tracemalloc.start()
    try:
        found = call(endpoint, since=BEGINNING, until=None, limit=10_000)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found == Recovery(replayed=10_000, more=False)
    assert peak < _MOST_BYTES
    assert max(parameters) <= _MOST_PARAMETERS


@pytest.mark.parametrize("seconds", [-50, 50])
@pytest.mark.parametrize("what", ["recover", "replay_missing"])
def test_the_clock_of_the_host_that_made_an_id_may_differ_a_little(
    store: SqlStore, case: Case, endpoint: Endpoint, what: str, seconds: int
) -> None:
    """What is found by its id is what was made between the two moments by the store's clock."""
    case.new_id = IdSource(now_ns=lambda: time.time_ns() + seconds * 1_000_000_000)
    fill(case, 1, (endpoint.id, *FAILED) if what == "recover" else NOBODY)
    (note,) = store.journal.history(ONE)
    call, until = getattr(replayer_of(store), what), note.created_at + timedelta(microseconds=1)
    assert call(endpoint, since=note.created_at, until=until, limit=9).replayed == 1


@pytest.mark.parametrize("hours", [-1, 1])
def test_an_offset_of_the_clock_for_tests_hides_nothing(
    store: SqlStore, case: Case, endpoint: Endpoint, hours: int
) -> None:
    fill(case, 1, (endpoint.id, *FAILED))
    store.clock.shift(timedelta(hours=hours))
    fill(case, 1, (endpoint.id, *FAILED))
    newest, oldest = (each.created_at for each in store.journal.history(ONE))
    since = min(oldest, newest)
    assert replayer_of(store).recover(endpoint, since=since, until=None, limit=9).replayed == (
        2 if hours > 0 else 1
    ), "what is of a later time than now does not count"


def test_a_page_of_what_did_not_fail_is_no_end(
    store: SqlStore, case: Case, endpoint: Endpoint
) -> None:
    fill(case, 1_001, (endpoint.id, DeliveryStatus.DELIVERED, Reason.CONFIRMED))
    fill(case, 1, (endpoint.id, *FAILED))
    found = replayer_of(store).recover(endpoint, since=BEGINNING, until=None, limit=1)
    assert found == Recovery(replayed=1, more=False)
    late = case.endpoint(owner="cus_8")
    fill(case, 2_002, NOBODY)
    found = replayer_of(store).replay_missing(late, since=BEGINNING, until=None, limit=9)
    assert found.replayed == 0, "another owner's"


@pytest.mark.parametrize("server", ["postgres_url", "mariadb_url"])
@pytest.mark.parametrize("level", ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"])
@pytest.mark.parametrize("first", ["replay", "recover", "replay_missing"])
def test_a_session_whose_view_is_old_makes_no_second_replay(
    request: pytest.FixtureRequest, server: str, level: str, first: str
) -> None:
    """It is told of a conflict, or sees what was replayed since it began; begun anew it sees it."""
    url = request.getfixturevalue(server)
    store = SqlStore(url, ring=lambda _queue: None)
    store.upgrade()
    case = Case(store)
    endpoint, replayer = case.endpoint(), replayer_of(store)
    fill(case, 1, skipped(endpoint) if first == "replay_missing" else (endpoint.id, *FAILED))
    (note,) = store.journal.history(ONE)
    key = note.deliveries[0].id
    engine = create_engine(url, isolation_level=level)
    with Session(engine) as session:
        session.execute(text("SELECT count(*) FROM claimnotify_deliveries")).all()
        if level == "SERIALIZABLE" and server == "mariadb_url":
            session.rollback()  # there a mere look locks what it saw, and the other would wait
        if first == "replay":
            made = replayer.replay(key, tenant=ONE).id
        else:
            call = getattr(replayer, first)
            assert call(endpoint, since=BEGINNING, until=None, limit=9).replayed == 1
            made = case.seen(note)[1].id
        try:
            again = replayer.replay(key, tenant=ONE, session=session).id
        except DBAPIError:
            assert (server, level != "READ COMMITTED") == ("postgres_url", True)
            session.rollback()
            again = replayer.replay(key, tenant=ONE, session=session).id
        session.commit()
    engine.dispose()
    assert again == made
    assert len(case.seen(note)) == 2
    store.close()


def test_a_session_whose_view_is_old_replays_what_was_accepted_since(mariadb_url: str) -> None:
    """MariaDB shows it to locking reads; on PostgreSQL under REPEATABLE READ it is not there yet."""
    store = SqlStore(mariadb_url, ring=lambda _queue: None)
    store.upgrade()
    case = Case(store)
    endpoint, other, replayer = case.endpoint(), case.endpoint(), replayer_of(store)
    engine = create_engine(mariadb_url)
    with Session(engine) as session:
        session.execute(text("SELECT count(*) FROM claimnotify_deliveries")).all()
        fill(case, 1, (endpoint.id, *FAILED), (other.id, *FAILED))
        (note,) = store.journal.history(ONE)
        first, second = (each.id for each in note.deliveries)
        replayer.replay(second, tenant=ONE)
        replayer.replay(first, tenant=ONE, session=session)
        session.commit()
    engine.dispose()
    assert [each.replay_of for each in case.seen(note)] == [None, None, second, first]
    store.close()


@pytest.mark.parametrize("server", ["postgres_url", "mariadb_url"])
def test_a_replay_waits_for_the_session_that_is_making_one(
    request: pytest.FixtureRequest, server: str
) -> None:
    url = request.getfixturevalue(server)
    store = SqlStore(url, ring=lambda _queue: None)
    store.upgrade()
    case = Case(store)
    endpoint, replayer, made = case.endpoint(), replayer_of(store), []
    fill(case, 1, (endpoint.id, *FAILED))
    (note,) = store.journal.history(ONE)
    key = note.deliveries[0].id
    engine = create_engine(url)
    with Session(engine) as session:
        first = replayer.replay(key, tenant=ONE, session=session)
        other = threading.Thread(
            target=lambda: made.append(replayer.replay(key, tenant=ONE).id), daemon=True
        )
        other.start()
        other.join(0.3)
        assert other.is_alive(), "it waits"
        session.commit()
        other.join(20)
    engine.dispose()
    assert made == [first.id]
    assert len(case.seen(note)) == 2
    store.close()
