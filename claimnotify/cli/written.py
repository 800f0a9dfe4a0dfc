"""Writes what a command made: whole to a file or not at all, or to standard output."""

from __future__ import annotations

import json
import os
import shutil
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

    Raises:
        ConfigurationError: The file cannot be written.
    """
    if output is None:
        for line in text.removesuffix("\n").split("\n"):
            say(line)
        return
    target = output.resolve()  # a link stays one
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        if target.is_dir():
            raise IsADirectoryError(None, "it is a folder")
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
    except OSError as error:
        raise ConfigurationError(
            "output", f"{output} cannot be written: {error.strerror}", "Name a file elsewhere."
        ) from error
