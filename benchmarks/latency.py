"""From commit to delivered at low load, against Celery: fifty a second, on PostgreSQL and Redis.

Arrivals are a Poisson process, the same for both. The time runs from the moment the row's commit
returned to the sink's receipt of the request; waking the worker is part of it.
"""

from __future__ import annotations

import time
from argparse import Namespace
from contextlib import ExitStack
from functools import partial
from typing import Any

from measuring.delivering import http_sink, received, urls, wait_recorded
from measuring.figures import Figure, at_least
from measuring.pairing import Contestant, Segment, alternate, ratios
from measuring.places import Where, temporary_folder
from measuring.processes import Child, ChildFailed
from measuring.program import Report, options, run
from measuring.schedule import poisson, quantile
from ours.pipeline import our_pipeline
from peers.pipeline import peer_pipeline

_QUANTILES = {"p50": 0.50, "p99": 0.99}


def main() -> None:
    """Read the options and run."""
    parser = options(__doc__ or "")
    parser.add_argument("--rate", type=float, default=50.0, help="webhooks a second")
    parser.add_argument("--seconds", type=float, help="how long a segment is")
    arguments = parser.parse_args()
    run("latency", arguments, partial(measure, arguments))


def measure(arguments: Namespace, report: Report) -> None:
    """Run both in turn and compare the quantiles of each pair of segments."""
    seconds = arguments.seconds or (3.0 if arguments.quick else 15.0)
    with ExitStack() as stack:
        folder = stack.enter_context(temporary_folder())
        sink, port = stack.enter_context(http_sink(folder))
        where = Where(database="postgresql", folder=folder, endpoints=urls(port, 64))
        peer = stack.enter_context(peer_pipeline("celery", where))
        ours = stack.enter_context(our_pipeline("default", where))
        contestants = []
        for name, pipeline, how in (("celery", peer, "accept_at"), ("ours", ours, "notify_at")):
            _segment(sink, pipeline, how, arguments.rate, 2.0)  # warms up
            work = partial(_segment, sink, pipeline, how, arguments.rate, seconds)
            contestants.append(Contestant(name=name, run=work))
        done = alternate(contestants, rounds=arguments.rounds or (1 if arguments.quick else 5))
    report.rounds["latency"] = done
    for kind in _QUANTILES:
        report.figures.append(
            Figure(
                what=f"commit to delivered, {arguments.rate:g} a second, PostgreSQL + Redis",
                over="Celery",
                measure=kind,
                ratios=ratios(done, "ours", "celery", kind),
                target=at_least(1.0),
            )
        )
    report.notes.append("latency: times shorter than Celery's; 1× is the same")


def _segment(sink: Child, pipeline: Any, how: str, rate: float, seconds: float) -> Segment:
    sink.ask("reset", arrivals=True)
    cpu, began = pipeline.cpu(), time.monotonic()
    times = [began + 0.1 + each for each in poisson(rate, seconds, seed=int(rate))]
    first, pipeline.first = pipeline.first, pipeline.first + len(times)
    commits = pipeline.driver.ask(how, first=first, times=times, seconds=seconds + 60)
    received(sink, len(times))
    wall = time.monotonic() - began
    wait_recorded(pipeline)
    cpu = pipeline.cpu() - cpu
    arrived = dict(sink.ask("arrivals"))
    if len(arrived) != len(commits):
        raise ChildFailed(f"{pipeline.name}: {len(arrived)} of {len(commits)} arrived")
    waits = [(arrived[number] - committed) * 1000 for number, committed in commits]
    values = {name: quantile(waits, share) for name, share in _QUANTILES.items()}
    return Segment(work=len(times), wall=wall, cpu=cpu, values=values)


if __name__ == "__main__":
    main()
