"""How much is in flight when endpoints take 50 ms: 64 at a time would be 1,280 a second.

The rate is taken between the first and the last arrival, without the first sixty-four, which meet
free slots. Celery with four processes, for which 80 a second are possible, runs in the same rounds.
"""

from __future__ import annotations

from argparse import Namespace
from contextlib import ExitStack
from functools import partial

from measuring.delivering import Pipeline, http_sink, received, urls, wait_recorded
from measuring.figures import Figure, at_least
from measuring.pairing import Contestant, Segment, alternate, ratios
from measuring.places import Unreachable, Where, temporary_folder
from measuring.processes import Child
from measuring.program import Report, options, run
from ours.pipeline import engines, our_pipeline
from peers.pipeline import peer_pipeline

_DELAY = 0.050
_SLOTS = 64
_POSSIBLE = _SLOTS / _DELAY
_PROCESSES = 4


def main() -> None:
    """Read the options and run."""
    arguments = options(__doc__ or "").parse_args()
    run("slow_endpoints", arguments, partial(measure, arguments))


def measure(arguments: Namespace, report: Report) -> None:
    """Run every engine on SQLite, and Celery where it is at hand."""
    count, few = (1280, 40) if arguments.quick else (6400, 320)
    names = [f"ours {engine}" for engine in engines()]
    with ExitStack() as stack:
        folder = stack.enter_context(temporary_folder())
        sink, port = stack.enter_context(http_sink(folder))
        where = Where(database="sqlite", folder=folder, endpoints=urls(port, 64))
        contestants = []
        for engine in engines():
            ours = stack.enter_context(our_pipeline(engine, where))
            _segment(sink, ours, "notify_many", _SLOTS, count // 4)
            work = partial(_segment, sink, ours, "notify_many", _SLOTS, count)
            contestants.append(Contestant(name=f"ours {engine}", run=work))
        try:
            peer = stack.enter_context(peer_pipeline("celery", where, processes=_PROCESSES))
        except Unreachable as error:
            report.missing.append(f"slow endpoints over Celery: {error}")
        else:
            _segment(sink, peer, "accept", _PROCESSES, few)
            work = partial(_segment, sink, peer, "accept", _PROCESSES, few)
            contestants.append(Contestant(name="celery", run=work))
        done = alternate(contestants, rounds=arguments.rounds or (1 if arguments.quick else 5))
    report.rounds["slow endpoints"] = done
    for name in names:
        what = f"endpoints that take 50 ms, 64 in flight, SQLite, {name.removeprefix('ours ')}"
        achieved = [each.values["rate"] / _POSSIBLE for each in done[name]]
        report.figures.append(
            Figure(
                what=what,
                over=f"the {_POSSIBLE:,.0f} a second possible",
                measure="rate",
                ratios=achieved,
                target=at_least(0.90),
                unit="%",
            )
        )
        if "celery" in done:
            inverse = ratios(done, "celery", name, "rate")
            report.figures.append(
                Figure(
                    what=what,
                    over=f"Celery, {_PROCESSES} processes",
                    measure="rate",
                    ratios=inverse,
                )
            )


def _segment(sink: Child, pipeline: Pipeline, how: str, slots: int, count: int) -> Segment:
    sink.ask("reset", delay=_DELAY)
    cpu = pipeline.cpu()
    pipeline.accept(how, count)
    seen = received(sink, count)
    wait_recorded(pipeline)
    wall = seen["last"] - seen["first"]
    rate = (count - slots) / wall
    return Segment(work=count, wall=wall, cpu=pipeline.cpu() - cpu, values={"rate": rate})


if __name__ == "__main__":
    main()
