"""The first schema: notifications, deliveries, attempts, inbox, endpoints."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

from claimnotify.store.migrations.steps import create_index, create_table
from claimnotify.store.types import Id, LongText, Name, UtcDateTime

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    create_table(
        "claimnotify_endpoints",
        sa.Column("id", Id(), nullable=False),
        sa.Column("tenant", Name(64), nullable=False),
        sa.Column("owner", Name(255), nullable=False),
        sa.Column("url", LongText(), nullable=False),
        sa.Column("event_types", LongText(), nullable=False),
        sa.Column("description", LongText(), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("disabled_reason", Name(255), server_default="", nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    create_index("claimnotify_ix_endpoints_owner", "claimnotify_endpoints", ["tenant", "owner"])
    create_table(
        "claimnotify_meta",
        sa.Column("name", Name(64), nullable=False),
        sa.Column("value", Name(255), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    create_table(
        "claimnotify_notifications",
        sa.Column("id", Id(), nullable=False),
        sa.Column("tenant", Name(64), nullable=False),
        sa.Column("event_type", Name(128), nullable=False),
        sa.Column("event_version", sa.Integer(), nullable=False),
        sa.Column("category", Name(64), nullable=False),
        sa.Column("subject", Name(255), nullable=True),
        sa.Column("owner", Name(255), nullable=False),
        sa.Column("recipient", LongText(), nullable=True),
        sa.Column("payload", LongText(), nullable=False),
        sa.Column("idempotency_key", Name(255), nullable=True),
        sa.Column("fingerprint", Name(64), nullable=False),
        sa.Column("attachment_count", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("tenant", "idempotency_key", name="claimnotify_uq_idempotency_key"),
    )
    create_index(
        "claimnotify_ix_notifications_owner",
        "claimnotify_notifications",
        ["tenant", "owner", "id"],
    )
    create_index(
        "claimnotify_ix_notifications_subject",
        "claimnotify_notifications",
        ["tenant", "subject", "id"],
        where="subject IS NOT NULL",
    )
    create_index(
        "claimnotify_ix_notifications_type",
        "claimnotify_notifications",
        ["tenant", "event_type", "id"],
    )
    create_table(
        "claimnotify_attachments",
        sa.Column("notification_id", Id(), nullable=False),
        sa.Column("position", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("tenant", Name(64), nullable=False),
        sa.Column("filename", Name(255), nullable=False),
        sa.Column("content_type", Name(129), nullable=False),
        sa.Column("content_id", Name(255), nullable=True),
        sa.Column(
            "content",
            sa.LargeBinary().with_variant(mysql.LONGBLOB(), "mysql", "mariadb"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["notification_id"],
            ["claimnotify_notifications.id"],
        ),
        sa.PrimaryKeyConstraint("notification_id", "position"),
    )
    create_table(
        "claimnotify_deliveries",
        sa.Column("id", Id(), nullable=False),
        sa.Column("tenant", Name(64), nullable=False),
        sa.Column("notification_id", Id(), nullable=False),
        sa.Column("position", sa.SmallInteger(), nullable=False),
        sa.Column("channel", Name(64), nullable=False),
        sa.Column("address", LongText(), nullable=False),
        sa.Column("endpoint_id", Id(), nullable=True),
        sa.Column("status", Name(16), nullable=False),
        sa.Column("reason", Name(64), nullable=False),
        sa.Column("provider_id", Name(255), server_default="", nullable=False),
        sa.Column("content", LongText(), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=True),
        sa.Column("finished_at", UtcDateTime(), nullable=True),
        sa.Column(
            "cancel_requested", sa.Boolean(), server_default=sa.text("false"), nullable=False
        ),
        sa.Column("queue", Name(32), nullable=False),
        sa.Column("priority", sa.SmallInteger(), nullable=False),
        sa.Column("due_at", UtcDateTime(), nullable=True),
        sa.Column("lease_token", Id(), nullable=True),
        sa.Column("lease_until", UtcDateTime(), nullable=True),
        sa.Column("leases", sa.Integer(), server_default="0", nullable=False),
        sa.Column("solo", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("crashes", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.ForeignKeyConstraint(
            ["notification_id"],
            ["claimnotify_notifications.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    create_index(
        "claimnotify_ix_deliveries_due",
        "claimnotify_deliveries",
        ["queue", "priority", "due_at"],
        where="due_at IS NOT NULL",
    )
    create_index(
        "claimnotify_ix_deliveries_leased",
        "claimnotify_deliveries",
        ["queue", "lease_until"],
        where="lease_until IS NOT NULL",
    )
    create_index(
        "claimnotify_ix_deliveries_notification",
        "claimnotify_deliveries",
        ["notification_id"],
    )
    create_table(
        "claimnotify_endpoint_keys",
        sa.Column("id", Id(), nullable=False),
        sa.Column("tenant", Name(64), nullable=False),
        sa.Column("endpoint_id", Id(), nullable=False),
        sa.Column("ciphertext", LongText(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=True),
        sa.ForeignKeyConstraint(["endpoint_id"], ["claimnotify_endpoints.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
    )
    create_index(
        "claimnotify_ix_endpoint_keys_endpoint",
        "claimnotify_endpoint_keys",
        ["endpoint_id"],
    )
    create_table(
        "claimnotify_attempts",
        sa.Column("id", Id(), nullable=False),
        sa.Column("tenant", Name(64), nullable=False),
        sa.Column("delivery_id", Id(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("started_at", UtcDateTime(), nullable=False),
        sa.Column("duration_us", sa.Integer(), nullable=False),
        sa.Column("outcome", Name(16), nullable=False),
        sa.Column("status_code", sa.Integer(), nullable=True),
        sa.Column("error", Name(128), server_default="", nullable=False),
        sa.Column("detail", LongText(), nullable=False),
        sa.ForeignKeyConstraint(
            ["delivery_id"],
            ["claimnotify_deliveries.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    create_index("claimnotify_ix_attempts_delivery", "claimnotify_attempts", ["delivery_id"])
    create_table(
        "claimnotify_inbox_items",
        sa.Column("id", Id(), nullable=False),
        sa.Column("tenant", Name(64), nullable=False),
        sa.Column("recipient_id", Name(255), nullable=False),
        sa.Column("delivery_id", Id(), nullable=False),
        sa.Column("notification_id", Id(), nullable=False),
        sa.Column("title", LongText(), nullable=False),
        sa.Column("body", LongText(), nullable=False),
        sa.Column("url", LongText(), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("seen_at", UtcDateTime(), nullable=True),
        sa.Column("read_at", UtcDateTime(), nullable=True),
        sa.Column("archived_at", UtcDateTime(), nullable=True),
        sa.ForeignKeyConstraint(
            ["delivery_id"],
            ["claimnotify_deliveries.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("delivery_id", name="claimnotify_uq_inbox_delivery"),
    )
    create_index(
        "claimnotify_ix_inbox_recipient",
        "claimnotify_inbox_items",
        ["tenant", "recipient_id", "id"],
    )
    create_index(
        "claimnotify_ix_inbox_unread",
        "claimnotify_inbox_items",
        ["tenant", "recipient_id"],
        where="read_at IS NULL AND archived_at IS NULL",
    )


def downgrade() -> None:
    op.drop_index(
        "claimnotify_ix_inbox_unread",
        table_name="claimnotify_inbox_items",
        postgresql_where=sa.text("read_at IS NULL AND archived_at IS NULL"),
        sqlite_where=sa.text("read_at IS NULL AND archived_at IS NULL"),
    )
    op.drop_index("claimnotify_ix_inbox_recipient", table_name="claimnotify_inbox_items")
    op.drop_table("claimnotify_inbox_items")
    op.drop_index("claimnotify_ix_attempts_delivery", table_name="claimnotify_attempts")
    op.drop_table("claimnotify_attempts")
    op.drop_index("claimnotify_ix_endpoint_keys_endpoint", table_name="claimnotify_endpoint_keys")
    op.drop_table("claimnotify_endpoint_keys")
    op.drop_index("claimnotify_ix_deliveries_notification", table_name="claimnotify_deliveries")
    op.drop_index(
        "claimnotify_ix_deliveries_leased",
        table_name="claimnotify_deliveries",
        postgresql_where=sa.text("lease_until IS NOT NULL"),
        sqlite_where=sa.text("lease_until IS NOT NULL"),
    )
    op.drop_index(
        "claimnotify_ix_deliveries_due",
        table_name="claimnotify_deliveries",
        postgresql_where=sa.text("due_at IS NOT NULL"),
        sqlite_where=sa.text("due_at IS NOT NULL"),
    )
    op.drop_table("claimnotify_deliveries")
    op.drop_table("claimnotify_attachments")
    op.drop_index("claimnotify_ix_notifications_type", table_name="claimnotify_notifications")
    op.drop_index(
        "claimnotify_ix_notifications_subject",
        table_name="claimnotify_notifications",
        postgresql_where=sa.text("subject IS NOT NULL"),
        sqlite_where=sa.text("subject IS NOT NULL"),
    )
    op.drop_index("claimnotify_ix_notifications_owner", table_name="claimnotify_notifications")
    op.drop_table("claimnotify_notifications")
    op.drop_table("claimnotify_meta")
    op.drop_index("claimnotify_ix_endpoints_owner", table_name="claimnotify_endpoints")
    op.drop_table("claimnotify_endpoints")
