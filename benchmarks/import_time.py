"""What importing claimnotify costs, in milliseconds over an empty program and over pydantic alone.

Every program runs in a fresh interpreter with a warm cache; rounds are interleaved, and the best of
each is compared, so that what else the machine is doing weighs little.
"""

from __future__ import annotations

import subprocess
import sys
import time
from argparse import Namespace
from functools import partial

from measuring.figures import Figure, at_most
from measuring.pairing import Contestant, Segment, alternate
from measuring.program import Report, options, run

_PROGRAMS = {
    "pass": "pass",
    "import claimnotify": "import claimnotify",
    "import pydantic": "import pydantic; pydantic.BaseModel",
    "pydantic and one model": "import pydantic\nclass Model(pydantic.BaseModel):\n    field: int",
    "from claimnotify import Event, Notifier, Recipient": (
        "from claimnotify import Event, Notifier, Recipient"
    ),
}
_COMPARISONS = (
    # what, over what, the budget in milliseconds
    ("import claimnotify", "pass", 100),
    ("from claimnotify import Event, Notifier, Recipient", "import pydantic", 60),
    ("from claimnotify import Event, Notifier, Recipient", "pydantic and one model", 60),
)


def main() -> None:
    """Read the options and run."""
    arguments = options(__doc__ or "").parse_args()
    run("import_time", arguments, partial(measure, arguments))


def measure(arguments: Namespace, report: Report) -> None:
    """Time the programs in turn."""
    for program in _PROGRAMS.values():
        _time(program)  # warms the cache
    contestants = [
        Contestant(name=name, run=partial(_time, program)) for name, program in _PROGRAMS.items()
    ]
    done = alternate(contestants, rounds=arguments.rounds or (3 if arguments.quick else 15))
    report.rounds["import"] = done
    best = {name: min(each.wall for each in segments) for name, segments in done.items()}
    for name, base, budget in _COMPARISONS:
        report.figures.append(
            Figure(
                what=name,
                over=base,
                measure="wall",
                ratios=[(best[name] - best[base]) * 1000],
                target=at_most(budget),
                unit="ms",
            )
        )


def _time(program: str) -> Segment:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", program], check=True)
    return Segment(work=1, wall=time.perf_counter() - began)


if __name__ == "__main__":
    main()
