"""What the package imports is declared: in the core, or in an extra if only some need it."""

from __future__ import annotations

import ast
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

_ROOT = Path(__file__).parents[2]
_PACKAGE = _ROOT / "claimnotify"
_MODULES = sorted(_PACKAGE.rglob("*.py"))
_OF_AN_EXTRA = (
    # Modules that are loaded only where their extra is installed.
    "testing/",
    "channels/twilio",
    "dispatch/celery",
    "worker/celery",
    "http/aiohttp",
)
_OF_THE_APPLICATION = {
    # Who receives webhooks in a framework has it; we need it for nothing else.
    "webhooks/receiving/django.py": {"django"},
    "webhooks/receiving/flask.py": {"flask"},
    "webhooks/receiving/starlette.py": {"fastapi", "starlette"},
}
_PART_OF = {"pydantic-core": "pydantic"}  # released together, pinned to each other


_distributions = cache(packages_distributions)


@cache
def _declared() -> tuple[set[str], set[str]]:
    """The names in the core, and those in the core or any extra."""
    project = tomllib.loads((_ROOT / "pyproject.toml").read_text())["project"]
    core = {canonicalize_name(Requirement(each).name) for each in project["dependencies"]}
    extras = {
        canonicalize_name(Requirement(each).name)
        for extra in project["optional-dependencies"].values()
        for each in extra
    }
    return core, core | extras


def _imports(node: ast.AST, *, lazily: bool = False) -> Iterator[tuple[str, bool]]:
    """Yield every top-level name imported and whether that waits until a function is called."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            for alias in child.names:
                yield alias.name.partition(".")[0], lazily
        elif isinstance(child, ast.ImportFrom):
            yield (child.module or "").partition(".")[0], lazily
        elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            yield from _imports(child, lazily=True)
        else:
            function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)
            yield from _imports(child, lazily=lazily or function)


@pytest.mark.parametrize("module", _MODULES, ids=lambda path: str(path.relative_to(_PACKAGE)))
def test_every_import_is_a_declared_dependency(module: Path) -> None:
    core, everything = _declared()
    distributions = _distributions()
    path = module.relative_to(_PACKAGE).as_posix()
    for name, lazily in _imports(ast.parse(module.read_text(encoding="utf-8"))):
        if name in sys.stdlib_module_names or name == "claimnotify":
            continue
        owners = {canonicalize_name(owner) for owner in distributions.get(name, [name])}
        owners = {_PART_OF.get(owner, owner) for owner in owners}
        allowed = everything if lazily or path.startswith(_OF_AN_EXTRA) else core
        allowed = allowed | _OF_THE_APPLICATION.get(path, set())
        assert owners & allowed, f"{path} imports {name}, which pyproject.toml does not declare"
