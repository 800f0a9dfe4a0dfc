"""The guard holds against the system's own resolver, in a network where every address can be reached."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

_ROOT = Path(__file__).parents[2]
_NAMESPACES = (
    ["unshare", "--mount", "--net"],
    ["unshare", "--user", "--map-root-user", "--mount", "--net"],
)
_EXPECTED = {
    "public": "200",
    "public and private": "ForbiddenDestination",
    "private and public": "ForbiddenDestination",
    "public and this machine, in IPv6": "ForbiddenDestination",
    "flips": "200 ForbiddenDestination",
    "flips to metadata": "200 ForbiddenDestination",
    "flips and back": "200 ForbiddenDestination 200",
    "aliases to an internal host": "ForbiddenDestination",
    "too long for UDP": "ForbiddenDestination",
    "empty": "ConnectFailed",
    "broken": "ConnectFailed",
    "silent": "DeadlineExceeded",
    "unknown": "ConnectFailed",
    "redirect": "302",
    "silence takes one thread": "200 while 60 wait for DeadlineExceeded",
}


@functools.cache
def _namespace() -> list[str]:
    """The command that runs another in a network of its own; skips where that is not permitted."""
    why = ""
    for command in _NAMESPACES:
        probe = [*command, "mount", "--bind", "/etc/hosts", "/etc/resolv.conf"]
        try:
            tried = subprocess.run(probe, capture_output=True, text=True, timeout=30)
        except OSError as error:
            why = str(error)
            continue
        if tried.returncode == 0:
            return command
        why = tried.stderr.strip()
    pytest.skip(f"no namespaces here: {why}")


@functools.cache
def _report() -> dict[str, Any]:
    ran = subprocess.run(
        [*_namespace(), sys.executable, "-m", "tests.integration.egress_namespace"],
        cwd=_ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stderr
    report: dict[str, Any] = json.loads(ran.stdout)
    return report


@pytest.mark.parametrize("engine", ["HttpxEngine", "AiohttpEngine", "HttpxAiohttpEngine"])
@pytest.mark.parametrize("scenario", _EXPECTED)
def test_what_the_system_resolves_decides(engine: str, scenario: str) -> None:
    assert _report()["engines"][engine][scenario] == _EXPECTED[scenario]


def test_nothing_forbidden_was_connected_to() -> None:
    """Not the private host, not the metadata service a redirect named, not the environment's proxy."""
    assert _report()["forbidden connections"] == 0


def test_the_name_was_what_tls_asked_for() -> None:
    assert _report()["server names"] == ["hooks.partner.dev", "other.partner.dev"]


def test_what_udp_had_no_room_for_was_read_over_tcp() -> None:
    assert _report()["over tcp"] >= 3
