"""The caller's own transaction: what is left, and what rings, after it ends one way or another.

Every driver that an application's session may use, over every way its transaction may end. The
application has a table of its own beside ours, and an observer with a connection of its own.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pytest
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from claimnotify import ConfigurationError, Event, IdempotencyConflict, Notifier, Recipient
from claimnotify.errors import InvalidInput
from claimnotify.store.engine import begin_immediate
from claimnotify.testing import RecordingDispatcher

KEY = "a-key-for-tests-of-thirty-two-characters"
ANA = Recipient(id="cus_7", email="ana@example.com")
SQLITE = ("sqlite3", "aiosqlite")
MARIADB = ("pymysql", "asyncmy")
DRIVERS = (*SQLITE, "psycopg", "asyncpg", *MARIADB)


class BookingMoved(Event, type="matrix.booking_moved", channels=("in_app", "email")):
    booking: str


class Savepoint(Protocol):
    async def commit(self) -> None: ...
    async def rollback(self) -> None: ...


class Caller:
    """An application's session, spoken to in one way whatever the driver."""

    def __init__(self, notifier: Notifier, session: Any) -> None:
        self.notifier = notifier
        self.session = session

    async def call(self, work: Callable[[Session], Any]) -> Any:
        """Run `work` on the sync session, as an application would with this kind of session."""
        raise NotImplementedError

    async def book(self, name: str) -> None:
        """Write a row of the application's own."""
        statement, values = text("INSERT INTO bookings (name) VALUES (:name)"), {"name": name}
        await self.call(lambda session: session.execute(statement, values))

    async def notify(self, name: str, key: str | None = None) -> Any:
        raise NotImplementedError

    async def savepoint(self) -> Savepoint:
        raise NotImplementedError

    async def commit(self) -> None:
        await self.call(lambda session: session.commit())

    async def rollback(self) -> None:
        await self.call(lambda session: session.rollback())

    async def close(self) -> None:
        await self.call(lambda session: session.close())


class SyncCaller(Caller):
    async def call(self, work: Callable[[Session], Any]) -> Any:
        return work(self.session)

    async def notify(self, name: str, key: str | None = None) -> Any:
        return self.notifier.notify(
            BookingMoved(booking=name), to=ANA, idempotency_key=key, session=self.session
        )

    async def savepoint(self) -> Savepoint:
        nested = self.session.begin_nested()

        class Sync:
            async def commit(self) -> None:
                nested.commit()

            async def rollback(self) -> None:
                nested.rollback()

        return Sync()


class AsyncCaller(Caller):
    async def call(self, work: Callable[[Session], Any]) -> Any:
        return await self.session.run_sync(work)

    async def notify(self, name: str, key: str | None = None) -> Any:
        return await self.notifier.anotify(
            BookingMoved(booking=name), to=ANA, idempotency_key=key, session=self.session
        )

    async def savepoint(self) -> Savepoint:
        nested: Savepoint = await self.session.begin_nested()
        return nested


@dataclass
class World:
    """A notifier, the application's engine over one driver, and an observer."""

    driver: str
    notifier: Notifier
    rings: RecordingDispatcher
    engine: Engine | AsyncEngine
    observer: Engine

    @asynccontextmanager
    async def caller(self) -> AsyncIterator[Caller]:
        if isinstance(self.engine, AsyncEngine):
            async with AsyncSession(self.engine) as async_session:
                yield AsyncCaller(self.notifier, async_session)
        else:
            with Session(self.engine) as session:
                yield SyncCaller(self.notifier, session)

    def ring_count(self) -> int:
        return sum(self.rings.rings.values())

    def bookings(self) -> list[str]:
        return self._names("SELECT name FROM bookings ORDER BY name")

    def notified(self) -> list[str]:
        """Return the bookings there is a committed notification for."""
        payloads = self._names("SELECT payload FROM claimnotify_notifications")
        return sorted(json.loads(payload)["booking"] for payload in payloads)

    def deliveries(self) -> list[str]:
        return self._names("SELECT id FROM claimnotify_deliveries")

    def leaves(self, *, bookings: list[str], notified: list[str], rings: int) -> None:
        """Assert what is left: each notification with its two deliveries, and the rings."""
        assert self.bookings() == bookings
        assert self.notified() == notified
        assert len(self.deliveries()) == 2 * len(notified)
        assert self.ring_count() == rings

    def _names(self, query: str) -> list[str]:
        with self.observer.connect() as connection:
            return [str(row[0]) for row in connection.execute(text(query))]


