"""The circuit breakers of the in-memory store: moved by outcomes, and what waits for them let go."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from claimnotify.model.notifications import Attempt
from claimnotify.model.states import AttemptOutcome
from claimnotify.policy.breaker import (
    BLOCKED_FOR_AT_MOST,
    BreakerPolicy,
    Trouble,
    channel_breaker,
)
from claimnotify.ports import Outcome
from claimnotify.testing.memory_store.kept import Breaker, Tables

__all__ = ["close", "note", "release"]

_FAILED = (AttemptOutcome.TRANSIENT, AttemptOutcome.UNKNOWN)
_TRIAL = timedelta(seconds=15)
"""How long to wait for what became of a trial, before another delivery is let go for one."""


def note(
    tables: Tables, outcomes: Sequence[Outcome], policy: BreakerPolicy, now: datetime
) -> Collection[str]:
    """Move the breakers by what `outcomes` say; return which block. Of both, success counts."""
    failed: Counter[str] = Counter()
    fine: set[str] = set()
    for outcome in outcomes:
        if outcome.attempt is None:
            continue
        name = outcome.endpoint_id or channel_breaker(outcome.channel)
        if _failed(outcome.attempt, by_endpoint=outcome.endpoint_id is not None):
            failed[name] += 1
        else:
            fine.add(name)
    for name in failed.keys() - fine:
        before = tables.breakers.get(name, Breaker())
        after = policy.failed(before.trouble, failed[name], now)
        moved = after.retry_at != before.trouble.retry_at
        release_at = after.retry_at if moved else before.release_at
        tables.breakers[name] = Breaker(trouble=after, release_at=release_at)
    for name in fine & tables.breakers.keys():
        close(tables, name, now)
    return {name for name, each in tables.breakers.items() if each.trouble.blocked(now)}


def close(tables: Tables, name: str, now: datetime) -> None:
    """Close a breaker, if it is known, so that the next release lets go what waits for it."""
    if name in tables.breakers:
        tables.breakers[name] = Breaker(release_at=now)


def release(tables: Tables, now: datetime) -> int:
    """Let go all that waits for a closed breaker, and one of what waits for one on trial."""
    total = 0
    for name, breaker in list(tables.breakers.items()):
        release_at = breaker.release_at
        if release_at is None or now < release_at <= now + 2 * BLOCKED_FOR_AT_MOST:
            continue
        parked = [row for row in tables.deliveries.values() if row.parked_for == name]
        if breaker.trouble != Trouble():
            parked = sorted(parked, key=lambda row: row.delivery.id)[:1]
            later = now + _TRIAL if parked else None
            tables.breakers[name] = replace(breaker, release_at=later)
        else:
            del tables.breakers[name]
        for row in parked:
            tables.deliveries[row.delivery.id] = row.let_go(now)
        total += len(parked)
    return total


def _failed(attempt: Attempt, *, by_endpoint: bool) -> bool:
    """Return whether an attempt speaks against its endpoint, or its channel's transport."""
    if attempt.outcome not in _FAILED:
        return False
    code = attempt.status_code
    return by_endpoint or code is None or code in (421, 429) or code >= 500
