"""Draining a backlog of webhooks that were accepted while no worker ran, against Celery.

Both have the same backlog, a hundred thousand unless `--backlog` says otherwise. By turns, each
one's worker is started, timed from its first deliveries on for some seconds, and stopped; then the
backlog is filled up again. `--whole` lets each drain it to the end.
"""

from __future__ import annotations

import time
from argparse import Namespace
from contextlib import ExitStack
from functools import partial
from typing import Any

from measuring.delivering import http_sink, urls
from measuring.figures import Figure, at_least
from measuring.pairing import Contestant, Segment, alternate, ratios, say
from measuring.places import Unreachable, Where, temporary_folder
from measuring.processes import Child, ChildFailed
from measuring.program import Report, options, run
from ours.pipeline import OurPipeline, our_pipeline
from peers.pipeline import PROCESSES, PeerPipeline, peer_pipeline

_LABELS = {"postgresql": "PostgreSQL + Redis", "sqlite": "SQLite"}
_FIRST = 100
"""Deliveries that pass before the clock starts: by then every process of a pool is at work."""
_PATIENCE = 60.0


def main() -> None:
    """Read the options and run."""
    parser = options(__doc__ or "")
    parser.add_argument("--database", choices=tuple(_LABELS), action="append")
    parser.add_argument("--backlog", type=int, help="how many webhooks wait")
    parser.add_argument("--seconds", type=float, help="how long each is timed")
    parser.add_argument("--whole", action="store_true", help="time until nothing is left")
    arguments = parser.parse_args()
    run("backlog", arguments, partial(measure, arguments))


def measure(arguments: Namespace, report: Report) -> None:
    """Run the rounds of each database."""
    for database in arguments.database or _LABELS:
        try:
            _on(database, arguments, report)
        except Unreachable as error:
            report.missing.append(f"backlog on {_LABELS[database]}: {error}")


def _on(database: str, arguments: Namespace, report: Report) -> None:
    backlog = arguments.backlog or (2_000 if arguments.quick else 100_000)
    seconds = arguments.seconds or (1.5 if arguments.quick else 8.0)
    if arguments.whole:
        seconds = float("inf")
    say(f"a backlog of {backlog:,} on {_LABELS[database]}")
    with ExitStack() as stack:
        folder = stack.enter_context(temporary_folder())
        sink, port = stack.enter_context(http_sink(folder))
        where = Where(database=database, folder=folder, endpoints=urls(port, 64))
        peer = stack.enter_context(peer_pipeline("celery", where, worker=False))
        ours = stack.enter_context(our_pipeline("default", where, worker=False, workers=PROCESSES))
        contestants = [
            Contestant(name="celery", run=partial(_drain, sink, peer, backlog, seconds)),
            Contestant(name="ours", run=partial(_drain, sink, ours, backlog, seconds)),
        ]
        done = alternate(contestants, rounds=arguments.rounds or (1 if arguments.quick else 3))
    report.rounds[database] = done
    for kind in ("wall", "cpu"):
        report.figures.append(
            Figure(
                what=f"drain a backlog of {backlog:,}, {_LABELS[database]}",
                over="Celery",
                measure=kind,
                ratios=ratios(done, "ours", "celery", kind),
                target=at_least(12.0),
            )
        )


def _drain(
    sink: Child, pipeline: OurPipeline | PeerPipeline, backlog: int, seconds: float
) -> Segment:
    missing = backlog - pipeline.unfinished()
    if missing > 0:
        pipeline.fill(missing)
    waiting = pipeline.unfinished()
    sink.ask("reset")
    pipeline.start_worker()
    before = _wait(sink, min(_FIRST, waiting), _PATIENCE)
    cpu, began = pipeline.cpu(), time.monotonic()
    after = _wait(sink, waiting, seconds)
    cpu, wall = pipeline.cpu() - cpu, time.monotonic() - began
    pipeline.stop_worker()
    counted = sink.ask("count")
    recorded = waiting - pipeline.unfinished()
    if not after["distinct"] <= recorded <= counted["distinct"]:
        raise ChildFailed(f"{pipeline.name}: {recorded} recorded, {counted['distinct']} received")
    duplicates = float(counted["requests"] - counted["distinct"])
    return Segment(
        work=after["distinct"] - before["distinct"],
        wall=wall,
        cpu=cpu,
        values={"duplicates": duplicates},
    )


def _wait(sink: Child, distinct: int, seconds: float) -> dict[str, Any]:
    """Wait until so many are in, or the time is over; a whole backlog may take hours."""
    at_most = min(seconds, 10_000.0)
    seen: dict[str, Any] = sink.ask(
        "wait", distinct=distinct, at_most=at_most, seconds=at_most + 10
    )
    return seen


if __name__ == "__main__":
    main()