def _database(driver: str, request: pytest.FixtureRequest) -> str:
    if driver in SQLITE:
        return str(request.getfixturevalue("sqlite_ready_url"))
    return str(
        request.getfixturevalue("mariadb_url" if driver in MARIADB else "postgres_ready_url")
    )


def _engine(driver: str, url: str, **options: Any) -> Engine | AsyncEngine:
    """Return the application's engine, without BEGIN IMMEDIATE."""
    if driver == "sqlite3":
        return create_engine(url, **({"connect_args": {"timeout": 60}} | options))
    if driver == "asyncmy":
        return create_async_engine(url.replace("+pymysql", "+asyncmy"), **options)
    if driver in ("psycopg", "pymysql"):
        return create_engine(url, **options)
    if driver == "aiosqlite":
        url = url.replace("sqlite://", "sqlite+aiosqlite://")
        return create_async_engine(url, **({"connect_args": {"timeout": 60}} | options))
    return create_async_engine(url.replace("+psycopg", "+asyncpg"), **options)


def _sync(engine: Engine | AsyncEngine) -> Engine:
    return engine.sync_engine if isinstance(engine, AsyncEngine) else engine


async def _dispose(engine: Engine | AsyncEngine) -> None:
    if isinstance(engine, AsyncEngine):
        await engine.dispose()
    else:
        engine.dispose()


@asynccontextmanager
async def _world(driver: str, url: str, *, immediate: bool = True) -> AsyncIterator[World]:
    rings = RecordingDispatcher()
    engine = _engine(driver, url, pool_size=50)
    if driver in SQLITE and immediate:
        begin_immediate(_sync(engine))
    observer = create_engine(url)
    with Notifier.from_settings(dispatcher=rings, database_url=url, secret_keys=KEY) as notifier:
        notifier.upgrade()
        with observer.begin() as connection:
            connection.execute(
                text("CREATE TABLE IF NOT EXISTS bookings (name VARCHAR(40) PRIMARY KEY)")
            )
        try:
            yield World(driver, notifier, rings, engine, observer)
        finally:
            await _dispose(engine)
            observer.dispose()


@pytest.fixture(params=DRIVERS)
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    """Everything over one driver, SQLite's with the begin that the how-to tells."""
    async with _world(request.param, _database(request.param, request)) as made:
        yield made


async def test_commit_leaves_the_row_and_rings_once_after_it(world: World) -> None:
    async with world.caller() as caller:
        await caller.book("A")
        result = await caller.notify("A")
        world.leaves(bookings=[], notified=[], rings=0)
        await caller.commit()
    world.leaves(bookings=["A"], notified=["A"], rings=1)
    assert [each.id for each in world.notifier.history()] == [result.id]


async def test_several_notifications_of_one_transaction_ring_once(world: World) -> None:
    async with world.caller() as caller:
        await caller.notify("A")
        await caller.notify("B")
        await caller.commit()
    world.leaves(bookings=[], notified=["A", "B"], rings=1)


async def test_rollback_leaves_nothing_and_does_not_ring(world: World) -> None:
    async with world.caller() as caller:
        await caller.book("A")
        await caller.notify("A")
        await caller.rollback()
        world.leaves(bookings=[], notified=[], rings=0)
        await caller.book("B")
        await caller.commit()
    world.leaves(bookings=["B"], notified=[], rings=0)


