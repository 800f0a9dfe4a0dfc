"""What the definitions of our tables have in common: their prefix, and the columns to lease rows by."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, Index, Integer, MetaData, SmallInteger, text

from claimnotify.store.types import Id, Name, UtcDateTime

__all__ = ["PREFIX", "leasable", "metadata", "when"]

PREFIX = "claimnotify_"
"""What every table of ours begins with: they live in the application's database."""

metadata = MetaData()


def when(condition: str) -> dict[str, Any]:
    """Return the options of an index over the rows that meet `condition` (MariaDB: over all)."""
    return {"postgresql_where": text(condition), "sqlite_where": text(condition)}


def leasable(table: str) -> list[Any]:
    """Return the columns and indexes that every leasable table has, for `store.leasing`.

    A row that waits has `lane` and `due_at`, a leased one `lease_token` and `lease_until`, a row at
    its end none of them: so each index holds only what it is for, whatever the history.
    """
    return [
        Column("queue", Name(32), nullable=False),
        Column("priority", SmallInteger, nullable=False),
        Column("lane", Name(192)),
        Column("due_at", UtcDateTime),
        Column("lease_token", Id()),
        Column("lease_until", UtcDateTime),
        Column("leases", Integer, nullable=False, server_default="0"),
        Column("crashes", SmallInteger, nullable=False, server_default="0"),
        Column("attempts", Integer, nullable=False, server_default="0"),
        Index(f"{PREFIX}ix_{table}_due", "lane", "due_at", **when("lane IS NOT NULL")),
        Index(
            f"{PREFIX}ix_{table}_leased", "queue", "lease_until", **when("lease_until IS NOT NULL")
        ),
    ]
