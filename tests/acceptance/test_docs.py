"""Every Python block of the README and the documentation runs as it is written."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]
_RUNNER = Path(__file__).with_name("run_page.py")
_PAGES = [_ROOT / "README.md", *sorted((_ROOT / "docs").rglob("*.md"))]
_TEXT = "\n".join(page.read_text(encoding="utf-8") for page in _PAGES)
_COMMANDS = {
    found.strip()
    for found in re.findall(r"(?:^\$ |`)claimnotify((?: [a-z]+(?:-[a-z]+)*)+)", _TEXT, re.MULTILINE)
}
_MAIN = "from claimnotify.cli import main; main()"
_NEEDS = re.compile(r"^<!-- needs: (?P<services>[a-z, ]+) -->$", re.MULTILINE)


def _run_page(page: Path, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the page in an empty folder that is also its home."""
    return subprocess.run(
        [sys.executable, str(_RUNNER), str(page)],
        cwd=folder,
        env={
            **os.environ,
            "HOME": str(folder),
            "XDG_DATA_HOME": str(folder),
            "PYTHONPATH": str(_ROOT),
            **environment,
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )


def _has_python(page: Path) -> bool:
    return "```python" in page.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "page",
    [page for page in _PAGES if _has_python(page)],
    ids=lambda page: str(page.relative_to(_ROOT)),
)
def test_the_python_blocks_of_a_page_run(
    page: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """A page that says `<!-- needs: postgres, redis -->` finds them in its settings."""
    found = _NEEDS.search(page.read_text(encoding="utf-8"))
    services = {name.strip() for name in found["services"].split(",")} if found else set()
    assert services <= {"postgres", "redis"}
    environment = {}
    if "postgres" in services:
        environment["CLAIMNOTIFY_DATABASE_URL"] = request.getfixturevalue("postgres_url")
    if "redis" in services:
        environment["CLAIMNOTIFY_QUEUE_URL"] = request.getfixturevalue("redis_url")
    result = _run_page(page, tmp_path, **environment)
    assert result.returncode == 0, result.stdout + result.stderr
    assert re.search(r"^[1-9]\d* blocks of", result.stdout, re.MULTILINE), result.stdout


@pytest.mark.parametrize(
    ("page", "message"),
    [
        # a block fails
        ("```python\nassert 1 + 1 == 3\n```", "AssertionError"),
        # a block needs what a failing set-up did not give
        ("<!-- setup\nraise OSError('no')\n-->\n```python\npass\n```", "OSError"),
        # an awaited block fails
        ("```python\nimport asyncio\nawait asyncio.sleep(0)\n1 / 0\n```", "ZeroDivisionError"),
        # a block in a list fails
        ("* one\n\n    ```python\n    1 / 0\n    ```", "ZeroDivisionError"),
        # a block in another spelling fails
        ("```py\n1 / 0\n```", "ZeroDivisionError"),
        # a module that the page shows fails when it is imported
        ('```python title="acme.py"\n1 / 0\n```', "ZeroDivisionError"),
        # a block is skipped without a reason
        ("<!-- no-run: -->\n```python\n1 / 0\n```", "say why"),
        ("<!-- no-run -->\n```python\n1 / 0\n```", "no-run: reason"),
        # a reason without a block
        ("<!-- no-run: it would send -->\n\nSome text.\n```python\npass\n```", "right before"),
        ("<!-- no-run: it would send a lot -->", "has no block"),
        # a block without an end
        ("```python\npass", "not closed"),
    ],
)
def test_a_page_that_does_not_run_is_noticed(tmp_path: Path, page: str, message: str) -> None:
    path = tmp_path / "page.md"
    path.write_text(page)
    result = _run_page(path, tmp_path)
    assert result.returncode != 0
    assert message in result.stderr


def test_blocks_of_a_page_share_names_and_tracebacks_point_into_the_page(tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    path.write_text(
        "<!-- setup\nimport asyncio\n-->\n"
        "```python\nanswer = 42\n```\n"
        "<!-- no-run: it would fail on purpose -->\n```python\n1 / 0\n```\n"
        "```python\nawait asyncio.sleep(0)\nassert answer == 42\nraise KeyError(answer)\n```\n"
    )
    result = _run_page(path, tmp_path)
    assert "KeyError: 42" in result.stderr
    assert f'File "{path}", line 14' in result.stderr


def test_a_block_with_a_title_is_a_module_that_later_blocks_can_import(tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    path.write_text(
        '```python title="acme.py"\nanswer = 42\n```\n'
        "```python\nimport acme\nassert acme.answer == 42\n```\n"
    )
    result = _run_page(path, tmp_path)
    assert result.stdout == "2 blocks of page.md ran\n", result.stderr


@pytest.mark.parametrize("command", sorted(_COMMANDS))
def test_commands_that_the_pages_name_exist(command: str, tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-c", _MAIN, *command.split(), "--help"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(_ROOT)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_make_targets_that_the_pages_name_exist() -> None:
    makefile = (_ROOT / "Makefile").read_text(encoding="utf-8")
    contributing = (_ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = re.findall(r"(?:^\$ |`)make ([a-z]+)", _TEXT + contributing, re.MULTILINE)
    targets = re.findall(r"^([a-z]+):", makefile, re.MULTILINE)
    assert {"demo", "test"} <= set(named) <= set(targets)


@pytest.mark.slow
def test_the_documentation_builds_without_a_warning_and_asks_no_other_host(tmp_path: Path) -> None:
    site = tmp_path / "site"
    result = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(site)],
        cwd=_ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    fetched = re.compile(
        r"<(?:script|img|iframe)[^>]*\ssrc=\"(?:https?:)?//"
        r"|<link[^>]*rel=\"(?:stylesheet|preconnect|preload)\"[^>]*href=\"(?:https?:)?//"
    )
    pages = list(site.rglob("*.html"))
    assert len(pages) > 10
    for page in pages:
        assert not fetched.search(page.read_text(encoding="utf-8")), page
