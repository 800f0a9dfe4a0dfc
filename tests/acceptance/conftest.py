"""What acceptance tests share: the command line, run in this process."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import NamedTuple

import pytest

from claimnotify.cli import main

__all__ = ["KEY", "Claimnotify", "Said"]

KEY = "a-key-for-tests-of-thirty-two-characters"


class Said(NamedTuple):
    code: int
    out: str
    err: str


Claimnotify = Callable[..., Said]


@pytest.fixture
def claimnotify(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Claimnotify:
    """Runs the command line in this process, on an empty SQLite database unless told otherwise."""
    monkeypatch.setenv("CLAIMNOTIFY_DATABASE_URL", sqlite_url)
    monkeypatch.setenv("CLAIMNOTIFY_SECRET_KEYS", KEY)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: str) -> Said:
        monkeypatch.setattr(sys, "argv", ["claimnotify", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        code = ended.value.code or 0
        assert isinstance(code, int)
        return Said(code, *capsys.readouterr())

    return run
