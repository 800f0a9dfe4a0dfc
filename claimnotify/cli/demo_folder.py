"""The folder the demonstration writes to; nothing is deleted there but what a demonstration made."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from claimnotify.errors import ConfigurationError

__all__ = ["DATABASE", "MAIL", "QUEUE", "WORKER_LOG", "prepare"]

MAIL = "mail"
DATABASE = "demo.db"
QUEUE = "queue.db"
WORKER_LOG = "worker.log"

_MARKER = ".claimnotify-demo"
_MARK = "claimnotify demo deletes what it made in this folder when it runs again.\n"
_FILES = (
    WORKER_LOG,
    *(f"{name}{end}" for name in (DATABASE, QUEUE) for end in ("", "-wal", "-shm")),
)
_MAIL_FILE = re.compile(r"\d{4}-(?:ana|tom)@example\.com\.(?:eml|html)", re.ASCII)
_ANOTHER = "Give --directory a new or an empty folder."


def prepare(directory: Path) -> None:
    """Make `directory` ready: a folder that is marked as the demonstration's, with an empty mail folder.

    Files that an earlier demonstration made there are deleted; others stay.

    Raises:
        ConfigurationError: It is a file or cannot be made, or it has files in it and was not made by
            a demonstration.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        marker, mail = directory / _MARKER, directory / MAIL
        if any(directory.iterdir()) and not (_is_marked(marker) or _is_unmarked_demo(directory)):
            raise ConfigurationError(
                "directory",
                f"{directory} is not empty, and no demo made it",
                f"{_ANOTHER} If the demo of an older version made it, delete it yourself.",
            )
        if mail.is_symlink():
            raise ConfigurationError("directory", f"{mail} is a link", _ANOTHER)
        marker.write_text(_MARK, encoding="utf-8")
        mail.mkdir(exist_ok=True)
        for path in _made(directory):
            path.unlink()
    except FileExistsError as error:
        raise ConfigurationError("directory", f"{error.filename} is no folder", _ANOTHER) from error
    except OSError as error:
        problem = f"{error.filename or directory} cannot be used: {error.strerror}"
        raise ConfigurationError("directory", problem, _ANOTHER) from error


def _is_marked(marker: Path) -> bool:
    return marker.is_file() and marker.read_bytes() == _MARK.encode()


def _is_unmarked_demo(directory: Path) -> bool:
    """Return whether all in it is of a demonstration from before there was a marker, and complete."""
    found = {path.name for path in directory.iterdir()}
    mail = directory / MAIL
    return (
        found >= {MAIL, DATABASE, QUEUE, WORKER_LOG}
        and found <= {MAIL, *_FILES}
        and mail.is_dir()
        and not mail.is_symlink()
        and all(_MAIL_FILE.fullmatch(path.name) for path in mail.iterdir())
    )


def _made(directory: Path) -> Iterator[Path]:
    """Yield the files that a demonstration made in this folder of its own."""
    for path in [*directory.iterdir(), *(directory / MAIL).iterdir()]:
        in_mail = path.parent != directory
        if _MAIL_FILE.fullmatch(path.name) if in_mail else path.name in _FILES:
            yield path
