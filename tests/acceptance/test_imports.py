"""Importing claimnotify costs little: heavy libraries are loaded when they are used."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]
_HEAVY = ("pydantic", "sqlalchemy", "httpx", "twilio", "huey", "jinja2")


def _loaded(program: str) -> set[str]:
    """The top-level modules in `sys.modules` after `program` ran in a fresh interpreter."""
    tail = "; import sys; print(*{name.partition('.')[0] for name in sys.modules})"
    result = subprocess.run(
        [sys.executable, "-c", program + tail],
        cwd=_ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.returncode == 0, result.stderr
    return set(result.stdout.split())


@pytest.mark.parametrize("library", [*_HEAVY, "alembic", "aiosmtplib", "typer", "cryptography"])
def test_importing_the_package_loads_no_heavy_library(library: str) -> None:
    assert library not in _loaded("import claimnotify")


@pytest.mark.parametrize(
    "library", ["sqlalchemy", "httpx", "twilio", "huey", "jinja2", "alembic", "aiosmtplib"]
)
def test_the_names_of_the_hello_world_load_only_pydantic(library: str) -> None:
    loaded = _loaded("from claimnotify import Event, Notifier, Recipient")
    assert "pydantic" in loaded
    assert library not in loaded


def test_verifying_webhooks_needs_the_standard_library_only() -> None:
    loaded = _loaded("from claimnotify.webhooks import Webhook, WebhookVerificationError")
    assert not loaded & {*_HEAVY, "aiohttp", "cryptography"}


@pytest.mark.parametrize("command", ["", "listen", "deliveries"])
def test_the_help_of_the_command_line_loads_nothing_that_only_a_command_needs(command: str) -> None:
    program = f"""
import sys
from claimnotify.cli import main
sys.argv = ["claimnotify", *{command.split()!r}, "--help"]
try:
    main()
except SystemExit as ended:
    assert not ended.code
import sys"""
    loaded = _loaded(program)
    assert "typer" in loaded
    assert not loaded & {*_HEAVY, "asyncio", "cryptography", "h11", "ssl"} - {"pydantic"}


def test_signing_imports_the_standard_library_and_the_errors_only() -> None:
    source = (_ROOT / "claimnotify" / "webhooks" / "signing.py").read_text()
    imported = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            imported.add(node.module or "")
    foreign = {name for name in imported if name.partition(".")[0] not in sys.stdlib_module_names}
    assert foreign == {"claimnotify.errors"}


def test_the_public_names_are_listed_and_importable() -> None:
    program = "import claimnotify; [getattr(claimnotify, name) for name in claimnotify.__all__]"
    assert "claimnotify" in _loaded(program)


def test_a_name_that_does_not_exist_is_an_attribute_error() -> None:
    program = """
import claimnotify
try:
    claimnotify.no_such_name
except AttributeError as error:
    assert "no_such_name" in str(error)
else:
    raise SystemExit("no AttributeError")
import sys"""
    assert "claimnotify" in _loaded(program)
