"""One segment of delivering webhooks: accepted, received by the sink, outcome recorded."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from measuring.pairing import Segment
from measuring.processes import Child, ChildFailed
from measuring.program import child_environment

_PATIENCE = 300.0
_POLL = 0.005


class Pipeline(Protocol):
    """What can be measured: ours and the peers'."""

    name: str

    def cpu(self) -> float:
        """Return the CPU seconds used so far."""

    def accept(self, how: str, count: int) -> float:
        """Accept `count` webhooks."""

    def unfinished(self) -> int:
        """Return how many have no outcome yet."""


@contextmanager
def http_sink(folder: Path, hosts: Sequence[str] = ("127.0.0.1",)) -> Iterator[tuple[Child, int]]:
    """Start a sink and give it with its port. A host with a minus before it never answers."""
    with Child(
        [sys.executable, "-m", "sinks.http_sink", *hosts],
        name="http-sink",
        log=folder,
        env=child_environment(),
    ) as sink:
        yield sink, sink.ask("port")


def urls(port: int, count: int) -> list[str]:
    """Return so many endpoint URLs of the sink."""
    return [f"http://127.0.0.1:{port}/hooks/{number}" for number in range(count)]


def end_to_end(sink: Child, pipeline: Pipeline, how: str, count: int) -> Segment:
    """Accept `count` webhooks and wait until each was received and its outcome recorded.

    Raises:
        ChildFailed: Some did not arrive, or have no outcome, in five minutes.
    """
    sink.ask("reset", delay=0.0, arrivals=False)
    cpu, began = pipeline.cpu(), time.perf_counter()
    accepting = pipeline.accept(how, count)
    seen = received(sink, count)
    wait_recorded(pipeline)
    wall, cpu = time.perf_counter() - began, pipeline.cpu() - cpu
    values = {"accepting": accepting, "duplicates": float(seen["requests"] - seen["distinct"])}
    return Segment(work=count, wall=wall, cpu=cpu, values=values)


def received(sink: Child, count: int) -> dict[str, Any]:
    """Wait until the sink has so many distinct ids; return its counts."""
    seen: dict[str, Any] = sink.ask(
        "wait", distinct=count, at_most=_PATIENCE, seconds=_PATIENCE + 10
    )
    if seen["distinct"] < count:
        raise ChildFailed(f"{seen['distinct']} of {count} webhooks arrived in {_PATIENCE:g} s")
    return seen


def wait_recorded(pipeline: Pipeline) -> None:
    """Wait until every outcome is recorded."""
    ends = time.monotonic() + _PATIENCE
    while (left := pipeline.unfinished()) > 0:
        if time.monotonic() > ends:
            raise ChildFailed(f"{pipeline.name}: {left} webhooks have no outcome")
        time.sleep(_POLL)