async def test_a_key_rolled_back_is_free_again(world: World) -> None:
    async with world.caller() as caller:
        await caller.notify("A", "one-key")
        await caller.rollback()
        again = await caller.notify("B", "one-key")
        await caller.commit()
    assert not again.replayed
    world.leaves(bookings=[], notified=["B"], rings=1)


async def test_closing_without_commit_leaves_nothing_for_the_next_transaction(
    world: World,
) -> None:
    async with world.caller() as caller:
        await caller.notify("A")
        await caller.close()
        await caller.book("B")
        await caller.commit()
    world.leaves(bookings=["B"], notified=[], rings=0)


async def test_a_kept_savepoint_rings_with_the_root_and_not_before(world: World) -> None:
    async with world.caller() as caller:
        await caller.book("A")
        savepoint = await caller.savepoint()
        await caller.notify("A")
        await savepoint.commit()
        world.leaves(bookings=[], notified=[], rings=0)
        await caller.commit()
    world.leaves(bookings=["A"], notified=["A"], rings=1)


async def test_a_kept_savepoint_goes_with_the_roots_rollback(world: World) -> None:
    async with world.caller() as caller:
        await caller.book("A")
        savepoint = await caller.savepoint()
        await caller.notify("A")
        await savepoint.commit()
        await caller.rollback()
    world.leaves(bookings=[], notified=[], rings=0)


async def test_a_savepoint_rolled_back_takes_only_its_own(world: World) -> None:
    async with world.caller() as caller:
        await caller.book("A")
        savepoint = await caller.savepoint()
        await caller.book("B")
        await caller.notify("B")
        await savepoint.rollback()
        await caller.commit()
    world.leaves(bookings=["A"], notified=[], rings=0)


async def test_what_was_notified_before_a_savepoint_survives_its_rollback(world: World) -> None:
    async with world.caller() as caller:
        await caller.notify("A")
        savepoint = await caller.savepoint()
        await caller.notify("B")
        await savepoint.rollback()
        await caller.commit()
    world.leaves(bookings=[], notified=["A"], rings=1)


async def test_an_inner_savepoint_kept_goes_with_the_outer_one(world: World) -> None:
    async with world.caller() as caller:
        await caller.book("A")
        outer = await caller.savepoint()
        inner = await caller.savepoint()
        await caller.notify("A")
        await inner.commit()
        await outer.rollback()
        await caller.commit()
    world.leaves(bookings=["A"], notified=[], rings=0)


async def test_first_use_inside_a_savepoint_then_commit(world: World) -> None:
    async with world.caller() as caller:
        savepoint = await caller.savepoint()
        await caller.notify("A")
        await savepoint.commit()
        world.leaves(bookings=[], notified=[], rings=0)
        await caller.commit()
    world.leaves(bookings=[], notified=["A"], rings=1)


async def test_first_use_inside_a_savepoint_then_rollback_of_the_root(world: World) -> None:
    async with world.caller() as caller:
        savepoint = await caller.savepoint()
        await caller.notify("A")
        await savepoint.commit()
        await caller.rollback()
    world.leaves(bookings=[], notified=[], rings=0)


async def test_first_use_inside_a_savepoint_that_is_rolled_back(world: World) -> None:
    async with world.caller() as caller:
        savepoint = await caller.savepoint()
        await caller.notify("A")
        await savepoint.rollback()
        await caller.book("B")
        await caller.commit()
    world.leaves(bookings=["B"], notified=[], rings=0)


async def test_a_conflict_leaves_the_callers_transaction_usable(world: World) -> None:
    world.notifier.notify(BookingMoved(booking="A"), to=ANA, idempotency_key="one-key")
    before = world.ring_count()
    async with world.caller() as caller:
        await caller.book("B")
        with pytest.raises(IdempotencyConflict):
            await caller.notify("B", "one-key")
        await caller.book("C")
        await caller.commit()
    world.leaves(bookings=["B", "C"], notified=["A"], rings=before)


