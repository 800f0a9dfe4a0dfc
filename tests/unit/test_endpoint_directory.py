"""The directory answers from memory, refreshes when stale, and survives an unreadable key."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta

import pytest

from claimnotify.errors import NotFound
from claimnotify.model.endpoints import Endpoint, EndpointKey, secret_context
from claimnotify.model.notifications import Delivery
from claimnotify.model.states import DeliveryStatus
from claimnotify.webhooks import CachedEndpointDirectory, KeyRing

NOW = datetime(2026, 3, 1, tzinfo=UTC)
RING = KeyRing(["k" * 32])
Row = tuple[Endpoint, Sequence[EndpointKey]]


class Rows:
    """A store that has what it is given and notes what it was asked."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str], Row] = {}
        self.asked: list[set[tuple[str, str]]] = []

    def add(self, endpoint_id: str, *secrets: str, ring: KeyRing = RING, **options: bool) -> None:
        endpoint = Endpoint(
            id=endpoint_id,
            tenant="t",
            owner="cus_7",
            url="https://example.com/",
            created_at=NOW,
            **options,  # type: ignore[arg-type]
        )
        keys = [
            EndpointKey(
                id=f"key{number}",
                endpoint_id=endpoint_id,
                ciphertext=ring.encrypt(secret.encode(), context=secret_context(f"key{number}")),
                created_at=NOW,
            )
            for number, secret in enumerate(secrets)
        ]
        self.rows["t", endpoint_id] = (endpoint, keys)

    def load_endpoints(self, ids: Collection[tuple[str, str]]) -> Mapping[tuple[str, str], Row]:
        self.asked.append(set(ids))
        return {key: self.rows[key] for key in ids if key in self.rows}


class Seconds:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def to(*endpoint_ids: str | None) -> list[Delivery]:
    return [
        Delivery(
            id="d",
            notification_id="n",
            tenant="t",
            channel="webhook",
            address="",
            endpoint_id=each,
            status=DeliveryStatus.SENDING,
            reason="leased",
            created_at=NOW,
        )
        for each in endpoint_ids
    ]


@pytest.fixture
def rows() -> Rows:
    return Rows()


@pytest.fixture
def seconds() -> Seconds:
    return Seconds()


@pytest.fixture
def directory(rows: Rows, seconds: Seconds) -> CachedEndpointDirectory:
    return CachedEndpointDirectory(
        rows,  # type: ignore[arg-type]  # only what the directory uses
        cipher=RING,
        monotonic=seconds,
        ttl=timedelta(seconds=2),
        size=3,
    )


def test_it_loads_once_in_one_query_and_keeps_the_order_of_the_keys(
    rows: Rows, directory: CachedEndpointDirectory
) -> None:
    rows.add("a", "newest", "older")
    rows.add("b", "other")
    directory.load(to("a", "b", "a", None))
    directory.load(to("a"))
    assert rows.asked == [{("t", "a"), ("t", "b")}]
    found = directory.get("t", "a")
    assert found is not None
    assert list(found.secrets) == ["newest", "older"]


def test_a_change_takes_effect_after_the_time_to_live(
    rows: Rows, directory: CachedEndpointDirectory, seconds: Seconds
) -> None:
    rows.add("a", "first")
    directory.load(to("a"))
    rows.add("a", "second", enabled=False)
    seconds.now = 1.9
    directory.load(to("a"))
    seconds.now = 60.0
    found = directory.get("t", "a")
    assert found is not None
    assert found.endpoint.enabled, "get never blocks, so it answers with what it has"
    directory.load(to("a"))
    found = directory.get("t", "a")
    assert found is not None
    assert not found.endpoint.enabled


def test_a_deleted_endpoint_is_none_and_one_never_loaded_is_an_error(
    directory: CachedEndpointDirectory,
) -> None:
    directory.load(to("gone"))
    assert directory.get("t", "gone") is None
    with pytest.raises(NotFound):
        directory.get("t", "never asked for")
    with pytest.raises(NotFound):
        directory.get("another tenant", "gone")


def test_it_holds_no_more_than_its_size(rows: Rows, directory: CachedEndpointDirectory) -> None:
    for endpoint_id in "abcd":
        rows.add(endpoint_id, "secret")
        directory.load(to("a", endpoint_id))
    with pytest.raises(NotFound):
        directory.get("t", "b")
    assert directory.get("t", "a") is not None, "used last"


def test_an_unreadable_key_is_logged_and_the_others_are_used(
    rows: Rows, directory: CachedEndpointDirectory, caplog: pytest.LogCaptureFixture
) -> None:
    rows.add("a", "unreadable", ring=KeyRing(["x" * 32]))
    rows.add("b", "readable")
    with caplog.at_level(logging.ERROR):
        directory.load(to("a", "b"))
    assert "endpoint a" in caplog.text
    assert "CLAIMNOTIFY_SECRET_KEYS" in caplog.text
    unreadable, readable = directory.get("t", "a"), directory.get("t", "b")
    assert unreadable is not None
    assert unreadable.secrets == ()
    assert readable is not None
    assert list(readable.secrets) == ["readable"]


def test_a_repr_shows_no_secret(rows: Rows, directory: CachedEndpointDirectory) -> None:
    rows.add("a", "very-secret")
    directory.load(to("a"))
    assert "very-secret" not in repr(vars(directory))
    assert "very-secret" not in repr(directory.get("t", "a"))
