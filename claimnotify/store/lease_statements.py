"""The statement that finds, locks and leases rows of a lane at once; PostgreSQL alone can do that."""

from __future__ import annotations

from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import Column, ColumnElement, Select, Table, bindparam, literal_column, select

from claimnotify.model.states import Reason
from claimnotify.store.lanes import first_lane, first_of_lanes, past_lanes

__all__ = ["lease_of_first_due_lane", "lease_of_lane", "leased_values"]


def leased_values(table: Table, leased: str, token: Any, until: Any) -> dict[str, Any]:
    """Return what a row is set to that is leased.

    Args:
        table: The leasable table.
        leased: The state of a leased row.
        token: The fencing token.
        until: When the lease ends.
    """
    return {
        "status": leased,
        "reason": Reason.LEASED,
        "lane": None,
        "due_at": None,
        "lease_token": token,
        "lease_until": until,
        "leases": table.c.leases + 1,
    }


def lease_of_lane(
    table: Table, leased: str, *, lane: str, now: datetime, limit: int, token: str, until: datetime
) -> tuple[Select[Any], dict[str, Any]]:
    """Return what leases rows of `lane` that are due and returns them as they were before."""
    values = {"lane": lane, "now": now, "most": limit, "token": token, "until": until}
    return _statement(table, leased, None), values


def lease_of_first_due_lane(
    table: Table,
    leased: str,
    key: Column[Any],
    *,
    queue: str,
    now: datetime,
    limit: int,
    token: str,
    until: datetime,
) -> tuple[Select[Any], dict[str, Any]]:
    """Return what leases rows of the first lane of `queue` with some due, and what they belong to.

    After the columns of a row follow those of the row in another table that its `key` leads to.
    """
    values = {"now": now, "most": limit, "token": token, "until": until}
    bounds = {"first": first_lane(queue), "past": past_lanes(queue)}
    return _statement(table, leased, key), {**values, **bounds}


@cache
def _statement(table: Table, leased: str, key: Column[Any] | None) -> Select[Any]:
    """Return the statement for a lane that is given, or with a key for the first with some due."""
    columns = table.c
    due = (
        select(table)
        .where(columns.lane == (bindparam("lane") if key is None else _first_due(table)))
        .where(columns.due_at <= bindparam("now"))
        .order_by(columns.due_at)
        .limit(bindparam("most"))
        .with_for_update(skip_locked=True)
        .cte("due")
    )
    until = bindparam("until", type_=columns.lease_until.type)
    values = leased_values(table, leased, bindparam("token"), until)
    taken = (
        table.update()
        .where(columns.id == due.c.id)
        .values(values)
        .returning(literal_column("1"))
        .cte("taken")
    )
    if key is None:
        return select(due).add_cte(taken)
    (foreign,) = key.foreign_keys
    other = foreign.column.table
    others = (column.label(f"other_{column.name}") for column in other.c)
    return select(due, *others).join(other, foreign.column == due.c[key.name]).add_cte(taken)


def _first_due(table: Table) -> ColumnElement[str]:
    lanes = first_of_lanes(table).subquery("each_lane").c
    due = select(lanes.lane).where(lanes.due_at <= bindparam("now"))
    return due.limit(literal_column("1")).scalar_subquery()
