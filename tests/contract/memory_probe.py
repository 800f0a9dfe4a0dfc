"""Posts to a flooding server and prints how much memory that took: engine and port as arguments."""

from __future__ import annotations

import asyncio
import json
import resource
import sys
from typing import Any

from claimnotify.errors import HttpEngineError
from claimnotify.http.egress import EgressPolicy
from claimnotify.http.pooled_engine import PooledEngine
from claimnotify.model.http import HttpRequest
from tests.contract.engines import ENGINES


async def main(name: str, port: str, paths: list[str]) -> None:
    (engine_class,) = (each for each in ENGINES if each.__name__ == name)
    engine = engine_class(EgressPolicy(allow_networks=("127.0.0.0/8",), allow_http=True))
    await _outcome(engine, f"http://127.0.0.1:{port}/warm")  # loads what is loaded lazily
    before = _peak()
    found: dict[str, Any] = {}
    for path in paths:
        found[path] = await _outcome(engine, f"http://127.0.0.1:{port}/{path}")
    found["grown"] = _peak() - before
    await engine.aclose()
    json.dump(found, sys.stdout)


async def _outcome(engine: PooledEngine[Any], url: str) -> str:
    try:
        got = await engine.send(HttpRequest(method="POST", url=url, body=b"{}", deadline=20.0))
    except HttpEngineError as error:
        return type(error).__name__
    return f"{got.status}, {len(got.body)} bytes{', truncated' if got.truncated else ''}"


def _peak() -> int:
    """The most memory this process ever held, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3:]))
