"""Keeps the circuit breakers of endpoints and channels, and how long each endpoint has been failing."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, select

from claimnotify.model.locks import ProcessLock
from claimnotify.model.states import DeliveryStatus
from claimnotify.policy.answers import Answers, is_success
from claimnotify.policy.breaker import BreakerPolicy, Trouble, channel_breaker
from claimnotify.policy.streaks import StreakPolicy
from claimnotify.ports import Outcome
from claimnotify.store.releasing import FIRST_RELEASE
from claimnotify.store.tables import breakers
from claimnotify.store.writing import insert_or_ignore

__all__ = ["Breakers", "Noted"]

_MOST_KNOWN = 10_000
_FINE = Trouble()


@dataclass(frozen=True, slots=True)
class Noted:
    """What outcomes did to breakers.

    Args:
        blocked: Of those that a delivery is to be parked for, the ones that block: none of them can
            close before it is.
        failing: The endpoints that failed by a fault of their own, with nothing that went well
            beside it, as they are now; locked until the end of the transaction.
    """

    blocked: Collection[str] = ()
    failing: Mapping[str, Trouble] = field(default_factory=dict)


class Breakers:
    """The breakers of one store.

    A row is there while something fails. `retry_at` in the future: blocked, its deliveries are
    parked. In the past: on trial, one parked delivery at a time is let go. None: closing, parked
    deliveries are let go in growing numbers until none is left, and then the row goes, unless
    failures are counted in it (`releasing`).

    Args:
        policy: When to open, and for how long.
        streaks: When an endpoint begins to fail anew.
        monotonic: Seconds that never go back.
    """

    def __init__(
        self,
        policy: BreakerPolicy,
        streaks: StreakPolicy,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._policy = policy
        self._streaks = streaks
        self._monotonic = monotonic
        self._known: Mapping[str, Trouble] = {}
        self._knows_all = True
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
            self._knows_all = len(rows) < _MOST_KNOWN
            self._read_at = self._monotonic()

    def read_one(self, connection: Connection, tenant: str, endpoint_id: str) -> Trouble:
        """Read what is known of one endpoint of a tenant."""
        mine = (breakers.c.tenant == tenant, breakers.c.id == endpoint_id)
        row = connection.execute(select(breakers).where(*mine)).one_or_none()
        return _FINE if row is None else _trouble(row)

    def are_still(self, outcomes: Sequence[Outcome]) -> bool:
        """Return whether `outcomes` say nothing that moves a breaker: all went well, as before."""
        return all(
            outcome.status != DeliveryStatus.PARKED
            and outcome.attempt is not None
            and outcome.pause_endpoint is None
            and is_success(outcome.attempt, by_endpoint=outcome.endpoint_id is not None)
            and not self._may_fail(_name(outcome))
            for outcome in outcomes
        )

    def note(self, connection: Connection, outcomes: Sequence[Outcome], now: datetime) -> Noted:
        """Move the breakers by what `outcomes` say."""
        tally: dict[str, Answers] = defaultdict(Answers)
        parked: set[str] = set()
        tenants: dict[str, str] = {}
        for outcome in outcomes:
            name, by_endpoint = _name(outcome), outcome.endpoint_id is not None
            if outcome.status == DeliveryStatus.PARKED:
                parked.add(name)
            if outcome.attempt is None:
                continue
            tenants[name] = outcome.tenant if by_endpoint else ""
            tally[name].add(
                outcome.attempt,
                by_endpoint=by_endpoint,
                pause=outcome.pause_endpoint,
                our_fault=outcome.our_fault,
            )
        made = {name for name, answers in tally.items() if _moves(answers)}
        healed = {name for name in tally.keys() - made if self._may_fail(name)}
        troubles = self._locked(connection, made, made | healed | parked, tenants)
        failing: dict[str, Trouble] = {}
        for name in made:
            before, answers = troubles[name], tally[name]
            after = self._policy.noted(before, answers, now)
            if answers.blamed and not answers.successes:
                after = failing[name] = self._streaks.failed(after, now)
            self._write(connection, name, before, after, now)
            troubles[name] = after
        if closed := healed & troubles.keys():
            self._close(connection, closed, now)
            troubles |= dict.fromkeys(closed, _FINE)
        blocked = {name for name in parked if name in troubles and troubles[name].blocked(now)}
        return Noted(blocked, failing)

    def let_all_go(
        self, connection: Connection, tenant: str, endpoint_id: str, now: datetime
    ) -> None:
        """Close the breaker of a tenant's endpoint for good: it is changed, disabled or deleted.

        Who changes the endpoint too does so after this, so that all lock the two in one order.
        """
        mine = (breakers.c.id == endpoint_id, breakers.c.tenant == tenant)
        closed = connection.execute(breakers.update().where(*mine).values(_closed(now)))
        if closed.rowcount:
            self._remember({endpoint_id: _FINE})

    def _may_fail(self, name: str) -> bool:
        """Return whether a breaker may have a row that says something: so a success has to go there."""
        return not self._knows_all or self._known.get(name, _FINE) != _FINE

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

    def _write(
        self, connection: Connection, name: str, before: Trouble, after: Trouble, now: datetime
    ) -> None:
        values: dict[str, Any] = asdict(after)
        if after.retry_at != before.retry_at:
            values["release_at"] = after.retry_at
            if after.retry_at is None:
                values |= {"release_at": now, "release_size": FIRST_RELEASE}
        connection.execute(breakers.update().where(breakers.c.id == name).values(values))
        self._remember({name: after})

    def _close(self, connection: Connection, names: Collection[str], now: datetime) -> None:
        mine = breakers.c.id.in_(names)
        connection.execute(breakers.update().where(mine).values(_closed(now)))
        self._remember(dict.fromkeys(names, _FINE))

    def _remember(self, troubles: Mapping[str, Trouble]) -> None:
        with self._lock:
            self._known = {**self._known, **troubles}


def _closed(now: datetime) -> dict[str, Any]:
    """Return what a breaker that closes is set to."""
    return {**asdict(_FINE), "release_at": now, "release_size": FIRST_RELEASE}


def _name(outcome: Outcome) -> str:
    return outcome.endpoint_id or channel_breaker(outcome.channel)


def _moves(answers: Answers) -> bool:
    """Return whether answers say more than that all went well."""
    if answers.pause is not None:
        return True
    return not answers.successes and bool(answers.failures or answers.refusals)


def _trouble(row: Row[Any]) -> Trouble:
    return Trouble(
        failures=row.failures,
        openings=row.openings,
        opened_at=row.opened_at,
        retry_at=row.retry_at,
        failing_since=row.failing_since,
        failed_at=row.failed_at,
    )
