"""Every backend of the doorbell keeps the dispatcher's contract."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from claimnotify.dispatch.huey import HueyDispatcher
from claimnotify.ports import Dispatcher
from claimnotify.testing.dispatcher_contract import DispatcherContract


def _maker(queue_url: str) -> Callable[[], Dispatcher]:
    # The time-out is generous: these tests are about behaviour, on a machine that may be busy.
    return lambda: HueyDispatcher(
        queue_url, signing_key=b"k" * 32, queues=("one", "two"), ring_timeout=2.0
    )


class TestSqlite(DispatcherContract):
    @pytest.fixture
    def new_dispatcher(self, tmp_path: Path) -> Callable[[], Dispatcher]:
        return _maker(f"sqlite:///{tmp_path / 'folder' / 'queue.db'}")


class TestRedis(DispatcherContract):
    @pytest.fixture
    def new_dispatcher(self, redis_url: str) -> Callable[[], Dispatcher]:
        return _maker(redis_url)


class TestPostgres(DispatcherContract):
    @pytest.fixture
    def new_dispatcher(self, postgres_url: str) -> Callable[[], Dispatcher]:
        return _maker(postgres_url)


class TestMemory(DispatcherContract):
    shared = False

    @pytest.fixture
    def new_dispatcher(self) -> Callable[[], Dispatcher]:
        return _maker("memory://")
