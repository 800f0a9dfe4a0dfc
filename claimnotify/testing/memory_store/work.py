"""The work queue of the in-memory store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from operator import itemgetter

from claimnotify.model.messages import message_from_json
from claimnotify.model.notices import EndpointNotice
from claimnotify.model.notifications import Delivery
from claimnotify.model.states import Reason
from claimnotify.policy.breaker import BreakerPolicy, Trouble
from claimnotify.policy.rates import RateLimit, channel_limit
from claimnotify.policy.streaks import StreakPolicy
from claimnotify.ports import Lease, Outcome, Recorded
from claimnotify.testing.memory_store import breakers
from claimnotify.testing.memory_store.kept import Kept
from claimnotify.testing.memory_store.leasing import lease_due, lease_lapsed
from claimnotify.testing.memory_store.recording import record
from claimnotify.testing.memory_store.turns import Turns

__all__ = ["MemoryWorkQueue"]


class MemoryWorkQueue:
    """Leases and outcomes of deliveries. See `claimnotify.ports.WorkQueue`."""

    def __init__(
        self,
        kept: Kept,
        *,
        breaker: BreakerPolicy | None = None,
        streaks: StreakPolicy | None = None,
    ) -> None:
        self._kept = kept
        self._policy = breaker or BreakerPolicy()
        self._streaks = streaks or StreakPolicy()
        self._turns = Turns()

    def lease(
        self,
        queue: str,
        *,
        limit: int,
        duration: timedelta,
        room: Mapping[str, int] | None = None,
        rates: Mapping[str, RateLimit] | None = None,
    ) -> Lease | None:
        """Lease due deliveries, of each channel no more than its room and its rate allow."""
        with self._kept.changing() as tables:
            token, now = self._kept.new_id(), self._kept.clock.now()
            left = dict(room or {})
            for channel, rate in (rates or {}).items():
                used_until = tables.rates.get(("", channel_limit(channel)))
                left[channel] = min(rate.allowed(used_until, now), left.get(channel, limit))
            lease = lease_due(
                tables,
                self._turns,
                queue=queue,
                token=token,
                limit=limit,
                now=now,
                until=now + duration,
                room=left,
            )
            if lease is None:
                return None
            channels = [work.delivery.channel for work in lease.works]
            taken = Counter(channel for channel in channels if channel in (rates or {}))
            for channel, count in taken.items():
                key, rate = ("", channel_limit(channel)), (rates or {})[channel]
                tables.rates[key] = rate.taken(tables.rates.get(key), count, now)
            return replace(lease, taken=taken)

    def lease_lapsed(
        self, queue: str, *, limit: int, duration: timedelta, alone: bool
    ) -> Lease | None:
        """Lease deliveries whose lease ran out."""
        with self._kept.changing() as tables:
            now = self._kept.clock.now()
            return lease_lapsed(
                tables,
                queue=queue,
                token=self._kept.new_id(),
                limit=limit,
                now=now,
                until=now + duration,
                alone=alone,
            )

    def renew(self, token: str, delivery_ids: Collection[str], *, duration: timedelta) -> None:
        """Prolong the lease of those of the rows that still carry `token`."""
        with self._kept.changing() as tables:
            until = self._kept.clock.now() + duration
            for key in delivery_ids:
                row = tables.deliveries.get(key)
                if row is not None and row.token == token:
                    tables.deliveries[key] = replace(row, until=until)

    def keep_content(self, token: str, contents: Mapping[str, str]) -> None:
        """Keep rendered content by delivery id, on rows that still carry `token`."""
        with self._kept.changing() as tables:
            for key, text in contents.items():
                row = tables.deliveries.get(key)
                expunged = row is not None and row.delivery.reason == Reason.EXPUNGED
                if row is not None and row.token == token and not expunged:
                    delivery = replace(row.delivery, content=message_from_json(text))
                    tables.deliveries[key] = replace(row, delivery=delivery)

    def record(self, outcomes: Sequence[Outcome]) -> Recorded:
        """Write outcomes of rows still held and attempts of all."""
        with self._kept.changing() as tables:
            return record(
                tables,
                outcomes,
                policy=self._policy,
                streaks=self._streaks,
                new_id=self._kept.new_id,
                now=self._kept.clock.now(),
            )

    def troubles(self) -> Mapping[str, Trouble]:
        """Return what has failed of late, by the breaker's name."""
        with self._kept.lock:
            return {name: each.trouble for name, each in self._kept.tables.breakers.items()}

    def trouble(self, tenant: str, endpoint_id: str) -> Trouble:
        """Return what is known of one endpoint's failures, as it is now."""
        with self._kept.lock:
            endpoint = self._kept.tables.endpoints.get(endpoint_id)
            found = self._kept.tables.breakers.get(endpoint_id)
        mine = endpoint is not None and endpoint.tenant == tenant
        return found.trouble if mine and found is not None else Trouble()

    def notices(self, *, limit: int, after: str = "") -> Sequence[EndpointNotice]:
        """Return what is still to be told of endpoints, oldest first."""
        with self._kept.lock:
            found = [each for key, each in self._kept.tables.notices.items() if key > after]
        return sorted(found, key=lambda each: each.id)[:limit]

    def release(self) -> int:
        """Let parked deliveries go whose breaker has closed, or of which one is to be tried."""
        with self._kept.changing() as tables:
            return breakers.release(tables, self._kept.clock.now())

    def recall(self, queue: str, delivery: Delivery, *, limit: int) -> int:
        """Make some of `queue` due that wait as the endpoint was busy."""
        with self._kept.changing() as tables:
            now = self._kept.clock.now()
            waiting = [
                (row.delivery.due_at, key, row)
                for key, row in tables.deliveries.items()
                if row.queue == queue
                and row.delivery.reason == Reason.ENDPOINT_BUSY
                and row.delivery.due_at is not None
                and row.delivery.due_at > now
                and _whereto(row.delivery) == _whereto(delivery)
            ]
            found = sorted(waiting, key=itemgetter(0))[:limit]
            for _, key, row in found:
                tables.deliveries[key] = replace(row, delivery=replace(row.delivery, due_at=now))
            return len(found)

    def take(self, tenant: str, wanted: Mapping[str, tuple[RateLimit, int]]) -> Mapping[str, int]:
        """Take sends from rate limits; return by name how many are allowed now."""
        with self._kept.changing() as tables:
            now, granted = self._kept.clock.now(), {}
            for name, (limit, count) in wanted.items():
                used_until = tables.rates.get((tenant, name))
                granted[name] = min(count, limit.allowed(used_until, now))
                if granted[name]:
                    tables.rates[tenant, name] = limit.taken(used_until, granted[name], now)
            return granted

    def put_back(self, tenant: str, unused: Mapping[str, tuple[RateLimit, int]]) -> None:
        """Put back what was taken from rate limits and is not sent."""
        with self._kept.changing() as tables:
            now = self._kept.clock.now()
            for name, (limit, count) in unused.items():
                used_until = tables.rates.get((tenant, name))
                tables.rates[tenant, name] = limit.taken(used_until, -count, now)

    def next_due(self, queue: str, *, room: Mapping[str, int] | None = None) -> datetime | None:
        """Return when the next delivery of `queue` is to be looked at, or None."""
        moments: list[datetime] = []
        with self._kept.lock:
            for row in self._kept.tables.deliveries.values():
                if row.queue != queue:
                    continue
                if row.until is not None:
                    moments.append(row.until)
                due_at = row.delivery.due_at
                if due_at is not None and (room or {}).get(row.delivery.channel, 1) > 0:
                    moments.append(due_at)
        return min(moments, default=None)

    def counts(self, tenant: str | None = None) -> Mapping[tuple[str, str, str], int]:
        """Return how many unfinished deliveries there are by (queue, status, reason)."""
        with self._kept.lock:
            rows = list(self._kept.tables.deliveries.values())
        return Counter(
            (row.queue, str(row.delivery.status), str(row.delivery.reason))
            for row in rows
            if (row.waits or row.until is not None) and tenant in (None, row.delivery.tenant)
        )


def _whereto(delivery: Delivery) -> tuple[str, str, str | None]:
    return delivery.tenant, delivery.channel, delivery.endpoint_id
