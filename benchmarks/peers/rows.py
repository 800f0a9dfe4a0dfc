"""The tables that a team writes for its webhooks, with SQLAlchemy's ORM as its manual shows it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    DateTime,
    Engine,
    ForeignKey,
    String,
    Text,
    create_engine,
    event,
    make_url,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship, sessionmaker


class Base(DeclarativeBase):
    """The team's tables."""


class Endpoint(Base):
    """Where a customer wants to be told, and the secret to sign with."""

    __tablename__ = "bench_endpoints"

    id: Mapped[int] = mapped_column(primary_key=True)
    owner: Mapped[str] = mapped_column(String(64), index=True)
    url: Mapped[str] = mapped_column(Text)
    secret: Mapped[str] = mapped_column(String(128))
    enabled: Mapped[bool] = mapped_column(default=True)


class WebhookDelivery(Base):
    """One webhook to send to one endpoint, and what became of it."""

    __tablename__ = "bench_deliveries"

    id: Mapped[int] = mapped_column(primary_key=True)
    endpoint_id: Mapped[int] = mapped_column(ForeignKey(Endpoint.id))
    event_type: Mapped[str] = mapped_column(String(128))
    payload: Mapped[dict[str, Any]] = mapped_column(JSON)
    status: Mapped[str] = mapped_column(String(16), default="pending")
    attempts: Mapped[int] = mapped_column(default=0)
    response_code: Mapped[int | None]
    error: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), default=lambda: datetime.now(UTC)
    )
    delivered_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))

    endpoint: Mapped[Endpoint] = relationship(lazy="joined", innerjoin=True)


def make_engine(url: str) -> Engine:
    """Return an engine; SQLite is tuned as ours is: WAL, synchronous=NORMAL, a busy timeout."""
    engine = create_engine(url)
    if make_url(url).get_backend_name() == "sqlite":

        @event.listens_for(engine, "connect")
        def tune(connection: Any, _record: Any) -> None:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=NORMAL")
            connection.execute("PRAGMA busy_timeout=5000")

    return engine


def make_sessions(engine: Engine) -> sessionmaker:  # type: ignore[type-arg]
    """Return what makes sessions; committed rows are not read again."""
    return sessionmaker(engine, expire_on_commit=False)
