"""Writes what a command made: whole to a file or not at all, into a pipe, or to standard output."""

from __future__ import annotations

import json
import os
import shutil
import stat
from pathlib import Path
from typing import Any

from claimnotify.cli.output import say
from claimnotify.errors import ConfigurationError

__all__ = ["as_json", "put"]


def as_json(value: Any) -> str:
    """Return JSON text in which invisible characters are escaped, and others stand as they are."""
    text = json.dumps(value, indent=2, ensure_ascii=False) + "\n"
    return "".join(
        char if char.isprintable() or char == "\n" else json.dumps(char)[1:-1] for char in text
    )


def put(text: str, output: Path | None) -> None:
    """Write `text` to a file, in one step for those who read it, or print it.

    Into a pipe or a character device it is written as it stands, once somebody reads there.

    Raises:
        ConfigurationError: It cannot be written there.
    """
    if output is None:
        for line in text.removesuffix("\n").split("\n"):
            say(line)
        return
    try:
        mode = _mode(output)
        if mode is None or stat.S_ISREG(mode):
            _replace(Path(os.path.realpath(output)), text)  # a link stays one
        else:
            _pass_on(output, text)
    except (OSError, ValueError) as error:  # ValueError: no system has a file of such a name
        problem = (error.strerror if isinstance(error, OSError) else None) or error
        raise ConfigurationError(
            "output", f"{output} cannot be written: {problem}", "Name a file elsewhere."
        ) from error


def _mode(path: Path) -> int | None:
    """Return what kind of file is there, links followed, or None if there is none yet."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return None
    _check(mode)
    return mode


def _check(mode: int) -> None:
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(None, "it is a folder")
    if not (stat.S_ISREG(mode) or stat.S_ISFIFO(mode) or stat.S_ISCHR(mode)):
        raise OSError(None, "it is neither a file nor a pipe")


def _replace(target: Path, text: str) -> None:
    # Not with the whole name, which may be as long as a name can be.
    part = target.with_name(f".{target.name[:40]}.{os.getpid()}.part")
    try:
        with part.open("x", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        if target.exists():
            shutil.copymode(target, part)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def _pass_on(path: Path, text: str) -> None:
    """Write into what is there already, which is neither made nor emptied."""
    with open(os.open(path, os.O_WRONLY), "w", encoding="utf-8", newline="\n") as stream:
        mode = os.fstat(stream.fileno()).st_mode
        _check(mode)
        if stat.S_ISREG(mode):
            raise OSError(None, "it became a file meanwhile")
        stream.write(text)