async def test_invalid_input_writes_nothing_into_the_callers_transaction(world: World) -> None:
    async with world.caller() as caller:
        await caller.book("A")
        with pytest.raises(InvalidInput, match="idempotency_key"):
            await caller.notify("A", "two\nlines")
        await caller.commit()
    world.leaves(bookings=["A"], notified=[], rings=0)


@pytest.mark.parametrize("driver", SQLITE)
@pytest.mark.parametrize("kept", [True, False], ids=["commit", "rollback"])
async def test_plain_sqlite_engines_work_where_no_savepoint_comes_first(
    driver: str, kept: bool, sqlite_ready_url: str
) -> None:
    """Without BEGIN IMMEDIATE, commit and rollback do what they should as well."""
    async with _world(driver, sqlite_ready_url, immediate=False) as world:
        async with world.caller() as caller:
            await caller.book("A")
            await caller.notify("A")
            await (caller.commit() if kept else caller.rollback())
        names = ["A"] if kept else []
        world.leaves(bookings=names, notified=names, rings=int(kept))


@pytest.mark.parametrize("driver", SQLITE)
async def test_a_savepoint_that_may_come_first_is_refused_on_plain_sqlite_engines(
    driver: str, sqlite_ready_url: str
) -> None:
    """Its release would commit, and what was notified would survive the rollback."""
    async with _world(driver, sqlite_ready_url, immediate=False) as world:
        async with world.caller() as caller:
            savepoint = await caller.savepoint()
            with pytest.raises(ConfigurationError, match="session: is in a savepoint"):
                await caller.notify("A")
            await savepoint.commit()
            await caller.notify("B")
            await caller.rollback()
        world.leaves(bookings=[], notified=[], rings=0)


_AUTOCOMMIT: dict[str, dict[str, Any]] = {
    "sqlite3": {"isolation_level": None},
    "aiosqlite": {"isolation_level": None},
    "psycopg": {"autocommit": True},
    "pymysql": {"autocommit": True},
    "asyncmy": {"autocommit": True},
}


@pytest.mark.parametrize("driver", _AUTOCOMMIT)
async def test_a_driver_that_commits_each_statement_is_refused(
    driver: str, request: pytest.FixtureRequest
) -> None:
    url = _database(driver, request)
    async with _world(driver, url, immediate=False) as world:
        await _dispose(world.engine)
        world.engine = _engine(driver, url, connect_args=_AUTOCOMMIT[driver])
        async with world.caller() as caller:
            with pytest.raises(ConfigurationError, match="session: is in autocommit"):
                await caller.notify("A")
            await caller.rollback()
        await _dispose(world.engine)
        world.leaves(bookings=[], notified=[], rings=0)


@pytest.mark.alone  # so many connections are half of those that a server allows
@pytest.mark.parametrize("keyed", [True, False], ids=["one key", "a key each"])
async def test_fifty_concurrent_transactions_are_all_usable(world: World, keyed: bool) -> None:
    """Fifty at once under one key give one notification; each writes before and after it."""
    keys = ["the-key" if keyed else f"key-{number}" for number in range(50)]
    names = ["same" if keyed else f"b{number:02}" for number in range(50)]

    async def one(number: int, ready: Callable[[], Awaitable[None]]) -> Any:
        async with world.caller() as caller:
            await ready()
            await caller.book(f"before-{number:02}")
            result = await caller.notify(names[number], keys[number])
            await caller.book(f"later-{number:02}")
            await caller.commit()
            return result

    results = await _together(world, one)
    assert len({result.id for result in results}) == (1 if keyed else 50)
    assert sum(not result.replayed for result in results) == (1 if keyed else 50)
    assert all(len(result.deliveries) == 2 for result in results)
    booked = sorted(f"{when}-{n:02}" for when in ("before", "later") for n in range(50))
    world.leaves(bookings=booked, notified=sorted(set(names)), rings=1 if keyed else 50)


