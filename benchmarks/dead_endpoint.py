"""What one dead endpoint does to the ninety-nine others: their p99 from commit to delivered.

A hundred endpoints, each with an address of its own, get the same share of a steady load; before it
begins, one of them gets a burst. Of three deployments, one has that one answer like the others, for
one it accepts connections and never answers, for one it refuses them. Each has a database and a
worker of its own, new for every round, in which they take turns in short windows.
"""

from __future__ import annotations

import time
from argparse import Namespace
from contextlib import ExitStack
from functools import partial

from measuring.delivering import http_sink
from measuring.figures import Figure, at_most
from measuring.pairing import Segment, ratios
from measuring.places import Unreachable, Where, temporary_folder
from measuring.processes import Child
from measuring.program import Report, options, run
from measuring.schedule import poisson
from measuring.waits import Window, take_turns
from ours.pipeline import OurPipeline, our_pipeline

_ENDPOINTS = 100
_LIVE = [f"127.0.1.{number}" for number in range(1, _ENDPOINTS + 1)]
_HOSTS = {"all alive": _LIVE[0], "one silent": "127.0.2.1", "one refusing": "127.0.3.1"}
"""Where the first endpoint is. Nobody listens on the last."""
_BURST = 300
_WARMING = 60.0
_APART = 10_000_000
"""How far the numbers of two deployments' webhooks are apart: they have the sink in common."""


def main() -> None:
    """Read the options and run."""
    parser = options(__doc__ or "")
    parser.add_argument("--database", choices=("postgresql", "sqlite"), default="postgresql")
    parser.add_argument("--rate", type=float, default=150.0, help="webhooks a second")
    parser.add_argument("--seconds", type=float, help="how long a window is")
    parser.add_argument("--windows", type=int, help="how many windows of each there are in a round")
    arguments = parser.parse_args()
    run("dead_endpoint", arguments, partial(measure, arguments))


def measure(arguments: Namespace, report: Report) -> None:
    """Run the three in turn."""
    seconds = arguments.seconds or (2.0 if arguments.quick else 5.0)
    windows = arguments.windows or (1 if arguments.quick else 6)
    rounds = arguments.rounds or (1 if arguments.quick else 5)
    patience = 8.0 if arguments.quick else 60.0
    done: dict[str, list[Segment]] = {name: [] for name in _HOSTS}
    with ExitStack() as stack:
        folder = stack.enter_context(temporary_folder())
        silent = "-" + _HOSTS["one silent"]
        sink, port = stack.enter_context(http_sink(folder, (*_LIVE, silent)))
        for number in range(1, rounds + 1):
            with ExitStack() as pipelines:
                contestants = {}
                for position, (name, first) in enumerate(_HOSTS.items()):
                    hosts = (first, *_LIVE[1:])
                    where = Where(
                        database=arguments.database,
                        folder=folder,
                        endpoints=[f"http://{host}:{port}/hook" for host in hosts],
                    )
                    pipeline = pipelines.enter_context(our_pipeline("default", where))
                    # One that waits for answers that never come would be long in ending.
                    pipelines.callback(pipeline.stop_worker, at_once=True)
                    pipeline.first += position * _APART
                    _warm_up(sink, pipeline)
                    contestants[name] = partial(
                        _window, sink, pipeline, arguments.rate, seconds, patience
                    )
                title = f"round {number} of {rounds}"
                segments = take_turns(contestants, windows=windows, title=title)
            for name, segment in segments.items():
                done[name].append(segment)
    report.rounds["dead endpoint"] = done
    for name in ("one silent", "one refusing"):
        report.figures.append(
            Figure(
                what=f"p99 of the 99 others, {name}, {arguments.rate:g} a second",
                over="all alive",
                measure="p99",
                ratios=ratios(done, "all alive", name, "p99"),
                target=at_most(1.2),
            )
        )
    report.notes.append(
        f"dead endpoint: what did not arrive within {patience:g} s counts as that late"
    )


def _window(
    sink: Child, pipeline: OurPipeline, rate: float, seconds: float, patience: float
) -> Window:
    sink.ask("reset", arrivals=True)
    cpu, began = pipeline.cpu(), time.monotonic() + 0.1
    times = [began + each for each in poisson(rate, seconds, seed=pipeline.first % _APART)]
    first, pipeline.first = pipeline.first, pipeline.first + len(times)
    commits = pipeline.driver.ask("notify_at", first=first, times=times, seconds=seconds + 60)
    others = {number: at for number, at in commits if number % _ENDPOINTS}
    arrived = _arrivals(sink, set(others), patience)
    wall, cpu = time.monotonic() - began, pipeline.cpu() - cpu
    given_up = began + seconds + patience
    waits = [(arrived.get(number, given_up) - at) * 1000 for number, at in others.items()]
    return Window(waits=waits, wall=wall, cpu=cpu, missing=len(others.keys() - arrived))


def _warm_up(sink: Child, pipeline: OurPipeline) -> None:
    """Open a connection to every living endpoint but the first, and send that a burst."""
    sink.ask("reset")
    for endpoint in range(1, _ENDPOINTS):
        _send(pipeline, "notify_one", endpoint=endpoint, count=1)
    seen = sink.ask("wait", distinct=_ENDPOINTS - 1, at_most=_WARMING, seconds=_WARMING + 10)
    if seen["distinct"] < _ENDPOINTS - 1:
        raise Unreachable("not even the living endpoints were reached")
    _send(pipeline, "notify_one", endpoint=0, count=_BURST)


def _send(pipeline: OurPipeline, how: str, *, endpoint: int, count: int) -> None:
    first, pipeline.first = pipeline.first, pipeline.first + count
    pipeline.driver.ask(how, endpoint=endpoint, first=first, count=count)


def _arrivals(sink: Child, wanted: set[int], patience: float) -> dict[int, float]:
    """Return when each of the wanted numbers arrived, waiting `patience` for the late ones."""
    ends = time.monotonic() + patience
    while True:
        arrived = {number: at for number, at in sink.ask("arrivals") if number in wanted}
        if len(arrived) == len(wanted) or time.monotonic() > ends:
            return arrived
        time.sleep(0.2)


if __name__ == "__main__":
    main()
