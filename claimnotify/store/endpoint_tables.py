"""The tables of webhook endpoints: themselves, their keys, their breakers, and trouble to tell of."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, ForeignKey, Index, Integer, Table

from claimnotify.store.table_parts import PREFIX, metadata
from claimnotify.store.types import Id, LongText, Name, UtcDateTime

__all__ = ["breakers", "endpoint_keys", "endpoint_notices", "endpoints"]

endpoints = Table(
    f"{PREFIX}endpoints",
    metadata,
    Column("id", Id(), primary_key=True),
    Column("tenant", Name(64), nullable=False),
    Column("owner", Name(255), nullable=False),
    Column("url", LongText(), nullable=False),
    Column("event_types", LongText(), nullable=False),
    Column("description", LongText(), nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("disabled_reason", Name(255), nullable=False, server_default=""),
    Column("rate_limit", Name(32), nullable=False, server_default=""),
    Column("tags", LongText()),
    Column("metadata", LongText()),
    # Own headers: name to encrypted value.
    Column("headers", LongText()),
    Column("timeout_ms", Integer),
    Column("ordering", Name(8), nullable=False, server_default="none"),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime),
    # When its owner was last told that it is failing, and the operators that a fault of ours is in
    # the way.
    Column("told_at", UtcDateTime),
    Column("fault_told_at", UtcDateTime),
    Index(f"{PREFIX}ix_endpoints_owner", "tenant", "owner"),
)

endpoint_keys = Table(
    f"{PREFIX}endpoint_keys",
    metadata,
    Column("id", Id(), primary_key=True),
    Column("tenant", Name(64), nullable=False),
    Column("endpoint_id", Id(), ForeignKey(endpoints.c.id, ondelete="CASCADE"), nullable=False),
    Column("kind", Name(8), nullable=False, server_default="v1"),
    Column("ciphertext", LongText(), nullable=False),
    Column("public_key", Name(64), nullable=False, server_default=""),
    Column("created_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime),
    Index(f"{PREFIX}ix_endpoint_keys_endpoint", "endpoint_id"),
)

breakers = Table(
    f"{PREFIX}breakers",
    metadata,
    Column("id", Name(96), primary_key=True),
    Column("tenant", Name(64), nullable=False),
    Column("failures", Integer, nullable=False),
    Column("openings", Integer, nullable=False),
    Column("opened_at", UtcDateTime),
    Column("retry_at", UtcDateTime),
    Column("release_at", UtcDateTime),
    Column("release_size", Integer, nullable=False),
    # Since when nothing but failure came back, and when the last did.
    Column("failing_since", UtcDateTime),
    Column("failed_at", UtcDateTime),
    Index(f"{PREFIX}ix_breakers_release", "release_at"),
    Index(f"{PREFIX}ix_breakers_retry", "retry_at"),
)

endpoint_notices = Table(
    f"{PREFIX}endpoint_notices",
    metadata,
    Column("id", Id(), primary_key=True),
    Column("tenant", Name(64), nullable=False),
    Column("endpoint_id", Id(), nullable=False),
    Column("owner", Name(255), nullable=False),
    Column("url", LongText(), nullable=False),
    Column("kind", Name(16), nullable=False),
    Column("reason", Name(64), nullable=False),
    Column("failing_since", UtcDateTime),
    Column("created_at", UtcDateTime, nullable=False),
)
