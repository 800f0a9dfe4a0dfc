"""The one way out over HTTP: engines behind the port `HttpEngine`, and the guard they obey."""

from __future__ import annotations

import importlib.metadata
from typing import TYPE_CHECKING, Literal, TypeAlias

from claimnotify.errors import ConfigurationError

if TYPE_CHECKING:
    from claimnotify.http.egress import EgressPolicy
    from claimnotify.ports import HttpEngine

__all__ = ["EngineKind", "make_engine"]

EngineKind: TypeAlias = Literal["auto", "aiohttp", "httpx", "httpx-aiohttp"]

_OLDEST_AIOHTTP, _TOO_NEW_AIOHTTP = (3, 10), (4, 0)


def make_engine(policy: EgressPolicy | None = None, kind: EngineKind = "auto") -> HttpEngine:
    """Return an engine that keeps to `policy`.

    Args:
        policy: Where requests may go. None allows everything and is for hosts that the operator
            names, such as a provider's API; never for a URL that a customer registered.
        kind: What carries the requests: `aiohttp`, the fastest; `httpx`; or `httpx-aiohttp`, httpx's
            requests and responses over aiohttp's connections. `auto` is aiohttp where a version
            that we know is installed, else httpx.

    Raises:
        ConfigurationError: aiohttp was asked for, and is missing or of another version.
    """
    from claimnotify.http.egress import EgressPolicy

    allowed = EgressPolicy.unrestricted() if policy is None else policy
    installed = _aiohttp_version()
    usable = installed is not None and _OLDEST_AIOHTTP <= _numbers(installed) < _TOO_NEW_AIOHTTP
    if kind == "httpx" or (kind == "auto" and not usable):
        from claimnotify.http.httpx_engine import HttpxEngine

        return HttpxEngine(allowed)
    if not usable:
        problem = (
            "is not installed" if installed is None else f"{installed} is a version unknown to us"
        )
        raise ConfigurationError(
            "http_engine",
            f"is {kind!r}, but aiohttp {problem}",
            "Install claimnotify[aiohttp], or choose another engine.",
        )
    if kind == "httpx-aiohttp":
        from claimnotify.http.aiohttp_transport import HttpxAiohttpEngine

        return HttpxAiohttpEngine(allowed)
    from claimnotify.http.aiohttp_engine import AiohttpEngine

    return AiohttpEngine(allowed)


def _aiohttp_version() -> str | None:
    try:
        return importlib.metadata.version("aiohttp")
    except importlib.metadata.PackageNotFoundError:
        return None


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2])
