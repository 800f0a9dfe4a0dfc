"""Column types that mean the same on SQLite, PostgreSQL and MariaDB."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import DateTime, Dialect, String, Text
from sqlalchemy.dialects import mysql
from sqlalchemy.types import TypeDecorator, TypeEngine

__all__ = ["Id", "LongText", "Name", "UtcDateTime"]


def Id() -> TypeEngine[str]:
    """Return the type of ids: 32 hexadecimal digits, compared byte by byte."""
    return Name(32)


class Name(TypeDecorator[str]):
    """Names and keys of others: up to `length` characters, compared byte by byte.

    Args:
        length: Characters, not bytes.
    """

    impl = String
    cache_ok = True

    def __init__(self, length: int) -> None:
        super().__init__(length)
        self._length = length

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name in ("mysql", "mariadb"):
            text = mysql.VARCHAR(self._length, charset="utf8mb4", collation=_bytewise(dialect))
            return dialect.type_descriptor(text)
        collation = "C" if dialect.name == "postgresql" else None
        return dialect.type_descriptor(String(self._length, collation=collation))


class LongText(TypeDecorator[str]):
    """Texts without a useful bound: payloads and rendered content."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name in ("mysql", "mariadb"):
            text = mysql.LONGTEXT(charset="utf8mb4", collation=_bytewise(dialect))
            return dialect.type_descriptor(text)
        return dialect.type_descriptor(Text())


def _bytewise(dialect: Dialect) -> str:
    """Return the collation by which nothing equals anything else.

    By `utf8mb4_bin` "acme" and "acme " would be one tenant: it compares as if both were padded with
    spaces to the same length.
    """
    mariadb = bool(getattr(dialect, "is_mariadb", False))
    return "utf8mb4_nopad_bin" if mariadb else "utf8mb4_0900_bin"


class UtcDateTime(TypeDecorator[datetime]):
    """A moment, aware and in UTC, to the microsecond.

    PostgreSQL keeps it as `timestamptz`; the others, which have no zones, as naive UTC.
    """

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[datetime]:
        if dialect.name in ("mysql", "mariadb"):
            return dialect.type_descriptor(mysql.DATETIME(fsp=6))
        return dialect.type_descriptor(DateTime(timezone=dialect.name == "postgresql"))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a moment without a time zone cannot be stored")
        value = value.astimezone(UTC)
        return value if dialect.name == "postgresql" else value.replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
