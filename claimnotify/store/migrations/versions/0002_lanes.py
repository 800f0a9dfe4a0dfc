"""Lanes to lease from, ordering, breakers, rate limits and jobs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from claimnotify.store.migrations.steps import (
    add_column,
    create_index,
    create_table,
    drop_column,
    drop_index,
)
from claimnotify.store.types import Id, LongText, Name, UtcDateTime

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_DELIVERIES = "claimnotify_deliveries"


def upgrade() -> None:
    add_column("claimnotify_notifications", sa.Column("ordering_key", Name(255)))
    add_column(
        "claimnotify_endpoints",
        sa.Column("rate_limit", Name(32), nullable=False, server_default=""),
    )
    _lanes()
    _tables()
    _jobs()


def _lanes() -> None:
    drop_index("claimnotify_ix_deliveries_due", _DELIVERIES, ["queue", "priority", "due_at"])
    for column in (
        sa.Column("lane", Name(192)),
        sa.Column("parked_for", Id()),
        sa.Column("order_key", Id()),
        sa.Column("order_seq", sa.BigInteger()),
        sa.Column("order_strict", sa.Boolean(), nullable=False, server_default=sa.text("false")),
    ):
        add_column(_DELIVERIES, column)
    # What is leased at this moment would count one crash too few; it has had none.
    drop_column(_DELIVERIES, "solo")
    names = ("queue", "channel", "tenant", "lane")
    deliveries = sa.table(
        _DELIVERIES,
        *(sa.column(name, sa.String()) for name in names),
        sa.column("priority", sa.SmallInteger()),
        sa.column("due_at"),
    )
    columns = deliveries.c
    priority = sa.cast(columns.priority, sa.String(2))
    lane = columns.queue + "/" + priority + "/" + columns.channel + "/" + columns.tenant
    op.execute(deliveries.update().where(columns.due_at.is_not(None)).values(lane=lane))
    _index("deliveries_due", _DELIVERIES, ["lane", "due_at"], "lane IS NOT NULL")
    _index("deliveries_parked", _DELIVERIES, ["parked_for", "id"], "parked_for IS NOT NULL")
    _index("deliveries_order", _DELIVERIES, ["order_key", "order_seq"], "order_key IS NOT NULL")


def _tables() -> None:
    create_table(
        "claimnotify_breakers",
        sa.Column("id", Name(96), nullable=False),
        sa.Column("tenant", Name(64), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("openings", sa.Integer(), nullable=False),
        sa.Column("opened_at", UtcDateTime()),
        sa.Column("retry_at", UtcDateTime()),
        sa.Column("release_at", UtcDateTime()),
        sa.Column("release_size", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    create_index("claimnotify_ix_breakers_release", "claimnotify_breakers", ["release_at"])
    create_table(
        "claimnotify_rate_buckets",
        sa.Column("name", Name(160), nullable=False),
        sa.Column("tenant", Name(64), nullable=False),
        sa.Column("empty_until", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    create_table(
        "claimnotify_streams",
        sa.Column("id", Id(), nullable=False),
        sa.Column("tenant", Name(64), nullable=False),
        sa.Column("last_seq", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )


def _jobs() -> None:
    create_table(
        "claimnotify_jobs",
        sa.Column("id", Id(), nullable=False),
        sa.Column("tenant", Name(64), nullable=False),
        sa.Column("name", Name(64), nullable=False),
        sa.Column("arguments", LongText(), nullable=False),
        sa.Column("unique_key", Name(255)),
        sa.Column("slot", UtcDateTime()),
        sa.Column("status", Name(16), nullable=False),
        sa.Column("reason", Name(64), nullable=False),
        sa.Column("error", LongText(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("finished_at", UtcDateTime()),
        sa.Column("queue", Name(32), nullable=False),
        sa.Column("priority", sa.SmallInteger(), nullable=False),
        sa.Column("lane", Name(192)),
        sa.Column("due_at", UtcDateTime()),
        sa.Column("lease_token", Id()),
        sa.Column("lease_until", UtcDateTime()),
        sa.Column("leases", sa.Integer(), server_default="0", nullable=False),
        sa.Column("crashes", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("tenant", "name", "unique_key", name="claimnotify_uq_jobs_unique_key"),
    )
    create_index("claimnotify_ix_jobs_name", "claimnotify_jobs", ["tenant", "name", "id"])
    _index("jobs_due", "claimnotify_jobs", ["lane", "due_at"], "lane IS NOT NULL")
    _index("jobs_leased", "claimnotify_jobs", ["queue", "lease_until"], "lease_until IS NOT NULL")


def _index(name: str, table: str, columns: list[str], condition: str) -> None:
    create_index(f"claimnotify_ix_{name}", table, columns, where=condition)


def downgrade() -> None:
    raise NotImplementedError("restore a backup: what is parked or ordered has no place in 0001")
