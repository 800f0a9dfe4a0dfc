"""The stores keep the store's contract: the SQL store on each of its databases, and that in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from claimnotify.errors import ConfigurationError
from claimnotify.store.store import SqlStore
from claimnotify.testing import MemoryStore, StoreContract
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
        calls: list[Callable[[], object]] = [
            store.outbox.transaction(session).__enter__,
            lambda: store.inbox.mark(ONE, "cus_7", "read_at", None, session=session),
            lambda: store.endpoints.add_endpoint(endpoint, case.key(endpoint), session=session),
            lambda: store.endpoints.delete_endpoint(ONE, endpoint.id, session=session),
        ]
        for call in calls:
            with pytest.raises(ConfigurationError, match="session"):
                call()
        assert store.endpoints.get_endpoint(ONE, endpoint.id) == endpoint

    def test_a_closed_store_says_so(self, store: MemoryStore) -> None:
        store.close()
        with pytest.raises(ConfigurationError, match="closed"):
            store.check()
