"""Makes SQLite refuse further pages while a file says that the disk is full. Imported by processes under fault."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import Any

from sqlalchemy import Pool, event

__all__ = ["FLAG", "limit_pages"]

FLAG = "FAULTS_DISK_IS_FULL"
"""The variable that names the file."""
_MOST_PAGES = 1_073_741_823


def limit_pages() -> None:
    """Set `PRAGMA max_page_count` on each connection when it is taken, if `FLAG` is set."""
    if FLAG not in os.environ:
        return
    flag = Path(os.environ[FLAG])

    def taken(connection: Any, _record: Any, _proxy: Any) -> None:
        if isinstance(connection, sqlite3.Connection):
            # Less than there are is as many as there are.
            pages = 1 if flag.exists() else _MOST_PAGES
            connection.execute(f"PRAGMA max_page_count={pages}").close()

    event.listen(Pool, "checkout", taken)
