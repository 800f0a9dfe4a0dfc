"""The tables, as SQLAlchemy Core sees them. What creates them are the migrations beside this file."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Table,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects import mysql

from claimnotify.store.endpoint_tables import (
    breakers,
    endpoint_keys,
    endpoint_notices,
    endpoints,
)
from claimnotify.store.table_parts import PREFIX, leasable, metadata, when
from claimnotify.store.types import Id, LongText, Name, UtcDateTime

__all__ = [
    "PREFIX",
    "attachments",
    "attempts",
    "breakers",
    "deliveries",
    "endpoint_keys",
    "endpoint_notices",
    "endpoints",
    "inbox_items",
    "jobs",
    "meta",
    "metadata",
    "notifications",
    "rate_buckets",
    "streams",
]

meta = Table(
    f"{PREFIX}meta",
    metadata,
    Column("name", Name(64), primary_key=True),
    Column("value", Name(255), nullable=False),
)

notifications = Table(
    f"{PREFIX}notifications",
    metadata,
    Column("id", Id(), primary_key=True),
    Column("tenant", Name(64), nullable=False),
    Column("event_type", Name(128), nullable=False),
    Column("event_version", Integer, nullable=False),
    Column("category", Name(64), nullable=False),
    Column("subject", Name(255)),
    Column("owner", Name(255), nullable=False),
    Column("recipient", LongText()),
    Column("payload", LongText(), nullable=False),
    Column("webhook_payload", LongText()),
    Column("tags", LongText()),
    # The one endpoint that it was addressed to: nobody else missed it.
    Column("to_endpoint", Id()),
    Column("expunged_at", UtcDateTime),
    Column("idempotency_key", Name(255)),
    Column("ordering_key", Name(255)),
    Column("fingerprint", Name(64), nullable=False),
    Column("attachment_count", SmallInteger, nullable=False, server_default="0"),
    Column("created_at", UtcDateTime, nullable=False),
    UniqueConstraint("tenant", "idempotency_key", name=f"{PREFIX}uq_idempotency_key"),
    Index(f"{PREFIX}ix_notifications_owner", "tenant", "owner", "id"),
    Index(f"{PREFIX}ix_notifications_type", "tenant", "event_type", "id"),
    Index(
        f"{PREFIX}ix_notifications_subject",
        "tenant",
        "subject",
        "id",
        **when("subject IS NOT NULL"),
    ),
)

attachments = Table(
    f"{PREFIX}attachments",
    metadata,
    Column("notification_id", Id(), ForeignKey(notifications.c.id), primary_key=True),
    Column("position", SmallInteger, primary_key=True, autoincrement=False),
    Column("tenant", Name(64), nullable=False),
    Column("filename", Name(255), nullable=False),
    Column("content_type", Name(129), nullable=False),
    Column("content_id", Name(255)),
    Column(
        "content", LargeBinary().with_variant(mysql.LONGBLOB(), "mysql", "mariadb"), nullable=False
    ),
)

deliveries = Table(
    f"{PREFIX}deliveries",
    metadata,
    Column("id", Id(), primary_key=True),
    Column("tenant", Name(64), nullable=False),
    Column("notification_id", Id(), ForeignKey(notifications.c.id), nullable=False),
    Column("position", SmallInteger, nullable=False),
    Column("channel", Name(64), nullable=False),
    Column("address", LongText(), nullable=False),
    Column("endpoint_id", Id()),
    Column("status", Name(16), nullable=False),
    Column("reason", Name(64), nullable=False),
    Column("provider_id", Name(255), nullable=False, server_default=""),
    Column("content", LongText()),
    Column("created_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime),
    Column("finished_at", UtcDateTime),
    Column("cancel_requested", Boolean, nullable=False, server_default=text("false")),
    # Whose breaker it waits for; and its place among the deliveries of its ordering key.
    Column("parked_for", Id()),
    Column("order_key", Id()),
    Column("order_seq", BigInteger),
    Column("order_strict", Boolean, nullable=False, server_default=text("false")),
    Column("replay_of", Id()),
    *leasable("deliveries"),
    Index(f"{PREFIX}ix_deliveries_parked", "parked_for", "id", **when("parked_for IS NOT NULL")),
    Index(
        f"{PREFIX}ix_deliveries_order",
        "order_key",
        "order_seq",
        **when("order_key IS NOT NULL"),
    ),
    Index(f"{PREFIX}ix_deliveries_notification", "notification_id"),
    Index(
        f"{PREFIX}ix_deliveries_endpoint", "endpoint_id", "id", **when("endpoint_id IS NOT NULL")
    ),
    Index(f"{PREFIX}ix_deliveries_replay", "replay_of", **when("replay_of IS NOT NULL")),
)

attempts = Table(
    f"{PREFIX}attempts",
    metadata,
    Column("id", Id(), primary_key=True),
    Column("tenant", Name(64), nullable=False),
    Column("delivery_id", Id(), ForeignKey(deliveries.c.id), nullable=False),
    Column("number", Integer, nullable=False),
    Column("started_at", UtcDateTime, nullable=False),
    Column("duration_us", Integer, nullable=False),
    Column("outcome", Name(16), nullable=False),
    Column("status_code", Integer),
    Column("error", Name(128), nullable=False, server_default=""),
    Column("detail", LongText(), nullable=False),
    Column("headers", LongText()),
    Index(f"{PREFIX}ix_attempts_delivery", "delivery_id"),
)

inbox_items = Table(
    f"{PREFIX}inbox_items",
    metadata,
    Column("id", Id(), primary_key=True),
    Column("tenant", Name(64), nullable=False),
    Column("recipient_id", Name(255), nullable=False),
    Column("delivery_id", Id(), ForeignKey(deliveries.c.id), nullable=False),
    Column("notification_id", Id(), nullable=False),
    Column("title", LongText(), nullable=False),
    Column("body", LongText(), nullable=False),
    Column("url", LongText()),
    Column("created_at", UtcDateTime, nullable=False),
    Column("seen_at", UtcDateTime),
    Column("read_at", UtcDateTime),
    Column("archived_at", UtcDateTime),
    UniqueConstraint("delivery_id", name=f"{PREFIX}uq_inbox_delivery"),
    Index(f"{PREFIX}ix_inbox_recipient", "tenant", "recipient_id", "id"),
    Index(
        f"{PREFIX}ix_inbox_unread",
        "tenant",
        "recipient_id",
        **when("read_at IS NULL AND archived_at IS NULL"),
    ),
)

rate_buckets = Table(
    f"{PREFIX}rate_buckets",
    metadata,
    Column("name", Name(160), primary_key=True),
    Column("tenant", Name(64), nullable=False),
    Column("empty_until", UtcDateTime, nullable=False),
)

streams = Table(
    f"{PREFIX}streams",
    metadata,
    Column("id", Id(), primary_key=True),
    Column("tenant", Name(64), nullable=False),
    Column("last_seq", BigInteger, nullable=False),
)

jobs = Table(
    f"{PREFIX}jobs",
    metadata,
    Column("id", Id(), primary_key=True),
    Column("tenant", Name(64), nullable=False),
    Column("name", Name(64), nullable=False),
    Column("arguments", LongText(), nullable=False),
    Column("unique_key", Name(255)),
    Column("slot", UtcDateTime),
    Column("status", Name(16), nullable=False),
    Column("reason", Name(64), nullable=False),
    Column("error", LongText(), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("finished_at", UtcDateTime),
    *leasable("jobs"),
    UniqueConstraint("tenant", "name", "unique_key", name=f"{PREFIX}uq_jobs_unique_key"),
    Index(f"{PREFIX}ix_jobs_name", "tenant", "name", "id"),
)
