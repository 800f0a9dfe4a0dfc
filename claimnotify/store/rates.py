"""Rate limits that hold across all workers: one row for each, locked while sends are taken from it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import Connection, select

from claimnotify.policy.rates import RateLimit
from claimnotify.store.tables import rate_buckets
from claimnotify.store.writing import insert_or_ignore

__all__ = ["Bucket", "open_buckets"]


class Bucket:
    """What is left of one rate limit."""

    def __init__(
        self, name: str, limit: RateLimit, empty_until: datetime | None, now: datetime
    ) -> None:
        self._name = name
        self._limit = limit
        self._empty_until = empty_until
        self._now = now

    @property
    def allowed(self) -> int:
        """How many sends it allows now."""
        return self._limit.allowed(self._empty_until, self._now)

    @property
    def next_at(self) -> datetime:
        """When it allows another, at the earliest."""
        return self._limit.next_at(self._empty_until, self._now)

    def take(self, connection: Connection, count: int) -> None:
        """Take `count` sends; or put some back, if it is negative."""
        if count:
            self._empty_until = self._limit.taken(self._empty_until, count, self._now)
            connection.execute(
                rate_buckets.update()
                .where(rate_buckets.c.name == self._name)
                .values(empty_until=self._empty_until)
            )


def open_buckets(
    connection: Connection, tenant: str, limits: Mapping[str, RateLimit], now: datetime
) -> dict[str, Bucket]:
    """Lock the rows of `limits`, making those that are missing; return them by name."""
    if not limits:
        return {}
    # What names a limit has no slash, so that no two tenants' limits are one row.
    keys = {f"{tenant}/{name}": name for name in limits}
    query = (
        select(rate_buckets)
        .where(rate_buckets.c.name.in_(keys))
        .order_by(rate_buckets.c.name)
        .with_for_update()
    )
    rows = {row.name: row.empty_until for row in connection.execute(query)}
    missing = sorted(keys.keys() - rows.keys())
    if missing:
        new = [{"name": key, "tenant": tenant, "empty_until": now} for key in missing]
        connection.execute(insert_or_ignore(rate_buckets, connection), new)
        rows = {row.name: row.empty_until for row in connection.execute(query)}
    return {name: Bucket(key, limits[name], rows.get(key), now) for key, name in keys.items()}
