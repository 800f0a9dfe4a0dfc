"""An application that notifies through claimnotify; obeys a benchmark. `python -m ours.driver`."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from measuring.dialogue import answer
from measuring.schedule import wait_for
from peers.plain_mail import CLAIM
from sqlalchemy import create_engine, event
from sqlalchemy.orm import Session

from claimnotify import Event, Notifier, Recipient
from claimnotify.claims import ClaimApproved

_IN_ONE_COMMIT = 100


class SeatUpgraded(
    Event, type="seat.upgraded", category="status_updates", channels=("webhook",), subject="booking"
):
    """What the webhooks tell."""

    number: int
    booking: str
    flight: str
    seat: str
    passenger: str


class Approved(ClaimApproved, type="claim.approved", version=2, channels=("email",)):
    """The claims pack's event, over e-mail alone."""


class Driver:
    """The application."""

    def __init__(self) -> None:
        self._notifier: Notifier
        self._recipients: list[Recipient] = []

    def open(self, settings: Mapping[str, Any], endpoints: Sequence[str]) -> None:
        """Connect, migrate, and register each of the URLs for a recipient of its own."""
        self._notifier = Notifier.from_settings(**settings)
        self._notifier.upgrade()
        for number, url in enumerate(endpoints):
            recipient = Recipient(id=f"cus_{number}", name="Ana Jäger", locale="de")
            self._notifier.endpoints.register(url, owner=recipient.id)
            self._recipients.append(recipient)
        self._engine = create_engine(settings["database_url"])
        if self._engine.dialect.name == "sqlite":
            _begin_immediate(self._engine)

    def notify(self, first: int, count: int) -> float:
        """Notify one after the other, each in a transaction of its own; return the seconds."""
        began = time.perf_counter()
        for number in range(first, first + count):
            self._notifier.notify(_event(number), to=self._recipient(number))
        return time.perf_counter() - began

    def notify_in_session(self, first: int, count: int) -> float:
        """Notify in transactions of the application, a hundred in each; return the seconds."""
        began = time.perf_counter()
        for start in range(first, first + count, _IN_ONE_COMMIT):
            with Session(self._engine) as session, session.begin():
                for number in range(start, min(start + _IN_ONE_COMMIT, first + count)):
                    self._notifier.notify(
                        _event(number), to=self._recipient(number), session=session
                    )
        return time.perf_counter() - began

    def notify_many(self, first: int, count: int) -> float:
        """Notify through `notify_many`; return the seconds."""
        began = time.perf_counter()
        numbers = iter(range(first, first + count))
        self._notifier.notify_many(
            lambda _recipient: _event(next(numbers)), to=self._those(first, count)
        )
        return time.perf_counter() - began

    def bare_statements(self, first: int, count: int) -> float:
        """Run the statements of `notify` by the database's driver and nothing else: the limit."""
        template = self._notifier.notify(_event(first), to=self._recipients[0])
        connection = self._engine.raw_connection()
        try:
            driver = connection.driver_connection
            assert driver is not None
            run = _bare_postgresql if self._engine.dialect.name == "postgresql" else _bare_sqlite
            return run(driver, template.id, self._recipients[0].id, count)
        finally:
            connection.invalidate()

    def mail_many(self, first: int, count: int) -> float:
        """Notify of approved claims by e-mail through `notify_many`; return the seconds."""
        began = time.perf_counter()
        recipients = (
            Recipient(id=f"cus_{number}", name="Ana Jäger", email=f"cus_{number}@example.com")
            for number in range(first, first + count)
        )
        self._notifier.notify_many(lambda _: _approved(), to=recipients)
        return time.perf_counter() - began

    def mail_many_watched(self, count: int, shares: Sequence[float]) -> dict[str, int]:
        """Notify `count` recipients; return the resident bytes at each of the `shares` of them."""
        marks = {int(count * share): str(share) for share in shares}
        resident: dict[str, int] = {}

        def recipients() -> Iterator[Recipient]:
            for number in range(1, count + 1):
                yield Recipient(id=f"cus_{number}", email=f"cus_{number}@example.com")
                if number in marks:
                    resident[marks[number]] = _resident()

        self._notifier.notify_many(lambda _: _approved(), to=recipients())
        return resident

    def notify_at(self, first: int, times: Sequence[float]) -> list[tuple[int, float]]:
        """Notify at each of the `times` (monotonic); return numbers and the times of the commits."""
        commits = []
        for number, moment in enumerate(times, first):
            wait_for(moment)
            with Session(self._engine) as session:
                committed: list[float] = []
                # Before the notifier's own listener, so that the ring is part of the latency.
                event.listen(
                    session, "after_commit", lambda _, c=committed: c.append(time.monotonic())
                )
                self._notifier.notify(_event(number), to=self._recipient(number), session=session)
                session.commit()
            commits.append((number, committed[0]))
        return commits

    def notify_one(self, endpoint: int, first: int, count: int) -> None:
        """Notify one recipient `count` times."""
        recipient = self._recipients[endpoint]
        numbers = iter(range(first, first + count))
        self._notifier.notify_many(lambda _: _event(next(numbers)), to=[recipient] * count)

    def _those(self, first: int, count: int) -> Iterator[Recipient]:
        return (self._recipient(number) for number in range(first, first + count))

    def _recipient(self, number: int) -> Recipient:
        return self._recipients[number % len(self._recipients)]


