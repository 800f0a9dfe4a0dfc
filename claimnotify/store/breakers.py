"""Keeps the circuit breakers of endpoints and channels, and how long each endpoint has been failing."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, exists, select

from claimnotify.model.states import DeliveryStatus
from claimnotify.policy.answers import Answers, is_success
from claimnotify.policy.breaker import BreakerPolicy, Trouble, channel_breaker
from claimnotify.policy.streaks import StreakPolicy
from claimnotify.ports import Outcome
from claimnotify.store.known_breakers import FINE, KnownBreakers, trouble_of
from claimnotify.store.releasing import FIRST_RELEASE
from claimnotify.store.tables import breakers, deliveries, endpoints
from claimnotify.store.writing import insert_or_ignore

__all__ = ["Breakers", "Noted"]

_FORGET_AFTER = timedelta(days=30)
_FORGET_AT_ONCE = 500
_BETWEEN_FORGETTING = 3600.0
"""Seconds; the rows are searched through for it."""


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
        self.known = KnownBreakers(monotonic=monotonic)
        self._forget_at = 0.0

    @property
    def forgets(self) -> bool:
        """Whether `forget` is to be called: once an hour, or while there is more to delete."""
        return self.known.monotonic() >= self._forget_at

    def read_one(self, connection: Connection, tenant: str, endpoint_id: str) -> Trouble:
        """Read what is known of one endpoint of a tenant."""
        mine = (breakers.c.tenant == tenant, breakers.c.id == endpoint_id)
        row = connection.execute(select(breakers).where(*mine)).one_or_none()
        return FINE if row is None else trouble_of(row)

    def are_still(self, outcomes: Sequence[Outcome]) -> bool:
        """Return whether `outcomes` say nothing that moves a breaker: all went well, as before."""
        return all(
            outcome.status != DeliveryStatus.PARKED
            and outcome.attempt is not None
            and outcome.pause_endpoint is None
            and is_success(outcome.attempt, by_endpoint=outcome.endpoint_id is not None)
            and not self.known.may_fail(_name(outcome))
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
        healed = {name for name in tally.keys() - made if self.known.may_fail(name)}
        troubles = self._locked(connection, made, made | healed | parked, tenants)
        failing: dict[str, Trouble] = {}
        for name in made & troubles.keys():
            before, answers = troubles[name], tally[name]
            after = self._policy.noted(before, answers, now)
            if answers.blamed and not answers.successes:
                after = failing[name] = self._streaks.failed(after, now)
            self._write(connection, name, before, after, now)
            troubles[name] = after
        if closed := healed & troubles.keys():
            self._close(connection, closed, now)
            troubles |= dict.fromkeys(closed, FINE)
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
            self.known.remember({endpoint_id: FINE})

    def forget(self, connection: Connection, now: datetime) -> None:
        """Delete some rows of endpoints that failed long ago and got nothing since."""
        columns, waiting = breakers.c, deliveries.c
        old = (
            columns.failed_at < now - max(_FORGET_AFTER, self._streaks.gap),
            columns.release_at.is_(None),
        )
        parked = exists().where(waiting.parked_for == columns.id)
        query = select(columns.id).where(*old, ~parked).limit(_FORGET_AT_ONCE)
        ids = connection.execute(query).scalars().all()
        if ids:
            connection.execute(breakers.delete().where(columns.id.in_(ids), *old))
        if len(ids) < _FORGET_AT_ONCE:
            self._forget_at = self.known.monotonic() + _BETWEEN_FORGETTING

    def _locked(
        self,
        connection: Connection,
        made: Collection[str],
        names: Collection[str],
        tenants: Mapping[str, str],
    ) -> dict[str, Trouble]:
        """Lock the rows of `names`, and make those of `made`; all in one order, so none deadlocks.

        Of an endpoint that is deleted none is made.
        """
        if not names:
            return {}
        query = (
            select(breakers)
            .where(breakers.c.id.in_(names))
            .order_by(breakers.c.id)
            .with_for_update()
        )
        gone: set[str] = set()
        missing = made - self.known.troubles.keys()
        while True:
            if missing:
                gone |= _gone(connection, {name for name in missing if tenants[name]})
                _insert(connection, missing - gone, tenants)
            found = {row.id: trouble_of(row) for row in connection.execute(query)}
            # One that was known may have closed, and gone, since this process read of it.
            missing = made - found.keys() - gone
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
        self.known.remember({name: after})

    def _close(self, connection: Connection, names: Collection[str], now: datetime) -> None:
        mine = breakers.c.id.in_(names)
        connection.execute(breakers.update().where(mine).values(_closed(now)))
        self.known.remember(dict.fromkeys(names, FINE))


def _gone(connection: Connection, names: Collection[str]) -> set[str]:
    """Return those of endpoints that are deleted."""
    if not names:
        return set()
    query = select(endpoints.c.id).where(endpoints.c.id.in_(names))
    return set(names) - set(connection.execute(query).scalars())


def _insert(connection: Connection, names: Collection[str], tenants: Mapping[str, str]) -> None:
    new = {"failures": 0, "openings": 0, "release_size": 1}
    rows = [{"id": name, "tenant": tenants[name], **new} for name in sorted(names)]
    if rows:
        connection.execute(insert_or_ignore(breakers, connection), rows)


def _closed(now: datetime) -> dict[str, Any]:
    """Return what a breaker that closes is set to."""
    return {**asdict(FINE), "release_at": now, "release_size": FIRST_RELEASE}


def _name(outcome: Outcome) -> str:
    return outcome.endpoint_id or channel_breaker(outcome.channel)


def _moves(answers: Answers) -> bool:
    """Return whether answers say more than that all went well."""
    if answers.pause is not None:
        return True
    return not answers.successes and bool(answers.failures or answers.refusals)
