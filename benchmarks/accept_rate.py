"""What accepting costs: one notify, a hundred in the caller's transaction, notify_many.

Against the least that a team does: one row by SQLAlchemy's ORM, committed, and `.delay()` of a
Celery task with its id; and against the statements of one notify run by the bare driver, which is
the limit of what a caller that commits one by one can reach. Nobody delivers meanwhile. CPU is the application's; the database servers
are not in it, except for SQLite, which works inside the application.
"""

from __future__ import annotations

from argparse import Namespace
from contextlib import ExitStack
from functools import partial

from measuring.delivering import Pipeline
from measuring.figures import Figure
from measuring.pairing import Segment, alternate, ratios, say, sized
from measuring.places import Unreachable, Where, temporary_folder
from measuring.program import Report, options, run
from ours.pipeline import our_pipeline
from peers.pipeline import peer_pipeline

_LABELS = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}
_WAYS = {
    "notify": "one notify",
    "notify_in_session": "session=, 100 a commit",
    "notify_many": "notify_many",
}
_PEER = "insert + .delay()"
_ENDPOINTS = ["http://127.0.0.1:9/hook"] * 64
"""Nothing is sent there."""


def main() -> None:
    """Read the options and run."""
    arguments = options(__doc__ or "").parse_args()
    run("accept_rate", arguments, partial(measure, arguments))


def measure(arguments: Namespace, report: Report) -> None:
    """Run the rounds of each database."""
    for database in _LABELS:
        try:
            _on(database, arguments, report)
        except Unreachable as error:
            report.missing.append(f"accepting on {_LABELS[database]}: {error}")


def _on(database: str, arguments: Namespace, report: Report) -> None:
    say(f"accepting on {_LABELS[database]}")
    seconds, trial = (0.4, 50) if arguments.quick else (2.0, 300)
    with ExitStack() as stack:
        folder = stack.enter_context(temporary_folder())
        where = Where(database=database, folder=folder, endpoints=_ENDPOINTS)
        peer = stack.enter_context(peer_pipeline("celery", where, worker=False))
        ours = stack.enter_context(our_pipeline("default", where, worker=False))
        ways: list[tuple[Pipeline, str, str]] = [(peer, "insert_and_enqueue", _PEER)]
        ways += [(ours, how, how) for how in (*_WAYS, "bare_statements")]
        contestants = [
            sized(partial(_accept, pipeline, how), seconds=seconds, trial=trial, name=name)
            for pipeline, how, name in ways
        ]
        done = alternate(contestants, rounds=arguments.rounds or (1 if arguments.quick else 5))
    report.rounds[database] = done
    for how, label in _WAYS.items():
        for kind in ("wall", "cpu"):
            report.figures.append(
                Figure(
                    what=f"accept, {_LABELS[database]}, {label}",
                    over=_PEER,
                    measure=kind,
                    ratios=ratios(done, how, _PEER, kind),
                )
            )
    report.figures.append(
        Figure(
            what=f"accept, {_LABELS[database]}, one notify",
            over="its statements by the bare driver",
            measure="wall",
            ratios=ratios(done, "notify", "bare_statements", "wall"),
            unit="%",
        )
    )


def _accept(pipeline: Pipeline, how: str, count: int) -> Segment:
    cpu = pipeline.cpu()
    wall = pipeline.accept(how, count)
    return Segment(work=count, wall=wall, cpu=pipeline.cpu() - cpu)


if __name__ == "__main__":
    main()
