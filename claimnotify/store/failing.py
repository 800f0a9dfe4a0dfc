"""Disables endpoints that are gone or fail for days, and writes what is to be told of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from sqlalchemy import Connection, or_, select

from claimnotify.model.notices import EndpointNotice, NoticeKind
from claimnotify.model.states import DeliveryStatus, Reason
from claimnotify.policy.breaker import Trouble
from claimnotify.policy.streaks import StreakPolicy, Verdict, telling
from claimnotify.ports import Outcome
from claimnotify.store.breakers import Breakers
from claimnotify.store.tables import endpoint_notices, endpoints

__all__ = ["FailingEndpoints", "notices"]


class FailingEndpoints:
    """Decides on endpoints that failed, in the transaction in which that is recorded.

    Args:
        breakers: Closed for an endpoint that is disabled.
        policy: How long an endpoint may fail.
        new_id: Makes ids that sort by time.
    """

    def __init__(
        self, breakers: Breakers, policy: StreakPolicy, *, new_id: Callable[[], str]
    ) -> None:
        self._breakers = breakers
        self._policy = policy
        self._new_id = new_id

    def judge(
        self,
        connection: Connection,
        outcomes: Sequence[Outcome],
        failing: Mapping[str, Trouble],
        now: datetime,
    ) -> bool:
        """Do what follows from failures; return whether there is something to tell.

        Args:
            connection: The transaction.
            outcomes: What was written, of deliveries that were still held.
            failing: The endpoints that failed, their breakers locked.
            now: The time.
        """
        given_up = [
            each
            for each in outcomes
            if each.status == DeliveryStatus.FAILED and each.reason == Reason.EXHAUSTED
        ]
        exhausted = {each.endpoint_id for each in given_up if not each.our_fault}
        faults: dict[str | None, Outcome] = {
            each.endpoint_id: each for each in given_up if each.our_fault and each.endpoint_id
        }
        # Of several to one endpoint one speaks for all; if it said that it is gone, that one.
        judged = dict(faults)
        judged |= {each.endpoint_id: each for each in outcomes if each.endpoint_id in failing}
        judged |= {each.endpoint_id: each for each in outcomes if each.disable_endpoint}
        notices = []
        for endpoint_id, outcome in sorted(judged.items(), key=lambda item: str(item[0])):
            found = _Found(outcome, str(endpoint_id), failing.get(str(endpoint_id)), now)
            verdict = self._policy.verdict(found.trouble, now, exhausted=endpoint_id in exhausted)
            if outcome.disable_endpoint:
                notices.append(self._disable(connection, found, str(outcome.reason)))
            elif verdict is Verdict.DISABLE:
                notices.append(self._disable(connection, found, Reason.FAILING))
            elif verdict is Verdict.TELL:
                reason = Reason.EXHAUSTED if endpoint_id in exhausted else Reason.FAILING
                notices.append(self._tell(connection, found, reason))
            if endpoint_id in faults:
                notices.append(self._tell(connection, found, Reason.OUR_FAULT))
        return any(notices)

    def _disable(self, connection: Connection, found: _Found, reason: str) -> bool:
        # What waits for its breaker goes out now, and is skipped.
        self._breakers.let_all_go(connection, found.tenant, found.endpoint_id, found.now)
        changed = connection.execute(
            endpoints.update()
            .where(*found.is_it, endpoints.c.enabled)
            .values(enabled=False, disabled_reason=reason)
        )
        # It may have been disabled by others, moved to another URL or deleted, since this was sent.
        return bool(changed.rowcount) and self._write(connection, found, "disabled", reason)

    def _tell(self, connection: Connection, found: _Found, reason: str) -> bool:
        ours = reason == Reason.OUR_FAULT
        told_at = endpoints.c.fault_told_at if ours else endpoints.c.told_at
        before, after = telling(None if ours else found.trouble.failing_since, found.now)
        changed = connection.execute(
            endpoints.update()
            .where(*found.is_it, endpoints.c.enabled)
            .where(or_(told_at.is_(None), told_at < before, told_at > after))
            .values({told_at: found.now})
        )
        return bool(changed.rowcount) and self._write(connection, found, "failing", reason)

    def _write(self, connection: Connection, found: _Found, kind: NoticeKind, reason: str) -> bool:
        query = select(endpoints.c.owner, endpoints.c.url).where(*found.is_it)
        endpoint = connection.execute(query).one()
        connection.execute(
            endpoint_notices.insert().values(
                id=self._new_id(),
                tenant=found.tenant,
                endpoint_id=found.endpoint_id,
                owner=endpoint.owner,
                url=endpoint.url,
                kind=kind,
                reason=reason,
                failing_since=found.trouble.failing_since,
                created_at=found.now,
            )
        )
        return True


class _Found:
    """An endpoint that failed, and its trouble."""

    def __init__(
        self, outcome: Outcome, endpoint_id: str, trouble: Trouble | None, now: datetime
    ) -> None:
        tenant, sent_to = outcome.tenant, outcome.sent_to
        self.tenant = tenant
        self.endpoint_id = endpoint_id
        self.trouble = trouble or Trouble()
        self.now = now
        self.is_it = [endpoints.c.id == endpoint_id, endpoints.c.tenant == tenant]
        if sent_to:
            self.is_it.append(endpoints.c.url == sent_to)


def notices(connection: Connection, *, limit: int, after: str) -> Sequence[EndpointNotice]:
    """Read what is still to be told, oldest first, with ids greater than `after`."""
    columns = endpoint_notices.c
    query = select(endpoint_notices).where(columns.id > after).order_by(columns.id).limit(limit)
    return [EndpointNotice(**row._mapping) for row in connection.execute(query)]
