"""Makes SQLite refuse further pages while the disk is said to be full; imported by processes under fault."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Pool, event

__all__ = ["install", "may_be_full"]

_FLAG = "FAULTS_DISK_IS_FULL"
"""The variable that names a file: the disk is full while there is one."""
_MOST_PAGES = 1_073_741_823


@contextmanager
def may_be_full(flag: Path) -> Iterator[None]:
    """Have this process, and those it starts meanwhile, believe in a full disk while `flag` exists."""
    os.environ[_FLAG] = str(flag)
    try:
        yield
    finally:
        flag.unlink(missing_ok=True)
        del os.environ[_FLAG]


def install() -> None:
    """Set `PRAGMA max_page_count` on each connection of this process when it is taken."""
    if not event.contains(Pool, "checkout", _taken):
        event.listen(Pool, "checkout", _taken)


def _taken(connection: Any, _record: Any, _proxy: Any) -> None:
    flag = os.environ.get(_FLAG)
    if flag is not None and isinstance(connection, sqlite3.Connection):
        # Less than there are is as many as there are.
        pages = 1 if os.path.exists(flag) else _MOST_PAGES
        connection.execute(f"PRAGMA max_page_count={pages}").close()