async def _together(world: World, one: Callable[..., Any]) -> list[Any]:
    """Run `one` fifty times at once: tasks for an AsyncSession, threads for a Session."""
    if isinstance(world.engine, AsyncEngine):
        here = asyncio.Barrier(50)

        async def wait() -> None:
            await here.wait()

        return await asyncio.gather(*(one(number, wait) for number in range(50)))
    barrier = threading.Barrier(50, timeout=60)

    async def block() -> None:
        barrier.wait()

    def run(number: int) -> Any:
        return asyncio.run(one(number, block))

    with ThreadPoolExecutor(50) as pool:
        loop = asyncio.get_running_loop()
        return await asyncio.gather(
            *(loop.run_in_executor(pool, run, number) for number in range(50))
        )


@pytest.fixture
def elsewhere(tmp_path: Path) -> str:
    """The URL of another database of claimnotify's own."""
    url = f"sqlite:///{tmp_path / 'elsewhere.db'}"
    with Notifier.from_settings(
        dispatcher=RecordingDispatcher(), database_url=url, secret_keys=KEY
    ) as notifier:
        notifier.upgrade()
    return url


async def test_a_session_on_another_database_is_refused(world: World, elsewhere: str) -> None:
    """One with our tables in it too: a worker would never see what is written there."""
    with create_engine(elsewhere).connect() as connection, Session(connection) as session:
        with pytest.raises(ConfigurationError, match=r"session.*not the one") as refused:
            world.notifier.notify(BookingMoved(booking="A"), to=ANA, session=session)
        session.commit()
        count = text("SELECT count(*) FROM claimnotify_notifications")
        assert connection.execute(count).scalar() == 0
    assert "CLAIMNOTIFY_DATABASE_URL" in refused.value.remedy
    world.leaves(bookings=[], notified=[], rings=0)


async def test_a_session_without_our_tables_is_refused(world: World, tmp_path: Path) -> None:
    engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path / 'application.db'}")
    async with AsyncSession(engine) as session:
        with pytest.raises(ConfigurationError, match=r"session.*not the one"):
            await world.notifier.anotify(BookingMoved(booking="A"), to=ANA, session=session)
    await engine.dispose()
    world.leaves(bookings=[], notified=[], rings=0)


async def test_the_wrong_kind_of_session_is_told_which_method_to_call(
    sqlite_ready_url: str,
) -> None:
    async with _world("aiosqlite", sqlite_ready_url) as world:
        async with world.caller() as caller:
            with pytest.raises(ConfigurationError, match="anotify"):
                world.notifier.notify(BookingMoved(booking="A"), to=ANA, session=caller.session)
            with Session(world.observer) as session, pytest.raises(InvalidInput, match="session"):
                await world.notifier.anotify(BookingMoved(booking="A"), to=ANA, session=session)
        world.leaves(bookings=[], notified=[], rings=0)


@pytest.mark.parametrize("where", ["engine", "options", "connection"])
async def test_a_session_that_commits_each_statement_is_refused(
    database_url: str, where: str
) -> None:
    """What it writes would be there whether it commits or not."""
    autocommit = {"isolation_level": "AUTOCOMMIT"}
    engine = create_engine(database_url, **(autocommit if where == "engine" else {}))
    chosen = engine.execution_options(**autocommit) if where == "options" else engine
    rings = RecordingDispatcher()
    options = {"dispatcher": rings, "database_url": database_url, "secret_keys": KEY}
    with Notifier.from_settings(**options) as notifier, Session(chosen) as session:
        notifier.upgrade()
        if where == "connection":
            session.connection(execution_options=autocommit)
        with pytest.raises(ConfigurationError, match=r"session.*autocommit"):
            notifier.notify(BookingMoved(booking="A"), to=ANA, session=session)
        session.rollback()
        assert notifier.history() == []
    engine.dispose()
    assert not rings.rings
