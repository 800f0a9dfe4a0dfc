"""The lock file pins what pyproject.toml asks for, by hash, and names no registry."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

_ROOT = Path(__file__).parents[2]
_LOCKS = ("core", "dev", "bench")
_PIN = re.compile(r"^([a-z0-9-]+)==([^\s;\\]+)", re.MULTILINE)


def _text(lock: str) -> str:
    return (_ROOT / "requirements" / f"{lock}.txt").read_text()


def _pins(lock: str) -> dict[str, set[Version]]:
    """Versions by name; more than one where the lock tells environments apart."""
    pins: dict[str, set[Version]] = {}
    for name, version in _PIN.findall(_text(lock)):
        pins.setdefault(name, set()).add(Version(version))
    return pins


def _wanted() -> dict[str, list[Requirement]]:
    document = tomllib.loads((_ROOT / "pyproject.toml").read_text())
    project = document["project"]
    core = project["dependencies"]
    extras = [each for extra in project["optional-dependencies"].values() for each in extra]
    everything = [*core, *extras, *document["dependency-groups"]["dev"]]
    peers = (_ROOT / "requirements" / "bench.in").read_text().splitlines()
    return {
        "bench": [Requirement(each) for each in peers if not each.startswith("#")],
        "core": [Requirement(each) for each in core],
        "dev": [Requirement(each) for each in everything if not each.startswith("claimnotify")],
    }


@pytest.mark.parametrize("lock", _LOCKS)
def test_every_requirement_is_pinned_within_its_bounds(lock: str) -> None:
    pins = _pins(lock)
    for requirement in _wanted()[lock]:
        versions = pins.get(canonicalize_name(requirement.name))
        assert versions, f"{requirement} is missing: run make lock"
        assert all(requirement.specifier.contains(each) for each in versions), requirement


@pytest.mark.parametrize("lock", _LOCKS)
def test_no_host_is_named(lock: str) -> None:
    assert not re.search(r"://|--index-url|--find-links|--trusted-host", _text(lock))


@pytest.mark.parametrize("lock", _LOCKS)
def test_every_pin_has_a_hash(lock: str) -> None:
    text = re.sub(r" \\\n\s+", " ", _text(lock))
    pins = [line for line in text.splitlines() if _PIN.match(line)]
    assert pins
    assert not [line.split()[0] for line in pins if "--hash=sha256:" not in line]


@pytest.mark.parametrize("lock", ["core", "bench"])
def test_the_locks_agree(lock: str) -> None:
    everything, pins = _pins("dev"), _pins(lock)
    assert {name: pins[name] for name in pins if name in everything} == {
        name: everything[name] for name in pins if name in everything
    }


def test_core_has_nothing_that_dev_has_not() -> None:
    assert not _pins("core").keys() - _pins("dev").keys()
