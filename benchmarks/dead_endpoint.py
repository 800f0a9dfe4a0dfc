"""What one dead endpoint does to the ninety-nine others: their p99 from commit to delivered.

A hundred endpoints, each with an address of its own, get the same share of a steady load; before it
begins, one of them gets a burst. In a third of the segments that one answers like the others, in a
third it accepts connections and never answers, in a third it refuses them. Every segment has a
database and a worker of its own, so that none inherits what another left behind.
"""

from __future__ import annotations

import time
from argparse import Namespace
from contextlib import ExitStack
from functools import partial

from measuring.delivering import http_sink
from measuring.figures import Figure, at_most
from measuring.pairing import Contestant, Segment, alternate, ratios
from measuring.places import Unreachable, Where, temporary_folder
from measuring.processes import Child
from measuring.program import Report, options, run
from measuring.schedule import poisson, quantile
from ours.pipeline import OurPipeline, our_pipeline

_ENDPOINTS = 100
_LIVE = [f"127.0.1.{number}" for number in range(1, _ENDPOINTS + 1)]
_HOSTS = {"all alive": _LIVE[0], "one silent": "127.0.2.1", "one refusing": "127.0.3.1"}
"""Where the first endpoint is. Nobody listens on the last."""
_BURST = 300
_WARMING = 60.0


def main() -> None:
    """Read the options and run."""
    parser = options(__doc__ or "")
    parser.add_argument("--database", choices=("postgresql", "sqlite"), default="postgresql")
    parser.add_argument("--rate", type=float, default=150.0, help="webhooks a second")
    parser.add_argument("--seconds", type=float, help="how long a segment is")
    arguments = parser.parse_args()
    run("dead_endpoint", arguments, partial(measure, arguments))


def measure(arguments: Namespace, report: Report) -> None:
    """Run the three in turn."""
    seconds = arguments.seconds or (2.0 if arguments.quick else 8.0)
    patience = 8.0 if arguments.quick else 60.0
    with ExitStack() as stack:
        folder = stack.enter_context(temporary_folder())
        silent = "-" + _HOSTS["one silent"]
        sink, port = stack.enter_context(http_sink(folder, (*_LIVE, silent)))
        contestants = []
        for name, first in _HOSTS.items():
            hosts = (first, *_LIVE[1:])
            where = Where(
                database=arguments.database,
                folder=folder,
                endpoints=[f"http://{host}:{port}/hook" for host in hosts],
            )
            work = partial(_segment, sink, where, arguments.rate, seconds, patience)
            contestants.append(Contestant(name=name, run=work))
        done = alternate(contestants, rounds=arguments.rounds or (1 if arguments.quick else 5))
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


def _segment(sink: Child, where: Where, rate: float, seconds: float, patience: float) -> Segment:
    with our_pipeline("default", where) as pipeline:
        sink.ask("reset")
        _warm_up(sink, pipeline)
        sink.ask("reset", arrivals=True)
        _send(pipeline, "notify_one", endpoint=0, count=_BURST)
        cpu, began = pipeline.cpu(), time.monotonic() + 1.0
        times = [began + each for each in poisson(rate, seconds, seed=int(rate))]
        first, pipeline.first = pipeline.first, pipeline.first + len(times)
        commits = pipeline.driver.ask("notify_at", first=first, times=times, seconds=seconds + 60)
        others = {number: at for number, at in commits if number % _ENDPOINTS}
        arrived = _arrivals(sink, set(others), patience)
        wall, cpu = time.monotonic() - began, pipeline.cpu() - cpu
        pipeline.stop_worker(at_once=True)  # it may wait for answers that never come
    given_up = began + seconds + patience
    waits = [(arrived.get(number, given_up) - at) * 1000 for number, at in others.items()]
    values = {
        "p50": quantile(waits, 0.50),
        "p99": quantile(waits, 0.99),
        "missing": float(len(others.keys() - arrived)),
    }
    return Segment(work=len(others), wall=wall, cpu=cpu, values=values)


def _warm_up(sink: Child, pipeline: OurPipeline) -> None:
    """Open a connection to every living endpoint but the first."""
    for endpoint in range(1, _ENDPOINTS):
        _send(pipeline, "notify_one", endpoint=endpoint, count=1)
    seen = sink.ask("wait", distinct=_ENDPOINTS - 1, at_most=_WARMING, seconds=_WARMING + 10)
    if seen["distinct"] < _ENDPOINTS - 1:
        raise Unreachable("not even the living endpoints were reached")


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
