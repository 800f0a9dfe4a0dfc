"""Every backend of the doorbell keeps the dispatcher's contract."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from celery import Celery
from kombu import Connection

from claimnotify.dispatch.celery import CeleryDispatcher
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


def _celery_maker(broker_url: str, namespace: str) -> Callable[[], CeleryDispatcher]:
    app = Celery("contract", broker=broker_url, set_as_current=False)
    return lambda: CeleryDispatcher(
        app,
        signing_key=b"k" * 32,
        queues=("one", "two"),
        namespace=namespace,
        ring_timeout=2.0,
    )


class TestCeleryOverRedis(DispatcherContract):
    @pytest.fixture
    def new_dispatcher(self, redis_url: str) -> Callable[[], Dispatcher]:
        return _celery_maker(redis_url, "contract")


class TestCeleryOverRabbitMQ(DispatcherContract):
    @pytest.fixture
    def new_dispatcher(self, rabbitmq_url: str) -> Iterator[Callable[[], Dispatcher]]:
        make = _celery_maker(rabbitmq_url, f"contract{secrets.token_hex(4)}")
        yield make
        with Connection(rabbitmq_url) as connection:
            for queue in ("one", "two"):
                name = make().broker_queue(queue)
                connection.default_channel.queue_delete(name)
                connection.default_channel.exchange_delete(name)
