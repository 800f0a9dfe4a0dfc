"""The SQL job queue passes the exported contract on every database, and joins a caller's transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

from claimnotify.ports import Clock, JobQueue, NewJob
from claimnotify.store.store import SqlStore
from claimnotify.testing import JobQueueContract

RINGS: list[str] = []


@pytest.fixture
def store(database_url: str) -> Iterator[SqlStore]:
    RINGS.clear()
    store = SqlStore(database_url, ring=RINGS.append)
    store.upgrade()
    yield store
    store.close()


@pytest.fixture
def session(store: SqlStore) -> Iterator[Session]:
    engine = create_engine(store.url)
    with Session(engine) as session:
        yield session
    engine.dispose()


class TestSqlJobs(JobQueueContract):
    @pytest.fixture
    def jobs(self, store: SqlStore) -> JobQueue:
        return store.jobs

    @pytest.fixture
    def clock(self, store: SqlStore) -> Clock:
        return store.clock

    @pytest.fixture
    def advance(self, store: SqlStore) -> Callable[[timedelta], None]:
        return store.clock.shift


NEW = NewJob(
    tenant="acme", name="build", queue="processing", priority=1, arguments_json="{}", unique_key="k"
)


def test_a_job_is_written_and_rung_when_the_caller_commits(
    store: SqlStore, session: Session
) -> None:
    job = store.jobs.enqueue(NEW, session=session)
    assert RINGS == []
    session.commit()
    assert RINGS == ["processing"]
    assert [each.id for each in store.jobs.list_jobs("acme")] == [job.id]


def test_a_rolled_back_enqueue_leaves_nothing(store: SqlStore, session: Session) -> None:
    store.jobs.enqueue(NEW, session=session)
    session.rollback()
    assert store.jobs.list_jobs("acme") == []
    assert RINGS == []
    # Nor does it hold the key.
    assert store.jobs.enqueue(NEW).status == "pending"
