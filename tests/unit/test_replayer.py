"""A recovery looks at what there was when it was called, chunk by chunk, and begins a chunk anew on a conflict."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from claimnotify.delivery.replay import Replayer
from claimnotify.errors import StoreContention
from claimnotify.model.endpoints import Endpoint, Ordering
from claimnotify.model.ids import IdSource
from claimnotify.model.notifications import Delivery
from claimnotify.model.replays import Recovery, Window
from claimnotify.model.states import DeliveryStatus
from claimnotify.ports import Page

NOW = datetime(2026, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
ENDPOINT = Endpoint(id="E", tenant="t", owner="o", url="https://example.com/", created_at=NOW)


class Replays:
    """Finds `count` failed deliveries on pages of 700, of which none is left when it was replayed."""

    def __init__(self, count: int) -> None:
        self.left = dict.fromkeys(f"{number:05}" for number in range(count))
        self.windows: list[Window] = []
        self.added: list[int] = []
        self.conflicts = 0
        self.endpoint: Endpoint | None = ENDPOINT

    def now(self) -> datetime:
        return NOW

    def lost(self, endpoint: Endpoint, window: Window, *, after: str | None) -> Page:
        self.windows.append(window)
        found = [key for key in self.left if key > (after or "")]
        return Page(found[:700], found[699] if len(found) > 700 else None)

    @contextmanager
    def transaction(self, session: Any = None) -> Iterator[Replays]:
        yield self
        if self.conflicts:
            self.conflicts -= 1
            raise StoreContention("database_url", "conflict")

    def hold_endpoint(self, tenant: str, endpoint_id: str) -> Endpoint | None:
        return self.endpoint

    def still_lost(self, tenant: str, delivery_ids: Collection[str]) -> Sequence[Delivery]:
        return [
            Delivery(
                id=key,
                notification_id="n",
                tenant=tenant,
                channel="webhook",
                address="",
                endpoint_id="E",
                status=DeliveryStatus.FAILED,
                reason="exhausted",
                created_at=NOW,
            )
            for key in delivery_ids
        ]

    def add(self, replays: Sequence[Delivery], *, ordering: Ordering = "none") -> None:
        self.added.append(len(replays))


def replayer_of(replays: Replays) -> Replayer:
    return Replayer(replays, clock=replays, new_id=IdSource())  # type: ignore[arg-type]


def recover(replays: Replays, limit: int = 10_000, until: datetime | None = None) -> Recovery:
    return replayer_of(replays).recover(ENDPOINT, since=NOW - HOUR, until=until, limit=limit)


@pytest.mark.parametrize("until", [None, NOW + HOUR])
def test_what_is_made_after_the_call_began_does_not_count(until: datetime | None) -> None:
    """Else a replay that fails at once were replayed again by the same call, and again."""
    replays = Replays(1)
    recover(replays, until=until)
    assert replays.windows == [Window(NOW - HOUR, NOW)]


def test_pages_are_read_as_far_as_they_are_needed_and_chunks_are_bounded() -> None:
    replays = Replays(1_701)
    assert recover(replays, limit=1_201) == Recovery(replayed=1_201, more=True)
    assert replays.added == [500, 500, 201]
    assert len(replays.windows) == 2, "the third page was not read"
    assert recover(Replays(1_201)) == Recovery(replayed=1_201, more=False)
    assert recover(Replays(1_201), limit=1_201) == Recovery(replayed=1_201, more=False)
    assert recover(Replays(0)) == Recovery(replayed=0, more=False)


def test_a_chunk_that_lost_a_conflict_is_written_again() -> None:
    replays = Replays(10)
    replays.conflicts = 4
    assert recover(replays).replayed == 10
    assert replays.added == [10] * 5
    replays.conflicts = 5
    with pytest.raises(StoreContention):
        recover(replays)


def test_an_endpoint_that_is_disabled_meanwhile_ends_it_with_more_to_do() -> None:
    replays = Replays(900)
    taken = replays.add

    def add(made: Sequence[Delivery], *, ordering: Ordering = "none") -> None:
        taken(made)
        replays.endpoint = replace(ENDPOINT, enabled=False)

    replays.add = add  # type: ignore[method-assign]
    assert recover(replays) == Recovery(replayed=500, more=True)
