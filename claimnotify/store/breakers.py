"""Keeps the circuit breakers of endpoints and channels, and parks and releases what waits for them."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, or_, select

from claimnotify.model.locks import ProcessLock
from claimnotify.model.notifications import Attempt
from claimnotify.model.states import AttemptOutcome, DeliveryStatus, Reason
from claimnotify.policy.breaker import (
    BLOCKED_FOR_AT_MOST,
    BreakerPolicy,
    Trouble,
    channel_breaker,
)
from claimnotify.ports import Outcome
from claimnotify.store.tables import breakers, deliveries
from claimnotify.store.writing import insert_or_ignore

__all__ = ["Breakers"]

_FAILED = (AttemptOutcome.TRANSIENT, AttemptOutcome.UNKNOWN)
_TRIAL = timedelta(seconds=15)
"""How long to wait for what became of a trial, before another delivery is let go for one."""
_BELIEVED = 2 * BLOCKED_FOR_AT_MOST
"""What is to be released later than this was written by a clock that has gone back."""
_LOCKED = timedelta(seconds=1)
"""When to look again at parked deliveries that somebody else has locked."""
_FIRST_RELEASE = 10
_LARGEST_RELEASE = 1000
_AT_ONCE = 20
_MOST_KNOWN = 10_000


class Breakers:
    """The breakers of one store.

    A row is there while something fails. `retry_at` in the future: blocked, its deliveries are
    parked. In the past: on trial, one parked delivery at a time is let go. None: closing, parked
    deliveries are let go in growing numbers until none is left, and then the row goes.

    Args:
        policy: When to open, and for how long.
        monotonic: Seconds that never go back.
    """

    def __init__(
        self, policy: BreakerPolicy, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._policy = policy
        self._monotonic = monotonic
        self._known: Mapping[str, Trouble] = {}
        self._read_at: float | None = None
        self._lock = ProcessLock()

    @property
    def stale(self) -> bool:
        """Whether what is known should be read again."""
        return self._read_at is None or self._monotonic() - self._read_at >= 1.0

    @property
    def known(self) -> Mapping[str, Trouble]:
        """What was read last, and what this process wrote since."""
        return self._known

    def read(self, connection: Connection) -> None:
        """Read what is in trouble."""
        rows = connection.execute(select(breakers).limit(_MOST_KNOWN)).all()
        with self._lock:
            self._known = {row.id: _trouble(row) for row in rows}
            self._read_at = self._monotonic()

    def are_still(self, outcomes: Sequence[Outcome]) -> bool:
        """Return whether `outcomes` say nothing that moves a breaker: all went well, as before."""
        return all(
            outcome.status != DeliveryStatus.PARKED
            and outcome.attempt is not None
            and not _failed(outcome.attempt, by_endpoint=outcome.endpoint_id is not None)
            and self._known.get(_name(outcome), Trouble()) == Trouble()
            for outcome in outcomes
        )

    def note(
        self, connection: Connection, outcomes: Sequence[Outcome], now: datetime
    ) -> Collection[str]:
        """Move the breakers by what `outcomes` say; return which block, locked until the end.

        Of an endpoint that both failed and did not, success counts. Those are returned that a
        delivery is to be parked for: none of them can close before it is.
        """
        failed: Counter[str] = Counter()
        fine: set[str] = set()
        parked: set[str] = set()
        tenants: dict[str, str] = {}
        for outcome in outcomes:
            name = _name(outcome)
            if outcome.status == DeliveryStatus.PARKED:
                parked.add(name)
            if outcome.attempt is None:
                continue
            tenants[name] = outcome.tenant if outcome.endpoint_id else ""
            if _failed(outcome.attempt, by_endpoint=outcome.endpoint_id is not None):
                failed[name] += 1
            else:
                fine.add(name)
        failing = failed.keys() - fine
        healed = {name for name in fine if self._known.get(name, Trouble()) != Trouble()}
        troubles = self._locked(connection, failing, failing | healed | parked, tenants)
        for name in failing:
            self._fail(connection, name, troubles[name], failed[name], now)
        if healed:
            self._close(connection, healed, now)
        return {name for name in parked if name in troubles and troubles[name].blocked(now)}

    def _locked(
        self,
        connection: Connection,
        made: Collection[str],
        names: Collection[str],
        tenants: Mapping[str, str],
    ) -> dict[str, Trouble]:
        """Lock the rows of `names`, and make those of `made`; all in one order, so none deadlocks."""
        if not names:
            return {}
        query = (
            select(breakers)
            .where(breakers.c.id.in_(names))
            .order_by(breakers.c.id)
            .with_for_update()
        )
        missing = made - self._known.keys()
        while True:
            new = [
                {
                    "id": name,
                    "tenant": tenants[name],
                    "failures": 0,
                    "openings": 0,
                    "release_size": 1,
                }
                for name in sorted(missing)
            ]
            if new:
                connection.execute(insert_or_ignore(breakers, connection), new)
            found = {row.id: _trouble(row) for row in connection.execute(query)}
            # One that was known may have closed, and gone, since this process read of it.
            missing = made - found.keys()
            if not missing:
                return found

    def let_all_go(self, connection: Connection, name: str, now: datetime) -> None:
        """Close a breaker for good: its endpoint was changed, disabled or deleted."""
        self._close(connection, [name], now)

    def release(self, connection: Connection, now: datetime) -> int:
        """Let parked deliveries go of breakers whose time has come; return how many."""
        columns = breakers.c
        query = (
            select(breakers)
            .where(or_(columns.release_at <= now, columns.release_at > now + _BELIEVED))
            .order_by(columns.release_at)
            .limit(_AT_ONCE)
            .with_for_update(skip_locked=True)
        )
        return sum(self._release(connection, row, now) for row in connection.execute(query).all())

    def _release(self, connection: Connection, row: Row[Any], now: datetime) -> int:
        on_trial = row.retry_at is not None
        wanted = 1 if on_trial else row.release_size
        columns = deliveries.c
        query = (
            select(columns.id)
            .where(columns.parked_for == row.id, columns.status == DeliveryStatus.PARKED)
            .order_by(columns.id)
            .limit(wanted)
            .with_for_update(skip_locked=True)
        )
        ids = [each.id for each in connection.execute(query)]
        if ids:
            connection.execute(
                deliveries.update()
                .where(columns.id.in_(ids))
                .values(
                    status=DeliveryStatus.PENDING,
                    reason=Reason.RELEASED,
                    due_at=now,
                    parked_for=None,
                )
            )
        mine = breakers.c.id == row.id
        if not ids and self._has_parked(connection, row.id):
            later = now + _LOCKED
            connection.execute(breakers.update().where(mine).values(release_at=later))
        elif on_trial:
            after = now + _TRIAL if ids else None
            connection.execute(breakers.update().where(mine).values(release_at=after))
        elif not ids:
            connection.execute(breakers.delete().where(mine))
        else:
            size = min(row.release_size * 2, _LARGEST_RELEASE)
            connection.execute(breakers.update().where(mine).values(release_size=size))
        return len(ids)

    def _has_parked(self, connection: Connection, name: str) -> bool:
        """Return whether something waits for a breaker, locked or not."""
        columns = deliveries.c
        parked = (columns.parked_for == name, columns.status == DeliveryStatus.PARKED)
        return connection.execute(select(columns.id).where(*parked).limit(1)).first() is not None

    def _fail(
        self, connection: Connection, name: str, before: Trouble, count: int, now: datetime
    ) -> None:
        after = self._policy.failed(before, count, now)
        values: dict[str, Any] = {
            "failures": after.failures,
            "openings": after.openings,
            "opened_at": after.opened_at,
            "retry_at": after.retry_at,
        }
        if after.retry_at != before.retry_at:
            values["release_at"] = after.retry_at
        connection.execute(breakers.update().where(breakers.c.id == name).values(values))
        self._remember({name: after})

    def _close(self, connection: Connection, names: Collection[str], now: datetime) -> None:
        connection.execute(
            breakers.update()
            .where(breakers.c.id.in_(names))
            .values(
                failures=0,
                openings=0,
                opened_at=None,
                retry_at=None,
                release_at=now,
                release_size=_FIRST_RELEASE,
            )
        )
        self._remember(dict.fromkeys(names, Trouble()))

    def _remember(self, troubles: Mapping[str, Trouble]) -> None:
        with self._lock:
            self._known = {**self._known, **troubles}


def _name(outcome: Outcome) -> str:
    return outcome.endpoint_id or channel_breaker(outcome.channel)


def _failed(attempt: Attempt, *, by_endpoint: bool) -> bool:
    """Return whether an attempt speaks against its endpoint, or the transport of its channel.

    A mail server that puts one recipient off (450) works; one that is not reached, or says that it
    is closing (421), or an API that is overloaded (429, 5xx), does not.
    """
    if attempt.outcome not in _FAILED:
        return False
    code = attempt.status_code
    return by_endpoint or code is None or code in (421, 429) or code >= 500


def _trouble(row: Row[Any]) -> Trouble:
    return Trouble(
        failures=row.failures,
        openings=row.openings,
        opened_at=row.opened_at,
        retry_at=row.retry_at,
    )
