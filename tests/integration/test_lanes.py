"""Lanes: each gets its turn, whatever waits in the others; the tables are what the migrations make."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import event

from claimnotify.store.lanes import LaneRota, first_lane, lane_name, past_lanes
from claimnotify.store.store import SqlStore
from claimnotify.store.tables import PREFIX, deliveries, metadata, notifications
from claimnotify.store.writing import insert_or_ignore

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def opened(url: str) -> Iterator[SqlStore]:
    store = SqlStore(url, ring=lambda _queue: None)
    store.upgrade()
    yield store
    store.close()


@pytest.fixture
def postgres_store(postgres_url: str) -> Iterator[SqlStore]:
    yield from opened(postgres_url)


@pytest.fixture
def store(database_url: str) -> Iterator[SqlStore]:
    yield from opened(database_url)


def test_the_tables_are_those_of_the_migrations(store: SqlStore) -> None:
    with store._engine.connect() as connection:
        context = MigrationContext.configure(
            connection,
            opts={
                "include_name": lambda name, kind, _parents: (
                    kind != "table" or str(name).startswith(PREFIX)
                ),
                "version_table": f"{PREFIX}alembic_version",
            },
        )
        differences = compare_metadata(context, metadata)
    assert differences == []


@pytest.mark.parametrize("tenant", ["default", "a/b", "ü", "0", "~"])
def test_a_queues_lanes_are_between_its_bounds(tenant: str) -> None:
    lane = lane_name("notifications", 2, "webhook", tenant)
    assert (
        first_lane("notifications").encode() < lane.encode() < past_lanes("notifications").encode()
    )
    for other in ("notification", "notifications2", "notifications_x", "notifications-x"):
        lane = lane_name(other, 0, "webhook", tenant)
        inside = first_lane("notifications").encode() < lane.encode() < past_lanes("notifications").encode()  # fmt: skip
        assert not inside


def fill(store: SqlStore, rows: list[tuple[str, int, str, str, int]], number: int = 0) -> None:
    """Write so many due deliveries for each (queue, priority, channel, tenant, count)."""
    with store._engine.begin() as connection:
        connection.execute(
            insert_or_ignore(notifications, connection).values(
                id="0" * 32,
                tenant="t",
                event_type="x.y",
                event_version=1,
                category="c",
                owner="o",
                payload="{}",
                fingerprint="f",
                created_at=NOW,
            )
        )
        for queue, priority, channel, tenant, count in rows:
            for _ in range(count):
                number += 1
                connection.execute(
                    deliveries.insert().values(
                        id=f"{number:032x}",
                        tenant=tenant,
                        notification_id="0" * 32,
                        position=0,
                        channel=channel,
                        address="a",
                        status="pending",
                        reason="queued",
                        created_at=NOW,
                        queue=queue,
                        priority=priority,
                        lane=lane_name(queue, priority, channel, tenant),
                        due_at=NOW - timedelta(seconds=number),
                    )
                )


def later(store: SqlStore, wait: timedelta) -> None:
    """Let all that waits become due only when `wait` has passed from now."""
    with store._engine.begin() as connection:
        due_at = datetime.now(UTC) + wait
        connection.execute(
            deliveries.update().where(deliveries.c.lane.is_not(None)).values(due_at=due_at)
        )


def lease(store: SqlStore, limit: int, **options: object) -> Counter[tuple[str, str]]:
    leased = store.work.lease(
        "notifications",
        limit=limit,
        duration=timedelta(minutes=1),
        **options,  # type: ignore[arg-type]
    )
    works = leased.works if leased is not None else ()
    return Counter((work.delivery.channel, work.delivery.tenant) for work in works)


def test_each_tenant_and_channel_gets_its_share(store: SqlStore) -> None:
    fill(
        store,
        [
            ("notifications", 1, "webhook", "busy", 200),
            ("notifications", 1, "email", "busy", 60),
            ("notifications", 1, "webhook", "small", 3),
            ("processing", 1, "webhook", "busy", 5),
        ],
    )
    small = {("webhook", "busy"): 10, ("email", "busy"): 10, ("webhook", "small"): 3}
    assert lease(store, 30) == small
    assert lease(store, 30) == {("webhook", "busy"): 15, ("email", "busy"): 15}


def test_a_kind_without_room_is_passed_over(store: SqlStore) -> None:
    fill(store, [("notifications", 0, "email", "t", 20), ("notifications", 1, "sms", "t", 20)])
    assert lease(store, 10, room={"email": 0}) == {("sms", "t"): 10}
    assert lease(store, 10, room={"email": 3}) == {("email", "t"): 3, ("sms", "t"): 7}


def test_better_priorities_go_first(store: SqlStore) -> None:
    kinds = {2: "email", 1: "webhook", 0: "sms"}
    fill(store, [("notifications", priority, kind, "t", 5) for priority, kind in kinds.items()])
    assert lease(store, 7) == {("sms", "t"): 5, ("webhook", "t"): 2}


def test_better_priorities_go_first_among_a_tenants_own(store: SqlStore) -> None:
    fill(
        store,
        [
            ("notifications", 0, "sms", "busy", 40),
            ("notifications", 1, "email", "busy", 5),
            ("notifications", 1, "sms", "small", 5),
            ("notifications", 2, "email", "small", 5),
        ],
    )
    assert lease(store, 20) == {("sms", "busy"): 10, ("sms", "small"): 5, ("email", "small"): 5}


def test_more_lanes_than_a_turn_takes_all_get_their_turn(store: SqlStore) -> None:
    fill(store, [("notifications", 1, "sms", f"t{number:03d}", 4) for number in range(50)])
    seen: Counter[str] = Counter()
    for _ in range(5):
        seen.update(tenant for _, tenant in lease(store, 16))
    assert len(seen) == 50


def test_the_rota_reads_every_lane_and_when_it_is_due(store: SqlStore) -> None:
    fill(store, [("notifications", 1, "sms", "a", 2), ("notifications", 0, "email", "b/c", 1)])
    rota = LaneRota(deliveries, "notifications")
    with store._engine.connect() as connection:
        rota.look(connection)
    assert rota.next_due({}) == NOW - timedelta(seconds=3)
    turn = [(lane.name, lane.tenant) for lane in rota.turn(NOW, {}, ())]
    assert turn == [("notifications/0/email/b/c", "b/c"), ("notifications/1/sms/a", "a")]
    assert rota.next_due({"email": 0}) == NOW - timedelta(seconds=2)


@pytest.mark.parametrize("lanes", [0, 1, 3])
def test_what_waits_for_its_time_costs_the_next_lease_no_statement(
    postgres_store: SqlStore, lanes: int
) -> None:
    """Retries and parked deliveries are there most of the time, in lanes before and after."""
    store = postgres_store
    waiting = [
        ("notifications", priority, kind, "t", 2)
        for priority, kind in ((1, "sms"), (0, "email"), (2, "webhook"))
    ][:lanes]
    fill(store, waiting)
    later(store, timedelta(hours=1))
    assert lease(store, 10) == {}
    for round_ in range(3):
        fill(store, [("notifications", 1, "sms", "t", 1)], number=100 + round_)
        statements: list[str] = []
        event.listen(store._lease_engine, "before_cursor_execute", _noting(statements))
        assert lease(store, 10) == {("sms", "t"): 1}
        assert len(statements) == 1
        assert lease(store, 10) == {}


def test_a_lease_without_a_look_passes_over_lanes_of_which_nothing_is_due(
    postgres_store: SqlStore,
) -> None:
    store = postgres_store
    fill(store, [("notifications", 0, "email", "t", 2)])
    later(store, timedelta(hours=1))
    assert lease(store, 10) == {}
    fill(
        store,
        [("notifications", 1, "sms", "t", 2), ("notifications", 0, "webhook", "u", 3)],
        number=100,
    )
    assert lease(store, 10) == {("webhook", "u"): 3}
    assert lease(store, 10) == {("sms", "t"): 2}


def _noting(statements: list[str]) -> Callable[..., None]:
    def note(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        statements.append(statement)

    return note