def _bare_sqlite(connection: Any, template: str, owner: str, count: int) -> float:
    connection.isolation_level = None
    select, note, delivery, rows = _statements(connection, "?", template)
    began = time.perf_counter()
    for each in rows(count):
        connection.execute(select, (owner,)).fetchall()
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(note, each[0])
        connection.execute(delivery, each[1])
        connection.execute("COMMIT")
    return time.perf_counter() - began


def _bare_postgresql(connection: Any, template: str, owner: str, count: int) -> float:
    connection.rollback()
    connection.autocommit = True
    select, note, delivery, rows = _statements(connection, "%s", template)
    whole = f"WITH note AS ({note}) {delivery}"
    began = time.perf_counter()
    for each in rows(count):
        connection.execute(select, (owner,)).fetchall()
        connection.execute(whole, (*each[0], *each[1]))
    return time.perf_counter() - began


def _statements(connection: Any, mark: str, template: str) -> Any:
    """Return the statements, and what makes rows like those of the notification `template`."""
    of_delivery = f"SELECT * FROM claimnotify_deliveries WHERE notification_id = {mark}"
    of_note = f"SELECT * FROM claimnotify_notifications WHERE id = {mark}"
    note = connection.execute(of_note, (template,))
    names = [column[0] for column in note.description]
    note_row = dict(zip(names, note.fetchone(), strict=True))
    delivery = connection.execute(of_delivery, (template,))
    names = [column[0] for column in delivery.description]
    delivery_row = dict(zip(names, delivery.fetchone(), strict=True))

    def insert(table: str, row: Mapping[str, Any]) -> str:
        marks = ", ".join([mark] * len(row))
        return f"INSERT INTO claimnotify_{table} ({', '.join(row)}) VALUES ({marks})"

    def rows(count: int) -> list[tuple[tuple[Any, ...], tuple[Any, ...]]]:
        made = []
        for _ in range(count):
            key = uuid.uuid4().hex
            new_note = {**note_row, "id": key}
            new_delivery = {**delivery_row, "id": uuid.uuid4().hex, "notification_id": key}
            made.append((tuple(new_note.values()), tuple(new_delivery.values())))
        return made

    select = f"SELECT * FROM claimnotify_endpoints WHERE tenant = 'default' AND owner = {mark}"
    return select, insert("notifications", note_row), insert("deliveries", delivery_row), rows


def _event(number: int) -> SeatUpgraded:
    return SeatUpgraded(
        number=number, booking=f"BK-{number}", flight="LH 1234", seat="12A", passenger="Ana Jäger"
    )


def _approved() -> Approved:
    return Approved(**CLAIM)


def _resident() -> int:
    """Return how many bytes of this process are in memory (proc(5), statm, second field)."""
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _begin_immediate(engine: Any) -> None:
    """Have SQLite transactions take the write lock at once, as the documentation tells."""

    @event.listens_for(engine, "connect")
    def connected(connection: Any, _record: Any) -> None:
        connection.isolation_level = None
        connection.execute("PRAGMA synchronous=NORMAL")

    @event.listens_for(engine, "begin")
    def begun(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")


if __name__ == "__main__":
    driver = Driver()
    answer(
        {
            name: getattr(driver, name)
            for name in (
                "open",
                "notify",
                "notify_in_session",
                "bare_statements",
                "notify_many",
                "mail_many",
                "mail_many_watched",
                "notify_at",
                "notify_one",
            )
        }
    )
