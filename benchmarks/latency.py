"""From commit to delivered at low load, against Celery: fifty a second, on PostgreSQL and Redis.

Arrivals are a Poisson process for both. The time runs from the moment the row's commit
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
from measuring.pairing import Segment, ratios
from measuring.places import Where, temporary_folder
from measuring.processes import Child, ChildFailed
from measuring.program import Report, options, run
from measuring.schedule import poisson
from measuring.waits import QUANTILES, Window, take_turns
from ours.pipeline import our_pipeline
from peers.pipeline import peer_pipeline


def main() -> None:
    """Read the options and run."""
    parser = options(__doc__ or "")
    parser.add_argument("--rate", type=float, default=50.0, help="webhooks a second")
    parser.add_argument("--seconds", type=float, help="how long a window is")
    parser.add_argument("--windows", type=int, help="how many windows of each there are in a round")
    arguments = parser.parse_args()
    run("latency", arguments, partial(measure, arguments))


def measure(arguments: Namespace, report: Report) -> None:
    """Run both in turn and compare the quantiles of each round."""
    seconds = arguments.seconds or (3.0 if arguments.quick else 5.0)
    windows = arguments.windows or (1 if arguments.quick else 8)
    rounds = arguments.rounds or (1 if arguments.quick else 5)
    done: dict[str, list[Segment]] = {"celery": [], "ours": []}
    with ExitStack() as stack:
        folder = stack.enter_context(temporary_folder())
        sink, port = stack.enter_context(http_sink(folder))
        where = Where(database="postgresql", folder=folder, endpoints=urls(port, 64))
        peer = stack.enter_context(peer_pipeline("celery", where))
        ours = stack.enter_context(our_pipeline("default", where))
        contestants = {}
        for name, pipeline, how in (("celery", peer, "accept_at"), ("ours", ours, "notify_at")):
            _window(sink, pipeline, how, arguments.rate, 2.0)  # warms up
            contestants[name] = partial(_window, sink, pipeline, how, arguments.rate, seconds)
        for number in range(1, rounds + 1):
            title = f"round {number} of {rounds}"
            for name, segment in take_turns(contestants, windows=windows, title=title).items():
                done[name].append(segment)
    report.rounds["latency"] = done
    for kind in QUANTILES:
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


def _window(sink: Child, pipeline: Any, how: str, rate: float, seconds: float) -> Window:
    sink.ask("reset", arrivals=True)
    cpu, began = pipeline.cpu(), time.monotonic()
    times = [began + 0.1 + each for each in poisson(rate, seconds, seed=pipeline.first)]
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
    return Window(waits=waits, wall=wall, cpu=cpu)


if __name__ == "__main__":
    main()
