"""Whether memory stays flat while notify_many works through an iterable of recipients, on SQLite.

The process's resident memory at half and at the whole of them, over that at a tenth. By default a
hundred thousand; `--recipients 1000000` for the million.
"""

from __future__ import annotations

import time
from argparse import Namespace
from functools import partial

from measuring.figures import Figure, at_most
from measuring.pairing import Contestant, Segment, alternate
from measuring.places import Where, temporary_folder
from measuring.program import Report, options, run
from ours.pipeline import our_pipeline

_SHARES = (0.1, 0.5, 1.0)
_MAIL = {
    "smtp_host": "127.0.0.1",
    "smtp_from_email": "claims@example.com",
    "smtp_security": "none",
}
"""So that the deliveries wait to be sent; nobody sends them."""


def main() -> None:
    """Read the options and run."""
    parser = options(__doc__ or "")
    parser.add_argument("--recipients", type=int, help="how many")
    arguments = parser.parse_args()
    run("batch_memory", arguments, partial(measure, arguments))


def measure(arguments: Namespace, report: Report) -> None:
    """Run in a fresh process in each round."""
    count = arguments.recipients or (5_000 if arguments.quick else 100_000)
    done = alternate(
        [Contestant(name="notify_many", run=partial(_segment, count))],
        rounds=arguments.rounds or (1 if arguments.quick else 3),
    )
    report.rounds["memory"] = done
    for share in _SHARES[1:]:
        report.figures.append(
            Figure(
                what=f"memory of notify_many at {count * share:,.0f} recipients",
                over=f"at {count * _SHARES[0]:,.0f}",
                measure="RSS",
                ratios=[
                    each.values[f"MB at {share}"] / each.values[f"MB at {_SHARES[0]}"]
                    for each in done["notify_many"]
                ],
                target=at_most(1.1),
            )
        )


def _segment(count: int) -> Segment:
    with temporary_folder() as folder:
        where = Where(database="sqlite", folder=folder, endpoints=())
        with our_pipeline("default", where, worker=False, more=_MAIL) as pipeline:
            cpu, began = pipeline.cpu(), time.perf_counter()
            resident = pipeline.driver.ask(
                "mail_many_watched", count=count, shares=_SHARES, seconds=60 + count / 100
            )
            wall, cpu = time.perf_counter() - began, pipeline.cpu() - cpu
    values = {f"MB at {share}": bytes_used / 2**20 for share, bytes_used in resident.items()}
    return Segment(work=count, wall=wall, cpu=cpu, values=values)


if __name__ == "__main__":
    main()
