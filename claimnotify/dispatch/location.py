"""Reads a queue URL: which backend it means, what its driver is given, what may be printed of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NoReturn
from urllib.parse import SplitResult, urlsplit

from claimnotify.errors import ConfigurationError

__all__ = ["QueueLocation", "parse_queue_url"]

_SQLITE = "sqlite:///"
_BACKENDS: dict[str, Literal["redis", "postgresql", "memory"]] = {
    "redis": "redis",
    "rediss": "redis",
    "postgres": "postgresql",
    "postgresql": "postgresql",
    "postgresql+psycopg": "postgresql",
    "postgresql+asyncpg": "postgresql",
    "memory": "memory",
}


@dataclass(frozen=True, slots=True)
class QueueLocation:
    """Where the rings are kept.

    Args:
        backend: Which kind of store it is.
        target: What its driver is given: a URL with the password, or a file's path.
        printable: The URL without password and options, fit for a log.
        secret: The password in `target`, to be struck out of a driver's messages; may be empty.
    """

    backend: Literal["sqlite", "redis", "postgresql", "memory"]
    target: str = field(repr=False)
    printable: str
    secret: str = field(default="", repr=False)

    def redact(self, text: str) -> str:
        """Return `text`, which a driver wrote, without the password and without the whole URL."""
        for secret in (self.target if self.secret else "", self.secret):
            if secret:
                text = text.replace(secret, "***")
        return text


def parse_queue_url(queue_url: str) -> QueueLocation:
    """Return what `queue_url` means. Nothing is opened.

    Args:
        queue_url: `sqlite:///path` (four slashes before an absolute path), `redis://…`,
            `rediss://…`, `postgresql://…` (a SQLAlchemy driver in the scheme is dropped) or
            `memory://`.

    Raises:
        ConfigurationError: If it is none of these. The message never contains the password.
    """
    if queue_url.lower().startswith("sqlite:"):
        return _sqlite(queue_url)
    try:
        parts = urlsplit(queue_url)
        port = parts.port
    except ValueError:
        _refuse("is not a URL, or its port is not a number")
    backend = _BACKENDS.get(parts.scheme)
    if backend is None:
        _refuse(f"{parts.scheme}:// is not supported" if parts.scheme else "is not a URL")
    if backend == "memory":
        return QueueLocation("memory", "memory://", "memory://")
    if not parts.hostname:
        _refuse("names no host")
    if backend == "redis" and not parts.path.strip("/").isdecimal() and parts.path not in ("", "/"):
        _refuse("has a path that is not the number of a Redis database")
    if backend == "postgresql" and not parts.path.strip("/"):
        _refuse("names no database")
    scheme = "postgresql" if backend == "postgresql" else parts.scheme
    return QueueLocation(
        backend=backend,
        target=parts._replace(scheme=scheme).geturl(),
        printable=_printable(scheme, parts, port),
        secret=parts.password or "",
    )


def _sqlite(queue_url: str) -> QueueLocation:
    if not queue_url.lower().startswith(_SQLITE):
        _refuse("a SQLite URL begins with sqlite:///")
    name = queue_url[len(_SQLITE) :]
    if not name or name.startswith((":memory:", "file:")) or "?" in name:
        _refuse("names no SQLite file; for tests there is memory://")
    path = Path(name).expanduser().absolute()
    if path.is_dir():
        _refuse("names a folder, not a file")
    return QueueLocation("sqlite", str(path), f"{_SQLITE}{path}")


def _printable(scheme: str, parts: SplitResult, port: int | None) -> str:
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    user = f"{parts.username}@" if parts.username else ""
    return f"{scheme}://{user}{host}{'' if port is None else f':{port}'}{parts.path}"


def _refuse(problem: str) -> NoReturn:
    remedy = "Give sqlite:////absolute/path, redis://host:port/0 or postgresql://user@host/name."
    raise ConfigurationError("queue_url", problem, remedy) from None
