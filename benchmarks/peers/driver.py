"""A team's application: writes a row for each webhook, commits, and sends its id to the queue.

Obeys a benchmark: `python -m peers.driver celery` or `huey`, with BENCH_… variables as settings.
"""

from __future__ import annotations

import base64
import os
import sys
import time
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

from measuring.dialogue import answer
from measuring.schedule import wait_for
from sqlalchemy import insert, select

from peers.delivering import payload
from peers.rows import Base, Endpoint, WebhookDelivery, make_engine, make_sessions

_BATCH = 1000


class Driver:
    """The application.

    Args:
        enqueue: Sends a row's id to the queue.
    """

    def __init__(self, enqueue: Callable[[int], Any]) -> None:
        self._enqueue = enqueue
        self._engine = make_engine(os.environ["BENCH_DATABASE_URL"])
        self._sessions = make_sessions(self._engine)
        self._owners: list[str] = []

    def open(self, endpoints: Sequence[str]) -> None:
        """Make the tables, and an endpoint with an owner of its own for each URL."""
        Base.metadata.create_all(self._engine)
        with self._sessions.begin() as session:
            for number, url in enumerate(endpoints):
                secret = "whsec_" + base64.b64encode(os.urandom(24)).decode()
                self._owners.append(f"cus_{number}")
                session.add(Endpoint(owner=f"cus_{number}", url=url, secret=secret))

    def accept(self, first: int, count: int) -> float:
        """Accept one after the other, each in a transaction of its own; return the seconds."""
        began = time.perf_counter()
        for number in range(first, first + count):
            for delivery_id in self._write(number):
                self._enqueue(delivery_id)
        return time.perf_counter() - began

    def accept_at(self, first: int, times: Sequence[float]) -> list[tuple[int, float]]:
        """Accept at each of the `times` (monotonic); return numbers and the times of the commits."""
        commits = []
        for number, moment in enumerate(times, first):
            wait_for(moment)
            written = self._write(number)
            commits.append((number, time.monotonic()))
            for delivery_id in written:
                self._enqueue(delivery_id)
        return commits

    def insert_and_enqueue(self, first: int, count: int) -> float:
        """Do the least that accepts: insert a row whose endpoint is known, enqueue its id."""
        began = time.perf_counter()
        for number in range(first, first + count):
            with self._sessions() as session:
                row = self._row(number, 1 + number % len(self._owners))
                session.add(row)
                session.commit()
            self._enqueue(row.id)
        return time.perf_counter() - began

    def fill(self, first: int, count: int) -> None:
        """Write a backlog: rows in bulk, then a message for each."""
        for start in range(first, first + count, _BATCH):
            rows = [
                {
                    "endpoint_id": 1 + number % len(self._owners),
                    "event_type": "seat.upgraded",
                    "payload": payload(number),
                }
                for number in range(start, min(start + _BATCH, first + count))
            ]
            with self._sessions.begin() as session:
                ids = session.scalars(insert(WebhookDelivery).returning(WebhookDelivery.id), rows)
                written = list(ids)
            for delivery_id in written:
                self._enqueue(delivery_id)

    def _write(self, number: int) -> list[int]:
        """Write a row for each of the owner's endpoints and commit; return the rows' ids."""
        owner = self._owners[number % len(self._owners)]
        with self._sessions() as session:
            wanted = select(Endpoint).where(Endpoint.owner == owner, Endpoint.enabled)
            rows = [self._row(number, each.id) for each in session.scalars(wanted)]
            session.add_all(rows)
            session.commit()
            return [row.id for row in rows]

    @staticmethod
    def _row(number: int, endpoint_id: int) -> WebhookDelivery:
        return WebhookDelivery(
            endpoint_id=endpoint_id, event_type="seat.upgraded", payload=payload(number)
        )


def main(queue: str) -> None:
    """Serve the dialogue."""
    task = import_module(f"peers.{queue}_app").deliver
    driver = Driver(task.delay if queue == "celery" else task)
    names = ("open", "accept", "accept_at", "insert_and_enqueue", "fill")
    answer({name: getattr(driver, name) for name in names})


if __name__ == "__main__":
    main(sys.argv[1])
