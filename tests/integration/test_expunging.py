"""After an expunge no column and no file has a word of the payload, whatever was under way meanwhile."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import create_engine, select, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from claimnotify import Event, Notifier, Recipient
from claimnotify.errors import NotFound
from claimnotify.model.events import catalogue
from claimnotify.model.messages import Attachment, EmailMessage, message_to_json
from claimnotify.model.states import AttemptOutcome, DeliveryStatus, Reason
from claimnotify.store.expunging import expunge
from claimnotify.store.store import SqlStore
from claimnotify.store.tables import metadata
from claimnotify.testing import RecordingDispatcher, SmtpServer, WebhookReceiver
from claimnotify.testing.store_contract.case import ONE, Case

KEY = "a-key-for-expunging-of-thirty-two-characters"
WORD = "Zwergspitz"
ANA = Recipient(id="cus_7", email="ana@example.com")


class PetLost(Event, type="expunging.pet_lost", channels=("email", "in_app", "webhook")):
    pet: str


catalogue.remove(PetLost)


@pytest.fixture
def notifier(database_url: str) -> Iterator[Notifier]:
    with (
        SmtpServer() as smtp,
        Notifier.from_settings(
            database_url=database_url,
            secret_keys=KEY,
            dispatcher=RecordingDispatcher(),
            webhook_allow_networks="127.0.0.0/8",
            webhook_allow_http=True,
            smtp_host=smtp.host,
            smtp_port=smtp.port,
            smtp_security="none",
            smtp_from_email="claims@example.com",
        ) as notifier,
    ):
        notifier.upgrade()
        yield notifier


def columns_with(store: SqlStore, word: str) -> set[str]:
    """Return the columns of every table in which a value has the word."""
    found = set()
    with store._engine.connect() as connection:
        for table in metadata.tables.values():
            for row in connection.execute(select(table)).mappings():
                for column, value in row.items():
                    told = value if isinstance(value, bytes) else str(value).encode()
                    if word.encode() in told:
                        found.add(f"{table.name.removeprefix('claimnotify_')}.{column}")
    return found


def test_nothing_of_the_payload_is_left(
    notifier: Notifier, database_url: str, tmp_path: Path
) -> None:
    store = notifier._parts.store
    file = Attachment(filename="pet.txt", content=WORD.encode())
    with WebhookReceiver() as receiver:
        notifier.endpoints.register(receiver.url, owner="cus_7")
        sent = notifier.notify(PetLost(pet=WORD), to=ANA, attachments=[file])
        waits = notifier.notify(PetLost(pet=WORD), to=ANA, idempotency_key="k")
        notifier.cancel(waits.id)
        assert notifier.drain() == {"sent": 1, "delivered": 2}
    with store._engine.begin() as connection:  # what a receiver may echo
        echo = {"detail": f"got {WORD}", "headers": f'{{"request": {{"x": "{WORD}"}}}}'}
        connection.execute(metadata.tables["claimnotify_attempts"].update().values(echo))
    before = columns_with(store, WORD)
    assert before >= {
        "notifications.payload",
        "deliveries.content",
        "attempts.detail",
        "attempts.headers",
        "attachments.content",
        "inbox_items.body",
    }
    for note in (sent, waits):
        notifier.expunge(note.id)
    assert columns_with(store, WORD) == set()
    assert {d.status for d in notifier.history(notification_id=sent.id)[0].deliveries} == {
        "sent",
        "delivered",
    }
    again = notifier.notify(PetLost(pet=WORD), to=ANA, idempotency_key="k")
    assert (again.id, again.replayed) == (waits.id, True)
    if database_url.startswith("sqlite"):
        path = database_url.removeprefix("sqlite:///")
        notifier.close()
        with sqlite3.connect(path) as connection:  # type: ignore[assignment]
            connection.execute("VACUUM")
        connection.close()
        kept = b"".join(each.read_bytes() for each in Path(path).parent.glob("claimnotify.db*"))
        assert b"expunging.pet_lost" in kept
        assert WORD.encode() not in kept


@pytest.mark.parametrize("database_url", ["postgresql", "mariadb"], indirect=True)
@pytest.mark.parametrize("since", ["it was accepted", "it was sent again"])
def test_a_session_that_began_before_leaves_nothing_or_says_so(
    notifier: Notifier, database_url: str, since: str
) -> None:
    """What was written since its first read it does not see, unless it asks for that."""
    engine = create_engine(database_url, isolation_level="REPEATABLE READ")
    mariadb = engine.dialect.name == "mysql"
    with WebhookReceiver() as receiver, Session(engine) as session:
        notifier.endpoints.register(receiver.url, owner="cus_7")
        notes = [notifier.notify(PetLost(pet=WORD), to=ANA)] if since == "it was sent again" else []
        notifier.drain()
        session.execute(text("SELECT count(*) FROM claimnotify_deliveries")).all()
        if notes:
            for each in notes[0].deliveries:
                notifier.replay(each.id)
        else:
            notes.append(notifier.notify(PetLost(pet=WORD), to=ANA))
        notifier.drain()
        with notifier._parts.store._engine.begin() as connection:  # type: ignore[attr-defined]
            connection.execute(metadata.tables["claimnotify_attempts"].update().values(detail=WORD))
        if mariadb:
            notifier.expunge(notes[0].id, session=session)
            session.commit()
            assert columns_with(notifier._parts.store, WORD) == set()
        else:
            with pytest.raises((OperationalError, NotFound), match=r"could not serialize|no such"):
                notifier.expunge(notes[0].id, session=session)
    engine.dispose()


@pytest.mark.parametrize("holds_its_lease", [True, False])
@pytest.mark.parametrize("server", ["postgres_url", "mariadb_url"])
def test_an_outcome_that_is_written_while_it_is_expunged_brings_nothing_back(
    request: pytest.FixtureRequest, server: str, holds_its_lease: bool
) -> None:
    """The worker's transaction begins before the expunge is committed, and ends after it."""
    store = SqlStore(request.getfixturevalue(server), ring=lambda _queue: None)
    store.upgrade()
    case, done = Case(store), []
    note = case.accept()
    lease = case.lease()
    (work,) = lease.works
    told = replace(case.attempt(AttemptOutcome.DELIVERED), detail=WORD, request_headers={"x": WORD})
    token = lease.token if holds_its_lease else "0" * 32
    outcome = case.outcome(lease, work, DeliveryStatus.DELIVERED, Reason.CONFIRMED, attempt=told)

    def bring_back() -> None:
        text = message_to_json(EmailMessage(subject=WORD, text=WORD))
        store.work.keep_content(lease.token, {work.delivery.id: text})
        done.append(store.work.record([replace(outcome, token=token)]))

    worker = threading.Thread(target=bring_back, daemon=True)
    with store._engine.begin() as connection:
        expunge(connection, ONE, note.id, store.clock.now(connection))
        worker.start()
        worker.join(0.3)
        assert worker.is_alive(), "it waits for the lock of its row"
    worker.join(20)
    assert len(done) == 1
    assert columns_with(store, WORD) == set()
    assert len(case.only(note).history) == 1
    state = ("delivered", "confirmed") if holds_its_lease else ("sending", "expunged")
    assert case.state(note) == state
    store.close()
