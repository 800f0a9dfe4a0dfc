"""The circuit breakers of the in-memory store: moved by outcomes, and what waits for them let go."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from claimnotify.policy.answers import Answers
from claimnotify.policy.breaker import (
    BLOCKED_FOR_AT_MOST,
    BreakerPolicy,
    Trouble,
    channel_breaker,
)
from claimnotify.policy.streaks import StreakPolicy
from claimnotify.ports import Outcome
from claimnotify.testing.memory_store.kept import Breaker, Tables

__all__ = ["close", "note", "release"]

_TRIAL = timedelta(seconds=15)
"""How long to wait for what became of a trial, before another delivery is let go for one."""


def note(
    tables: Tables,
    outcomes: Sequence[Outcome],
    policy: BreakerPolicy,
    streaks: StreakPolicy,
    now: datetime,
) -> tuple[Collection[str], Mapping[str, Trouble]]:
    """Move the breakers by what `outcomes` say; return which block, and the endpoints that failed."""
    tally: dict[str, Answers] = defaultdict(Answers)
    for outcome in outcomes:
        if outcome.attempt is not None:
            tally[outcome.endpoint_id or channel_breaker(outcome.channel)].add(
                outcome.attempt,
                by_endpoint=outcome.endpoint_id is not None,
                pause=outcome.pause_endpoint,
                our_fault=outcome.our_fault,
            )
    failing: dict[str, Trouble] = {}
    for name, answers in tally.items():
        if name not in tables.breakers and _is_gone(tables, name):
            continue
        kept = tables.breakers.get(name, Breaker())
        after = policy.noted(kept.trouble, answers, now)
        if answers.blamed and not answers.successes:
            after = failing[name] = streaks.failed(after, now)
        if after == Trouble():
            close(tables, name, now)
            continue
        release_at = kept.release_at
        if after.retry_at != kept.trouble.retry_at:
            release_at = after.retry_at or now
        tables.breakers[name] = Breaker(trouble=after, release_at=release_at)
    return {name for name, each in tables.breakers.items() if each.trouble.blocked(now)}, failing


def close(tables: Tables, name: str, now: datetime) -> None:
    """Close a breaker, if it is known, so that the next release lets go what waits for it."""
    if name in tables.breakers:
        tables.breakers[name] = Breaker(release_at=now)


def _is_gone(tables: Tables, name: str) -> bool:
    """Return whether a breaker is that of an endpoint that is deleted."""
    return not name.startswith(channel_breaker("")) and name not in tables.endpoints


def release(tables: Tables, now: datetime) -> int:
    """Let go all that waits for a closed breaker, and one of what waits for one on trial."""
    total = 0
    for name, breaker in list(tables.breakers.items()):
        release_at = breaker.release_at
        if release_at is None or now < release_at <= now + 2 * BLOCKED_FOR_AT_MOST:
            continue
        parked = [row for row in tables.deliveries.values() if row.parked_for == name]
        if breaker.trouble.retry_at is not None:
            parked = sorted(parked, key=lambda row: row.delivery.id)[:1]
            later = now + _TRIAL if parked else None
            tables.breakers[name] = replace(breaker, release_at=later)
        elif breaker.trouble != Trouble() and not _is_gone(tables, name):
            tables.breakers[name] = replace(breaker, release_at=None)
        else:
            del tables.breakers[name]
        for row in parked:
            tables.deliveries[row.delivery.id] = row.let_go(now)
        total += len(parked)
    return total
