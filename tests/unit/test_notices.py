"""When it is looked for what is to be told of endpoints, and whom it is told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from claimnotify.channels.in_app import InAppChannel
from claimnotify.delivery.accept import Acceptor
from claimnotify.delivery.notices import Notices
from claimnotify.errors import StoreUnavailable
from claimnotify.model.ids import IdSource
from claimnotify.model.notices import EndpointNotice
from claimnotify.model.recipients import Recipient
from claimnotify.testing import MemoryStore

NOW = datetime.now(UTC)
NOTICE = EndpointNotice(
    id="0" * 31 + "1",
    tenant="default",
    endpoint_id="e1",
    owner="cus_7",
    url="https://hooks.example.com:8443/in?token=hush#part",
    kind="failing",
    reason="exhausted",
    failing_since=NOW,
    created_at=NOW,
)


class World:
    """A store in memory, a clock that the test moves, and how often notices were looked for."""

    def __init__(self) -> None:
        self.store = MemoryStore(ring=lambda _queue: None)
        self.seconds = 0.0
        self.looks = 0
        self.down = False
        found = self.store.work.notices

        def counted(*, limit: int, after: str = "") -> object:
            self.looks += 1
            if self.down:
                raise StoreUnavailable("database_url", "is down")
            return found(limit=limit, after=after)

        self.store.work.notices = counted  # type: ignore[assignment, method-assign]  # it counts

    def notices(
        self, recipient_for: Callable[[str, str], Recipient | None] | None = None
    ) -> Notices:
        acceptor = Acceptor(
            outbox=self.store.outbox,
            channels={"in_app": InAppChannel()},
            new_id=IdSource(),
            queue="notifications",
        )
        return Notices(
            work=self.store.work,
            acceptor=acceptor,
            clock=self.store.clock,
            recipient_for=recipient_for,
            monotonic=lambda: self.seconds,
        )

    def write(self, *notices: EndpointNotice) -> None:
        with self.store._kept.changing() as tables:
            tables.notices |= {each.id: each for each in notices}

    def told(self) -> list[tuple[str, str]]:
        found = self.store.journal.history("default", limit=1000)
        return sorted((note.owner, note.event_type) for note in found)


@pytest.fixture
def world() -> World:
    return World()


def test_it_is_looked_for_at_first_and_once_a_minute(world: World) -> None:
    notices = world.notices()
    for _ in range(100):
        notices.begin()
        assert not notices.look()
    assert world.looks == 1
    world.write(NOTICE)
    world.seconds = 59.0
    assert not notices.look()
    world.seconds = 60.0
    assert notices.look()
    assert world.looks == 2
    assert world.told() == [("cus_7", "endpoint.failing"), ("operations", "endpoint.failing")]


def test_when_one_was_written_it_is_told_at_the_next_look(world: World) -> None:
    notices = world.notices()
    notices.look()
    world.write(NOTICE)
    notices.want()
    assert notices.look()
    assert not notices.look()


def test_all_that_there_are_are_told_though_some_cannot_be(world: World) -> None:
    def recipient_for(tenant: str, owner: str) -> Recipient:
        if owner == "bad":
            raise LookupError
        return Recipient(id=owner)

    ids = IdSource()
    world.write(
        *(replace(NOTICE, id=ids(), owner="bad") for _ in range(150)),
        *(replace(NOTICE, id=ids(), kind="later", owner="new") for _ in range(2)),  # type: ignore[arg-type]  # of a later version
        *(replace(NOTICE, id=ids(), kind="disabled", owner="good") for _ in range(150)),
    )
    world.notices(recipient_for).look()
    assert world.told().count(("good", "endpoint.disabled")) == 150
    assert ("bad", "endpoint.failing") not in world.told()
    assert len(world.store.work.notices(limit=1000)) == 152


@pytest.mark.parametrize(
    ("found", "told"),
    [
        (Recipient(id="ana"), "ana"),
        (None, "cus_7"),  # the application knows nobody: the inbox of the id is there
    ],
)
def test_who_is_told_is_whom_the_application_names(
    world: World, found: Recipient | None, told: str
) -> None:
    asked: list[tuple[str, str]] = []

    def recipient_for(tenant: str, owner: str) -> Recipient | None:
        asked.append((tenant, owner))
        return found

    world.write(NOTICE)
    world.notices(recipient_for).look()
    assert asked == [("default", "cus_7")]
    assert world.told() == sorted([(told, "endpoint.failing"), ("operations", "endpoint.failing")])


@pytest.mark.parametrize("clock", [timedelta(hours=1), timedelta(hours=-2)])
def test_a_look_up_that_gives_no_recipient_is_asked_for_an_hour(
    world: World, clock: timedelta
) -> None:
    """After it, or when the clock has gone back before it, the owner is told without it."""
    wrong: Callable[[str, str], Recipient | None] = lambda tenant, owner: "ana"  # type: ignore[assignment, return-value]  # noqa: E731  # on purpose
    notices = world.notices(wrong)
    world.write(NOTICE)
    for _ in range(3):
        notices.begin()
        notices.look()
    assert world.looks == 3
    assert world.told() == [("operations", "endpoint.failing")]
    world.store.advance(clock)
    notices.begin()
    notices.look()
    assert world.told() == [("cus_7", "endpoint.failing"), ("operations", "endpoint.failing")]
    notices.begin()
    assert not notices.look()


def test_the_url_is_shown_without_what_may_be_secret(world: World) -> None:
    world.write(NOTICE)
    world.notices().look()
    found = world.store.journal.history("default")
    assert {note.payload["url"] for note in found} == {"https://hooks.example.com:8443/in"}


def test_operators_whose_own_endpoint_fails_are_told_once(world: World) -> None:
    world.write(replace(NOTICE, owner="operations"))
    world.notices().look()
    assert world.told() == [("operations", "endpoint.failing")]


def test_a_database_that_is_away_is_looked_into_at_the_next_look(world: World) -> None:
    world.write(NOTICE)
    notices = world.notices()
    world.down = True
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            notices.look()
    world.down = False
    assert notices.look()
