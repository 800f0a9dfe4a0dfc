"""Webhooks in full: endpoints' options, kinds of keys, replays, attempt logs, and trouble to tell of."""

from __future__ import annotations

import sqlalchemy as sa

from claimnotify.store.migrations.steps import add_column, create_index, create_table
from claimnotify.store.types import Id, LongText, Name, UtcDateTime

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_DELIVERIES = "claimnotify_deliveries"
_ENDPOINTS = "claimnotify_endpoints"
_KEYS = "claimnotify_endpoint_keys"
_BREAKERS = "claimnotify_breakers"
_NOTIFICATIONS = "claimnotify_notifications"


def upgrade() -> None:
    for table, column in (
        (_NOTIFICATIONS, sa.Column("webhook_payload", LongText())),
        (_NOTIFICATIONS, sa.Column("tags", LongText())),
        (_NOTIFICATIONS, sa.Column("to_endpoint", Id())),
        (_NOTIFICATIONS, sa.Column("expunged_at", UtcDateTime())),
        (_DELIVERIES, sa.Column("replay_of", Id())),
        ("claimnotify_attempts", sa.Column("headers", LongText())),
        (_ENDPOINTS, sa.Column("tags", LongText())),
        (_ENDPOINTS, sa.Column("metadata", LongText())),
        (_ENDPOINTS, sa.Column("headers", LongText())),
        (_ENDPOINTS, sa.Column("timeout_ms", sa.Integer())),
        (_ENDPOINTS, sa.Column("ordering", Name(8), nullable=False, server_default="none")),
        (_ENDPOINTS, sa.Column("updated_at", UtcDateTime())),
        (_ENDPOINTS, sa.Column("told_at", UtcDateTime())),
        (_ENDPOINTS, sa.Column("fault_told_at", UtcDateTime())),
        (_KEYS, sa.Column("kind", Name(8), nullable=False, server_default="v1")),
        (_KEYS, sa.Column("public_key", Name(64), nullable=False, server_default="")),
        (_BREAKERS, sa.Column("failing_since", UtcDateTime())),
        (_BREAKERS, sa.Column("failed_at", UtcDateTime())),
    ):
        add_column(table, column)
    create_index(
        "claimnotify_ix_deliveries_endpoint",
        _DELIVERIES,
        ["endpoint_id", "id"],
        where="endpoint_id IS NOT NULL",
    )
    create_index(
        "claimnotify_ix_deliveries_replay",
        _DELIVERIES,
        ["replay_of"],
        where="replay_of IS NOT NULL",
    )
    create_index("claimnotify_ix_breakers_retry", _BREAKERS, ["retry_at"])
    create_table(
        "claimnotify_endpoint_notices",
        sa.Column("id", Id(), nullable=False),
        sa.Column("tenant", Name(64), nullable=False),
        sa.Column("endpoint_id", Id(), nullable=False),
        sa.Column("owner", Name(255), nullable=False),
        sa.Column("url", LongText(), nullable=False),
        sa.Column("kind", Name(16), nullable=False),
        sa.Column("reason", Name(64), nullable=False),
        sa.Column("failing_since", UtcDateTime()),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )


def downgrade() -> None:
    raise NotImplementedError("restore a backup: replays and notices have no place in 0002")
