"""Disables endpoints of the in-memory store that are gone or fail for days, and keeps what is to be told."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from claimnotify.model.endpoints import Endpoint
from claimnotify.model.notices import EndpointNotice, NoticeKind
from claimnotify.model.states import DeliveryStatus, Reason
from claimnotify.policy.breaker import Trouble
from claimnotify.policy.streaks import StreakPolicy, Verdict, telling
from claimnotify.ports import Outcome
from claimnotify.testing.memory_store import breakers
from claimnotify.testing.memory_store.kept import Tables

__all__ = ["judge"]


def judge(
    tables: Tables,
    outcomes: Sequence[Outcome],
    failing: Mapping[str, Trouble],
    *,
    policy: StreakPolicy,
    new_id: Callable[[], str],
    now: datetime,
) -> bool:
    """Do what follows from failures; return whether there is something to tell.

    Args:
        tables: All that is kept.
        outcomes: What was written, of deliveries that were still held.
        failing: The endpoints that failed.
        policy: How long an endpoint may fail.
        new_id: Makes ids.
        now: The time.
    """
    written = len(tables.notices)
    for outcome in outcomes:
        endpoint = tables.endpoints.get(outcome.endpoint_id or "")
        if endpoint is None or endpoint.tenant != outcome.tenant:
            continue
        if outcome.sent_to not in ("", endpoint.url):
            continue
        trouble = failing.get(endpoint.id, Trouble())
        exhausted = any(
            each.endpoint_id == endpoint.id and _gave_up(each) and not each.our_fault
            for each in outcomes
        )
        verdict = policy.verdict(trouble, now, exhausted=exhausted)
        if outcome.disable_endpoint or verdict is Verdict.DISABLE:
            reason = str(outcome.reason) if outcome.disable_endpoint else Reason.FAILING
            breakers.close(tables, endpoint.id, now)
            if endpoint.enabled:
                tables.endpoints[endpoint.id] = replace(
                    endpoint, enabled=False, disabled_reason=reason
                )
                _write(tables, endpoint, "disabled", reason, trouble, new_id(), now)
        elif (
            verdict is Verdict.TELL
            and endpoint.enabled
            and _is_to_be_told(tables, endpoint.id, trouble.failing_since, now)
        ):
            reason = Reason.EXHAUSTED if exhausted else Reason.FAILING
            _write(tables, endpoint, "failing", reason, trouble, new_id(), now)
        ours = endpoint.enabled and outcome.our_fault and _gave_up(outcome)
        if ours and _is_to_be_told(tables, f"{endpoint.id} our fault", None, now):
            _write(tables, endpoint, "failing", Reason.OUR_FAULT, trouble, new_id(), now)
    return len(tables.notices) > written


def _gave_up(outcome: Outcome) -> bool:
    return (outcome.status, outcome.reason) == (DeliveryStatus.FAILED, Reason.EXHAUSTED)


def _is_to_be_told(tables: Tables, what: str, since: datetime | None, now: datetime) -> bool:
    before, after = telling(since, now)
    last = tables.told.get(what)
    if last is not None and before <= last <= after:
        return False
    tables.told[what] = now
    return True


def _write(
    tables: Tables,
    endpoint: Endpoint,
    kind: NoticeKind,
    reason: str,
    trouble: Trouble,
    notice_id: str,
    now: datetime,
) -> None:
    tables.notices[notice_id] = EndpointNotice(
        id=notice_id,
        tenant=endpoint.tenant,
        endpoint_id=endpoint.id,
        owner=endpoint.owner,
        url=endpoint.url,
        kind=kind,
        reason=reason,
        failing_since=trouble.failing_since,
        created_at=now,
    )
