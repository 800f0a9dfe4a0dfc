"""Writing on MariaDB: old snapshots, deadlocks, waits in vain, what is cut off, what is too large."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import create_engine, event, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from claimnotify import Event, Notifier, Recipient
from claimnotify.errors import ConfigurationError, InvalidInput, StoreUnavailable
from claimnotify.model.messages import Attachment
from claimnotify.store.store import SqlStore
from claimnotify.testing import RecordingDispatcher

KEY = "a-key-for-mariadb-sessions-of-32-characters"
ANA = Recipient(id="cus_7")


class Towed(Event, type="mariadb.towed", channels=("in_app",)):
    name: str


@pytest.fixture
def notifier(mariadb_url: str) -> Iterator[Notifier]:
    options = {"database_url": mariadb_url, "secret_keys": KEY}
    with Notifier.from_settings(dispatcher=RecordingDispatcher(), **options) as notifier:
        notifier.upgrade()
        yield notifier


def count(url: str, table: str) -> int:
    engine = create_engine(url)
    with engine.connect() as connection:
        found = connection.execute(text(f"SELECT count(*) FROM claimnotify_{table}")).scalar_one()
    engine.dispose()
    return int(found)


def test_a_key_used_since_the_transaction_began_is_found(
    mariadb_url: str, notifier: Notifier
) -> None:
    """With REPEATABLE READ, the default, plain reads show what there was at the first one."""
    engine = create_engine(mariadb_url)
    with Session(engine) as session:
        assert session.connection().get_isolation_level() == "REPEATABLE READ"
        session.execute(text("SELECT count(*) FROM claimnotify_notifications")).all()
        first = notifier.notify(Towed(name="a"), to=ANA, idempotency_key="k")
        again = notifier.notify(Towed(name="a"), to=ANA, idempotency_key="k", session=session)
        session.commit()
    engine.dispose()
    assert again.replayed
    assert again.id == first.id
    assert [each.id for each in again.deliveries] == [each.id for each in first.deliveries]
    assert count(mariadb_url, "notifications") == 1


@pytest.mark.parametrize(
    ("query", "mode", "said"),
    [
        ("", "SET sql_mode = ''", "not strict"),
        ("?charset=utf8mb3", "SET sql_mode = 'TRADITIONAL'", "utf8mb3"),
        ("?charset=latin1", "SET sql_mode = 'TRADITIONAL'", "latin1"),
    ],
)
def test_a_connection_that_would_cut_texts_off_or_garble_them_is_refused(
    mariadb_url: str, notifier: Notifier, query: str, mode: str, said: str
) -> None:
    engine = create_engine(mariadb_url + query, connect_args={"init_command": mode})
    with Session(engine) as session, pytest.raises(ConfigurationError, match=said):
        notifier.notify(Towed(name="a"), to=ANA, session=session)
    engine.dispose()
    assert count(mariadb_url, "notifications") == 0


def test_a_deadlock_ends_the_callers_transaction_and_leaves_nothing_of_it(
    mariadb_url: str, notifier: Notifier
) -> None:
    """Two transactions take the same two ordering keys crosswise; one of them is begun anew."""
    engine = create_engine(mariadb_url)
    both_have_one = threading.Barrier(2)
    deadlocks: list[int] = []

    def tow(first: str, second: str) -> None:
        for attempt in range(2):
            try:
                with Session(engine) as session, session.begin():
                    notifier.notify(Towed(name=first), to=ANA, ordering_key=first, session=session)
                    if attempt == 0:
                        both_have_one.wait(30)
                    notifier.notify(
                        Towed(name=second), to=ANA, ordering_key=second, session=session
                    )
                return
            except OperationalError as error:
                deadlocks.append(error.orig.args[0] if error.orig else 0)

    # Rows that are there, so that each waits for the other's lock.
    for key in ("one", "two"):
        notifier.notify(Towed(name=key), to=ANA, ordering_key=key)
    threads = [threading.Thread(target=tow, args=keys) for keys in (("one", "two"), ("two", "one"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    engine.dispose()
    assert deadlocks == [1213]
    assert count(mariadb_url, "notifications") == 2 + 4
    assert count(mariadb_url, "deliveries") == 2 + 4


def test_what_waited_for_a_lock_in_vain_was_not_written_and_says_so(mariadb_url: str) -> None:
    def make(ring: Callable[[str], None]) -> SqlStore:
        store = SqlStore(mariadb_url, ring=ring)

        @event.listens_for(store._engine, "connect")
        def wait_a_second_only(connection: Any, _record: Any) -> None:
            connection.query("SET innodb_lock_wait_timeout = 1")

        store.upgrade()
        return store

    engine = create_engine(mariadb_url)
    rings = RecordingDispatcher()
    with Notifier.from_settings(secret_keys=KEY, dispatcher=rings, store=make) as notifier:
        notifier.notify(Towed(name="a"), to=ANA, ordering_key="held")
        with engine.begin() as holder:
            holder.execute(text("SELECT * FROM claimnotify_streams FOR UPDATE")).all()
            with pytest.raises(StoreUnavailable, match="holds a long write lock"):
                notifier.notify(Towed(name="b"), to=ANA, ordering_key="held")
        assert count(mariadb_url, "notifications") == 1
        assert sum(rings.rings.values()) == 1
        notifier.notify(Towed(name="b"), to=ANA, ordering_key="held")
        assert count(mariadb_url, "deliveries") == 2
    engine.dispose()


def test_an_attachment_that_the_server_cannot_take_is_refused_and_a_smaller_one_kept(
    mariadb_url: str, notifier: Notifier
) -> None:
    """A server that gets too large a packet hangs up, as if it were not there."""
    engine = create_engine(mariadb_url)
    with engine.connect() as connection:
        packet = connection.execute(text("SELECT @@max_allowed_packet")).scalar_one()
    fits = bytes(range(256)) * (packet // 2 // 256 - 64)

    def notify(content: bytes, **options: Any) -> Any:
        file = Attachment(
            filename="a.bin", content=content, content_type="application/octet-stream"
        )
        return notifier.notify(Towed(name="a"), to=ANA, attachments=[file], **options)

    notify(fits)
    with Session(engine) as session:
        with pytest.raises(InvalidInput, match="max_allowed_packet"):
            notify(fits + b"\x00" * 40_000, session=session)
        session.commit()
    with engine.connect() as connection:
        kept = connection.execute(text("SELECT content FROM claimnotify_attachments")).scalars()
        assert kept.all() == [fits]
    engine.dispose()
    assert count(mariadb_url, "notifications") == 1
