"""Records one outcome or a few in one statement, where nothing has to be looked up; PostgreSQL alone can."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import Connection, Select, bindparam, case, select, union_all

from claimnotify.model.states import Reason
from claimnotify.ports import Outcome
from claimnotify.store.recording import ENDED, attempt_row
from claimnotify.store.tables import attempts, deliveries

__all__ = ["are_few", "record_few"]

_FEW = 4
"""How many outcomes: each number of them is another statement to plan, and many gain nothing."""


def are_few(outcomes: Sequence[Outcome]) -> bool:
    """Return whether `outcomes` are few, and each ends a delivery with a send and nothing else."""
    return (
        0 < len(outcomes) <= _FEW
        and len({outcome.delivery_id for outcome in outcomes}) == len(outcomes)
        and all(
            outcome.status in ENDED
            and outcome.attempt is not None
            and outcome.inbox_item is None
            and not outcome.disable_endpoint
            for outcome in outcomes
        )
    )


def record_few(
    connection: Connection, outcomes: Sequence[Outcome], now: datetime
) -> Sequence[Outcome]:
    """Write outcomes that `are_few`, on a connection where each statement commits by itself.

    Returns those of which nothing was written, as their row has lost its lease, is in an order, or
    had its payload removed.
    """
    values: dict[str, Any] = {"now": now, "expunged": Reason.EXPUNGED}
    for number, outcome in enumerate(outcomes):
        values |= {
            f"delivery_{number}": outcome.delivery_id,
            f"token_{number}": outcome.token,
            f"status_{number}": outcome.status,
            f"reason_{number}": outcome.reason,
            f"provider_{number}": outcome.provider_id,
        }
        if outcome.attempt is not None:
            row = attempt_row(outcome, outcome.attempt)
            values |= {f"{name}_{number}": value for name, value in row.items()}
    written = set(connection.execute(_statement(len(outcomes)), values).scalars())
    return [outcome for outcome in outcomes if outcome.delivery_id not in written]


@cache
def _statement(count: int) -> Select[Any]:
    columns = deliveries.c
    written, logged = [], []
    for number in range(count):
        provider = bindparam(f"provider_{number}", type_=columns.provider_id.type)
        written.append(
            deliveries.update()
            .where(
                columns.id == bindparam(f"delivery_{number}"),
                columns.lease_token == bindparam(f"token_{number}"),
                columns.order_key.is_(None),
                columns.reason != bindparam("expunged"),
            )
            .values(
                status=bindparam(f"status_{number}"),
                reason=bindparam(f"reason_{number}"),
                lane=None,
                due_at=None,
                lease_token=None,
                lease_until=None,
                parked_for=None,
                finished_at=bindparam("now"),
                attempts=columns.attempts + 1,
                crashes=0,
                provider_id=case((provider != "", provider), else_=columns.provider_id),
            )
            .returning(columns.id)
            .cte(f"written_{number}")
        )
        values = [bindparam(f"{each.name}_{number}", type_=each.type) for each in attempts.c]
        attempt = select(*values).select_from(written[-1])
        insert = attempts.insert().from_select([each.name for each in attempts.c], attempt)
        logged.append(insert.returning(attempts.c.id).cte(f"logged_{number}"))
    held = union_all(*(select(each.c.id) for each in written)).subquery()
    return select(held.c.id).add_cte(*logged)
