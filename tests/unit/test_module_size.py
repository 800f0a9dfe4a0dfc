"""Modules stay small enough to read in one sitting."""

from __future__ import annotations

from pathlib import Path

import pytest

_PACKAGE = Path(__file__).parents[2] / "claimnotify"
_MODULES = sorted(_PACKAGE.rglob("*.py"))
_LIMIT = 300


@pytest.mark.parametrize("module", _MODULES, ids=lambda path: str(path.relative_to(_PACKAGE)))
def test_no_module_is_longer_than_the_limit(module: Path) -> None:
    lines = len(module.read_text(encoding="utf-8").splitlines())
    assert lines <= _LIMIT, f"{module.name} has {lines} lines: split it by what changes together"


def test_the_limit_is_measured_on_something() -> None:
    assert len(_MODULES) > 30
