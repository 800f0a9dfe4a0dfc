"""Writes what became of leased deliveries: outcomes, attempts, inbox items, and what follows from them."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, bindparam, select

from claimnotify.model.notifications import Attempt
from claimnotify.model.states import TERMINAL, DeliveryStatus, Reason
from claimnotify.ports import Outcome, Recorded
from claimnotify.store.breakers import Breakers
from claimnotify.store.expunging import forget_attempts
from claimnotify.store.failing import FailingEndpoints
from claimnotify.store.lanes import lane_name
from claimnotify.store.ordering import let_next_go
from claimnotify.store.tables import attempts, deliveries, inbox_items
from claimnotify.store.writing import insert_rows

__all__ = ["ENDED", "Recorder", "attempt_row"]

ENDED = TERMINAL | {DeliveryStatus.SENT}
"""The states that no worker moves on from."""
_MICROSECOND = timedelta(microseconds=1)
_FEW = 3
"""From how many rows on that change alike one statement for all is cheaper than one for each."""
_WAITING = (DeliveryStatus.PENDING, DeliveryStatus.PARKED)

_Values = tuple[tuple[str, Any], ...]


class Recorder:
    """Records outcomes, fenced by the lease's token.

    Args:
        breakers: Moved by what failed and what did not.
        failing: Decides on endpoints that failed.
        new_id: Makes ids.
    """

    def __init__(
        self, breakers: Breakers, failing: FailingEndpoints, *, new_id: Callable[[], str]
    ) -> None:
        self._breakers = breakers
        self._failing = failing
        self._new_id = new_id

    def attempts_of(self, outcomes: Sequence[Outcome]) -> Sequence[dict[str, Any]]:
        """Return the rows of their attempts; made before the transaction, to keep that short."""
        return [
            attempt_row(outcome, outcome.attempt)
            for outcome in outcomes
            if outcome.attempt is not None
        ]

    def record(
        self,
        connection: Connection,
        outcomes: Sequence[Outcome],
        made: Sequence[dict[str, Any]],
        now: datetime,
    ) -> Recorded:
        """Write outcomes and the attempts that were made.

        Returns which rows had lost their lease, and when to look for what is left.
        """
        noted = self._breakers.note(connection, outcomes, now)
        held = _held(connection, outcomes)
        mine = {each.delivery_id: each for each in outcomes if _holds(each, held)}
        groups: dict[_Values, list[str]] = defaultdict(list)
        left: set[str] = set()
        moments: list[datetime] = []
        for row in held.values():
            values = _change(mine[row.id], row, noted.blocked, now)
            if row.order_key is not None and values["order_key"] is None:
                left.add(row.order_key)
            if values["due_at"] is not None:
                moments.append(values["due_at"])
            groups[tuple(values.items())].append(row.id)
        _write(connection, groups)
        if made:
            insert_rows(connection, attempts, made, unless_there=True)
        lost = {outcome.delivery_id for outcome in outcomes} - held.keys()
        expunged = {row.id for row in held.values() if row.reason == Reason.EXPUNGED}
        if made and (doubtful := lost | expunged):
            forget_attempts(connection, doubtful)
        kept = [mine[key] for key in held]
        self._put_in_inbox(
            connection, [each for each in kept if each.delivery_id not in expunged], now
        )
        notices = self._failing.judge(connection, kept, noted.failing, now)
        if left and let_next_go(connection, left, now):
            moments.append(now)
        return Recorded(lost, min(moments, default=None), notices)

    def _put_in_inbox(
        self, connection: Connection, outcomes: Sequence[Outcome], now: datetime
    ) -> None:
        rows = [
            {
                "id": self._new_id(),
                "tenant": outcome.tenant,
                "recipient_id": outcome.inbox_item[0],
                "delivery_id": outcome.delivery_id,
                "notification_id": outcome.notification_id,
                "title": outcome.inbox_item[1].title,
                "body": outcome.inbox_item[1].body,
                "url": outcome.inbox_item[1].url,
                "created_at": now,
            }
            for outcome in outcomes
            if outcome.inbox_item is not None
        ]
        if rows:
            insert_rows(connection, inbox_items, rows)


def attempt_row(outcome: Outcome, attempt: Attempt) -> dict[str, Any]:
    """Return the row of an outcome's attempt.

    Its id follows from the lease, under which there is one attempt: an outcome that is written again,
    as the answer to the first time was lost, is not another one. It sorts by the time of the lease.
    """
    digest = hashlib.sha256(f"{outcome.token}{outcome.delivery_id}".encode()).hexdigest()
    return {
        "id": outcome.token[:13] + digest[:19],
        "tenant": outcome.tenant,
        "delivery_id": outcome.delivery_id,
        "number": attempt.number,
        "started_at": attempt.started_at,
        "duration_us": attempt.duration // _MICROSECOND,
        "outcome": attempt.outcome,
        "status_code": attempt.status_code,
        "error": attempt.error,
        "detail": attempt.detail,
        "headers": _headers(attempt),
    }


def _headers(attempt: Attempt) -> str | None:
    sent, received = attempt.request_headers, attempt.response_headers
    if not sent and not received:
        return None
    return json.dumps({"request": dict(sent), "response": dict(received)})


def _held(connection: Connection, outcomes: Sequence[Outcome]) -> Mapping[str, Row[Any]]:
    """Lock and return, by id, those rows that still carry the token of an outcome of theirs."""
    columns = deliveries.c
    # A worker that was cut off may have two outcomes of one delivery, of an old and a new lease.
    pairs = {(outcome.delivery_id, outcome.token) for outcome in outcomes}
    query = (
        select(
            columns.id,
            columns.tenant,
            columns.channel,
            columns.reason,
            columns.queue,
            columns.priority,
            columns.lease_token,
            columns.cancel_requested,
            columns.attempts,
            columns.crashes,
            columns.provider_id,
            columns.order_key,
            columns.order_strict,
        )
        .where(
            columns.id.in_({delivery_id for delivery_id, _ in pairs}),
            columns.lease_token.in_({token for _, token in pairs}),
        )
        .order_by(columns.id)
        .with_for_update()
    )
    held: dict[str, Row[Any]] = {}
    for row in connection.execute(query):
        if (row.id, row.lease_token) in pairs:
            held[row.id] = row  # type: ignore[assignment]  # a row of known columns is a row
    return held


def _holds(outcome: Outcome, held: Mapping[str, Row[Any]]) -> bool:
    row = held.get(outcome.delivery_id)
    return row is not None and row.lease_token == outcome.token


def _change(
    outcome: Outcome, row: Row[Any], blocked: Collection[str], now: datetime
) -> dict[str, Any]:
    """Return every value that the outcome gives the row."""
    status, reason, due_at = outcome.status, str(outcome.reason), outcome.due_at
    if status == DeliveryStatus.PARKED and outcome.endpoint_id not in blocked:
        # Its endpoint works again since it was to be parked.
        status, reason, due_at = DeliveryStatus.PENDING, str(Reason.RELEASED), now
    if row.cancel_requested and status in _WAITING:
        expunged = row.reason == Reason.EXPUNGED
        why = Reason.EXPUNGED if expunged else Reason.CANCELLED
        status, reason, due_at = DeliveryStatus.CANCELLED, str(why), None
    waits = status in _WAITING
    # A row that came back with something to tell does not kill its worker.
    proven = outcome.attempt is not None or not waits
    gives_up_place = not waits or (outcome.attempt is not None and not row.order_strict)
    lane = lane_name(row.queue, row.priority, row.channel, row.tenant) if waits else None
    return {
        "status": status,
        "reason": reason,
        "lane": lane,
        "due_at": due_at,
        "lease_token": None,
        "lease_until": None,
        "parked_for": outcome.endpoint_id if status == DeliveryStatus.PARKED else None,
        "finished_at": now if status in ENDED else None,
        "attempts": row.attempts + (outcome.attempt is not None),
        "crashes": 0 if proven else row.crashes,
        "provider_id": outcome.provider_id or row.provider_id,
        "order_key": None if gives_up_place else row.order_key,
    }


def _write(connection: Connection, groups: Mapping[_Values, Sequence[str]]) -> None:
    """Write each group of rows that change alike in one statement, and the others one by one."""
    single: list[dict[str, Any]] = []
    for values, ids in groups.items():
        if len(ids) < _FEW:
            single += [{**{f"new_{k}": v for k, v in values}, "row_id": each} for each in ids]
        else:
            connection.execute(
                deliveries.update().where(deliveries.c.id.in_(ids)).values(dict(values))
            )
    if single:
        names = [name.removeprefix("new_") for name in single[0] if name != "row_id"]
        connection.execute(
            deliveries.update()
            .where(deliveries.c.id == bindparam("row_id"))
            .values({name: bindparam(f"new_{name}") for name in names}),
            single,
        )
