"""The stores keep the store's contract: the SQL store on each of its databases."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from claimnotify.store.store import SqlStore
from claimnotify.testing import StoreContract
from claimnotify.testing.store_contract.case import Advance


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
