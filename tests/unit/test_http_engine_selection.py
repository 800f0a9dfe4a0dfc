"""Which HTTP engine is made: the one asked for, or the fastest that is installed."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from claimnotify import http
from claimnotify.errors import ConfigurationError
from claimnotify.http import EngineKind, make_engine
from claimnotify.settings import Settings

_ROOT = Path(__file__).parents[2]
_CLASSES = {
    "auto": "AiohttpEngine",
    "aiohttp": "AiohttpEngine",
    "httpx": "HttpxEngine",
    "httpx-aiohttp": "HttpxAiohttpEngine",
}


def _installed(monkeypatch: pytest.MonkeyPatch, version: str | None) -> None:
    """Let aiohttp be installed in `version`, or not at all."""

    def look_up(name: str) -> str:
        assert name == "aiohttp"
        if version is None:
            raise PackageNotFoundError(name)
        return version

    monkeypatch.setattr(http.importlib.metadata, "version", look_up)


@pytest.mark.parametrize("kind", _CLASSES)
def test_every_kind_has_its_engine(kind: EngineKind) -> None:
    assert type(make_engine(kind=kind)).__name__ == _CLASSES[kind]


@pytest.mark.parametrize(
    ("version", "name"),
    [
        (None, "HttpxEngine"),
        ("3.9.5", "HttpxEngine"),
        ("3.10.0", "AiohttpEngine"),
        ("3.99.1", "AiohttpEngine"),
        ("4.0.0a1", "HttpxEngine"),
    ],
)
def test_without_a_choice_aiohttp_is_taken_in_a_version_we_know(
    monkeypatch: pytest.MonkeyPatch, version: str | None, name: str
) -> None:
    _installed(monkeypatch, version)
    assert type(make_engine()).__name__ == name


@pytest.mark.parametrize("version", [None, "3.9.5", "4.0.0"])
@pytest.mark.parametrize("kind", ["aiohttp", "httpx-aiohttp"])
def test_a_choice_that_cannot_be_had_is_found_at_start_up(
    monkeypatch: pytest.MonkeyPatch, kind: EngineKind, version: str | None
) -> None:
    _installed(monkeypatch, version)
    with pytest.raises(ConfigurationError, match=r"http_engine.*claimnotify\[aiohttp\]"):
        make_engine(kind=kind)
    assert type(make_engine(kind="httpx")).__name__ == "HttpxEngine"


def test_the_setting_is_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings.load().http_engine == "auto"
    monkeypatch.setenv("CLAIMNOTIFY_HTTP_ENGINE", "httpx")
    assert Settings.load().http_engine == "httpx"
    monkeypatch.setenv("CLAIMNOTIFY_HTTP_ENGINE", "curl")
    with pytest.raises(ConfigurationError, match="http_engine"):
        Settings.load()


@pytest.mark.parametrize(
    ("kind", "loaded", "spared"),
    [("aiohttp", "aiohttp", "httpx"), ("httpx", "httpx", "aiohttp")],
)
def test_an_engine_loads_only_its_own_library(kind: str, loaded: str, spared: str) -> None:
    program = f"""
import sys
from claimnotify.http import make_engine
assert not {{"aiohttp", "httpx"}} & set(sys.modules)
make_engine(kind={kind!r})
assert {loaded!r} in sys.modules
assert {spared!r} not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], cwd=_ROOT, check=True, timeout=60)
