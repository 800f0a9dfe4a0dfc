"""What is published is the whole package, and it works with the core dependencies alone."""

from __future__ import annotations

import email.parser
import os
import subprocess
import sys
import tarfile
import zipfile
from configparser import ConfigParser
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]


def _run(*command: str, cwd: Path, **environment: str) -> str:
    result = subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, f"{command}\n{result.stdout}\n{result.stderr}"
    return result.stdout


def _build(target: str, source: Path, output: Path) -> Path:
    _run(sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(output), cwd=source)
    (artifact,) = output.iterdir()
    return artifact


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _build("sdist", _ROOT, tmp_path_factory.mktemp("sdist"))


@pytest.fixture(scope="module")
def wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel built from the unpacked sdist, not from the tree."""
    folder = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    (source,) = folder.iterdir()
    return _build("wheel", source, tmp_path_factory.mktemp("wheel"))


def _package_files() -> set[str]:
    """The package's files as git sees them; those not committed yet count too."""
    if not (_ROOT / ".git").exists():
        pytest.skip("not a checkout")
    listed = _run("git", "ls-files", "-co", "--exclude-standard", "claimnotify", cwd=_ROOT)
    return {name for name in listed.splitlines() if (_ROOT / name).is_file()}


def test_the_wheel_built_from_the_sdist_has_every_file_of_the_package(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        files = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert files == _package_files()


@pytest.mark.parametrize(
    "name",
    [
        "claimnotify/py.typed",
        "claimnotify/channels/__init__.py",
        "claimnotify/webhooks/__init__.py",
        "claimnotify/templates/__init__.py",
        "claimnotify/store/migrations/env.py",
    ],
)
def test_files_that_a_naive_build_loses_are_in_the_wheel(wheel: Path, name: str) -> None:
    with zipfile.ZipFile(wheel) as archive:
        assert name in archive.namelist()


def test_the_sdist_has_what_the_tests_and_the_documentation_need(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"README.md", "LICENSE", "Makefile", "mkdocs.yml", "tests/conftest.py"} <= names
    links = {"channels", "webhooks", "templates"}
    assert not [name for name in names if name.partition("/")[0] in links]


@pytest.mark.parametrize("room", ["channels", "webhooks", "templates"])
def test_the_links_at_the_root_lead_into_the_package(room: str) -> None:
    link = _ROOT / room
    if not link.is_symlink():
        pytest.skip("not a checkout: the sdist leaves the links out")
    assert os.readlink(link) == f"claimnotify/{room}"
    assert link.is_dir()


def _metadata(wheel: Path, name: str) -> str:
    with zipfile.ZipFile(wheel) as archive:
        (path,) = (each for each in archive.namelist() if each.endswith(f".dist-info/{name}"))
        return archive.read(path).decode()


def test_the_metadata_names_licence_python_and_extras(wheel: Path) -> None:
    metadata = email.parser.Parser().parsestr(_metadata(wheel, "METADATA"))
    assert metadata["License-Expression"] == "MIT"
    assert metadata["Requires-Python"] == ">=3.11"
    extras = set(metadata.get_all("Provides-Extra", []))
    assert extras == {"aiohttp", "all", "celery", "mysql", "postgres", "redis", "testing", "twilio"}


def test_the_extra_all_is_the_union_of_the_others() -> None:
    import tomllib

    from packaging.requirements import Requirement

    project = tomllib.loads((_ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    (everything,) = extras.pop("all")
    assert Requirement(everything).extras == set(extras)


def test_every_entry_point_can_be_loaded(wheel: Path) -> None:
    parser = ConfigParser(delimiters="=")
    parser.read_string(_metadata(wheel, "entry_points.txt"))
    targets = [target for group in parser.sections() for _, target in parser.items(group)]
    assert len(targets) == 6
    program = """
import functools, importlib, sys
for target in sys.argv[1:]:
    module, _, name = target.partition(":")
    functools.reduce(getattr, name.split(".") if name else [], importlib.import_module(module))
"""
    _run(sys.executable, "-c", program, *targets, cwd=_ROOT)


@pytest.mark.slow
@pytest.mark.network
def test_the_hello_world_runs_in_an_empty_environment_with_the_core_alone(
    wheel: Path, tmp_path: Path
) -> None:
    """Only the wheel and the core's pinned dependencies are installed: no extra, no service."""
    environment = tmp_path / "environment"
    python = environment / ("Scripts" if os.name == "nt" else "bin") / "python"
    _run(sys.executable, "-m", "venv", str(environment), cwd=tmp_path)
    pip = [str(python), "-m", "pip", "--disable-pip-version-check", "--quiet", "install"]
    core = _ROOT / "requirements" / "core.txt"
    try:
        _run(*pip, "--require-hashes", "--requirement", str(core), cwd=tmp_path)
    except AssertionError as error:
        if os.environ.get("CLAIMNOTIFY_REQUIRE_SERVICES") == "1":
            raise
        pytest.skip(f"the package registry cannot be reached: {error}"[:500])
    _run(*pip, "--no-deps", str(wheel), cwd=tmp_path)
    _run(str(python), "-m", "pip", "check", cwd=tmp_path)

    runner = _ROOT / "tests" / "acceptance" / "run_page.py"
    empty = tmp_path / "empty"
    empty.mkdir()
    printed = _run(
        str(python),
        "-I",
        str(runner),
        str(_ROOT / "README.md"),
        cwd=empty,
        XDG_DATA_HOME=str(empty),
    )
    assert "12A" in printed
