"""The HTTP engines that the tests of all engines run on."""

from __future__ import annotations

from typing import Any

from claimnotify.http.aiohttp_engine import AiohttpEngine
from claimnotify.http.aiohttp_transport import HttpxAiohttpEngine
from claimnotify.http.httpx_engine import HttpxEngine
from claimnotify.http.pooled_engine import PooledEngine

__all__ = ["ENGINES"]

ENGINES: tuple[type[PooledEngine[Any]], ...] = (HttpxEngine, AiohttpEngine, HttpxAiohttpEngine)
