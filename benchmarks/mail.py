"""E-mail to an SMTP server on this machine, against smtplib: a kept connection, and one for each.

Ours accepts through notify_many, renders, sends and records on SQLite. smtplib renders the same
mail with bare Jinja2, builds and sends it, and does nothing else: with a kept connection it is the
limit of what one connection can do.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial

from measuring.delivering import end_to_end, received
from measuring.figures import Figure
from measuring.pairing import Segment, alternate, ratios, sized
from measuring.places import Where, temporary_folder
from measuring.processes import Child
from measuring.program import (
    BENCHMARKS,
    Report,
    child_environment,
    options,
    peers_python,
    run,
)
from ours.pipeline import history_is_whole, our_pipeline

_PEERS = {"smtplib, kept connection": True, "smtplib, a connection for each": False}


def main() -> None:
    """Read the options and run."""
    arguments = options(__doc__ or "").parse_args()
    run("mail", arguments, partial(measure, arguments))


def measure(arguments: Namespace, report: Report) -> None:
    """Run all three in turn."""
    seconds, trial = (0.5, 50) if arguments.quick else (2.5, 300)
    with ExitStack() as stack:
        folder = stack.enter_context(temporary_folder())
        sink = stack.enter_context(
            Child(
                [sys.executable, "-m", "sinks.smtp_sink", "127.0.0.1"],
                name="smtp-sink",
                log=folder,
                env=child_environment(),
            )
        )
        port = sink.ask("port")
        loop = stack.enter_context(
            Child(
                [peers_python(), "-m", "peers.mail_loop"],
                name="mail-loop",
                log=folder,
                env={"PYTHONPATH": str(BENCHMARKS)},
            )
        )
        settings = {
            "smtp_host": "127.0.0.1",
            "smtp_port": str(port),
            "smtp_from_email": "claims@example.com",
            "smtp_security": "none",
        }
        where = Where(database="sqlite", folder=folder, endpoints=())
        ours = stack.enter_context(our_pipeline("default", where, more=settings))
        contestants = []

        def add(name: str, work: Callable[[int], Segment]) -> None:
            contestants.append(sized(work, seconds=seconds, trial=trial, name=name))

        for name, kept in _PEERS.items():
            add(name, partial(_loop, sink, loop, port, kept))
        add("ours", partial(end_to_end, sink, ours, "mail_many"))
        done = alternate(contestants, rounds=arguments.rounds or (1 if arguments.quick else 5))
        history_is_whole(ours)
    report.rounds["mail"] = done
    for name in _PEERS:
        for kind in ("wall", "cpu"):
            report.figures.append(
                Figure(
                    what="e-mail, accept to recorded, SQLite",
                    over=name,
                    measure=kind,
                    ratios=ratios(done, "ours", name, kind),
                )
            )


def _loop(sink: Child, loop: Child, port: int, kept: bool, count: int) -> Segment:
    sink.ask("reset")
    wall, cpu = loop.ask("run", port=port, count=count, kept=kept)
    received(sink, count)
    return Segment(work=count, wall=wall, cpu=cpu)


if __name__ == "__main__":
    main()
