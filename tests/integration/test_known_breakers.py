"""A success ends a streak of failures though another process counted them, and however many there are."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from claimnotify.policy.breaker import Trouble
from claimnotify.store import breakers
from claimnotify.store.store import SqlStore
from claimnotify.testing.store_contract.case import ONE, Case


@pytest.fixture
def stores(database_url: str) -> Iterator[list[SqlStore]]:
    """Two stores on one database, as two workers have them."""
    stores = [SqlStore(database_url, ring=lambda _queue: None) for _ in range(2)]
    stores[0].upgrade()
    yield stores
    for store in stores:
        store.close()


def fail(case: Case, endpoint_id: str) -> None:
    case.accept(endpoint_id=endpoint_id)
    lease = case.lease()
    case.store.work.record([case.retry(lease, lease.works[0])])


def succeed(case: Case, endpoint_id: str) -> None:
    case.accept(endpoint_id=endpoint_id)
    lease = case.lease()
    case.store.work.record([case.sent(lease, lease.works[0])])


def test_what_another_process_counted_is_known_a_second_later(stores: list[SqlStore]) -> None:
    first, second = (Case(store) for store in stores)
    endpoint = first.endpoint()
    assert stores[1].work.troubles() == {}
    fail(first, endpoint.id)
    stores[1].work.breakers._monotonic = lambda: time.monotonic() + 1.0
    succeed(second, endpoint.id)
    assert stores[0].work.trouble(ONE, endpoint.id) == Trouble()


def test_with_more_breakers_than_are_read_a_success_still_ends_its_own(
    stores: list[SqlStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(breakers, "_MOST_KNOWN", 1)
    first, second = (Case(store) for store in stores)
    endpoints = [first.endpoint() for _ in range(3)]
    for endpoint in endpoints:
        fail(first, endpoint.id)
    assert len(stores[1].work.troubles()) == 1
    for endpoint in endpoints:
        succeed(second, endpoint.id)
        assert stores[0].work.trouble(ONE, endpoint.id) == Trouble()
