"""Finds the keys that encrypt secrets at rest: those that were given, or one beside the SQLite file."""

from __future__ import annotations

import os
import secrets
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from claimnotify.errors import ConfigurationError

if TYPE_CHECKING:
    from claimnotify.settings import Settings

__all__ = ["secret_keys"]


def secret_keys(settings: Settings, embedded: Path | None) -> tuple[str, ...]:
    """Return the keys that were given, or for SQLite one kept beside the file `embedded`.

    Raises:
        ConfigurationError: None was given, and the store is not in a SQLite file.
    """
    given = tuple(key.get_secret_value() for key in settings.secret_keys)
    if given:
        return given
    if embedded is None:
        raise ConfigurationError(
            "secret_keys",
            "is needed unless the database is a SQLite file: endpoint keys are encrypted with it",
            "Set CLAIMNOTIFY_SECRET_KEYS to 32 or more random characters, the same everywhere.",
        )
    path = embedded.with_name(f"{embedded.stem}.key")
    if not path.exists():
        _write_key(path)
        warnings.warn(
            f"a secret key was made in {path}; back it up, or set CLAIMNOTIFY_SECRET_KEYS",
            stacklevel=5,
        )
    return (path.read_text().strip(),)


def _write_key(path: Path) -> None:
    """Write a new key, readable by its owner only; the first of several processes wins."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(secrets.token_urlsafe(48))
    try:
        os.link(temporary, path)
    except FileExistsError:
        return
    finally:
        temporary.unlink()
