"""The stores keep the store's contract: the SQL store on each of its databases, and that in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from claimnotify.errors import ConfigurationError
from claimnotify.ports import Clock, JobQueue, NewJob
from claimnotify.store.store import SqlStore
from claimnotify.testing import JobQueueContract, MemoryStore, StoreContract
from claimnotify.testing.store_contract.case import ONE, Advance, Case


class TestSql(StoreContract):
    @pytest.fixture
    def store(self, database_url: str, rings: list[str]) -> Iterator[SqlStore]:
        store = SqlStore(database_url, ring=rings.append)
        store.upgrade()
        store.check()
        yield store
        store.close()

    @pytest.fixture
    def advance(self, store: SqlStore) -> Advance:
        return store.clock.shift


class TestMemory(StoreContract):
    @pytest.fixture
    def store(self, rings: list[str]) -> Iterator[MemoryStore]:
        store = MemoryStore(ring=rings.append)
        store.check()
        yield store
        store.close()

    @pytest.fixture
    def advance(self, store: MemoryStore) -> Advance:
        return store.advance

    def test_a_session_is_refused(self, store: MemoryStore, case: Case) -> None:
        endpoint, session = case.endpoint(), object()
        job = NewJob(tenant=ONE, name="build", queue="processing", priority=1, arguments_json="{}")
        calls: list[Callable[[], object]] = [
            store.outbox.transaction(session).__enter__,
            store.replays.transaction(session).__enter__,
            lambda: store.jobs.enqueue(job, session=session),
            lambda: store.inbox.mark(ONE, "cus_7", "read_at", None, session=session),
            lambda: store.endpoints.add_endpoint(endpoint, case.key(endpoint), session=session),
            lambda: store.endpoints.delete_endpoint(ONE, endpoint.id, session=session),
        ]
        for call in calls:
            with pytest.raises(ConfigurationError, match="session"):
                call()
        assert store.endpoints.get_endpoint(ONE, endpoint.id) == endpoint
        assert store.jobs.list_jobs(ONE) == []

    def test_a_closed_store_says_so(self, store: MemoryStore) -> None:
        store.close()
        with pytest.raises(ConfigurationError, match="closed"):
            store.check()


class TestMemoryJobs(JobQueueContract):
    @pytest.fixture
    def store(self) -> MemoryStore:
        return MemoryStore(ring=lambda _queue: None)

    @pytest.fixture
    def jobs(self, store: MemoryStore) -> JobQueue:
        return store.jobs

    @pytest.fixture
    def clock(self, store: MemoryStore) -> Clock:
        return store.clock

    @pytest.fixture
    def advance(self, store: MemoryStore) -> Advance:
        return store.advance
