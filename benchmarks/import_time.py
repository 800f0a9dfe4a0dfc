"""Prints what importing claimnotify costs over an empty program and over pydantic alone.

Run with `python benchmarks/import_time.py [ROUNDS]`. Every program runs in a fresh interpreter with
a warm cache; rounds are interleaved, and the best of each is compared, so that what else the
machine is doing weighs little.
"""

from __future__ import annotations

import subprocess
import sys
import time

PROGRAMS = {
    "pass": "pass",
    "import claimnotify": "import claimnotify",
    "import pydantic": "import pydantic; pydantic.BaseModel",
    "pydantic and one model": "import pydantic\nclass Model(pydantic.BaseModel):\n    field: int",
    "from claimnotify import Event, Notifier, Recipient": (
        "from claimnotify import Event, Notifier, Recipient"
    ),
}
COMPARISONS = (
    # what, over what, the budget in milliseconds
    ("import claimnotify", "pass", 100),
    ("from claimnotify import Event, Notifier, Recipient", "import pydantic", 60),
    ("from claimnotify import Event, Notifier, Recipient", "pydantic and one model", 60),
)


def run(program: str) -> float:
    """Return the seconds a fresh interpreter takes for `program`."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", program], check=True)
    return time.perf_counter() - start


def main(rounds: int = 15) -> None:
    """Measure and print."""
    for program in PROGRAMS.values():
        run(program)  # warms the cache
    best = dict.fromkeys(PROGRAMS, float("inf"))
    for _ in range(rounds):
        for name, program in PROGRAMS.items():
            best[name] = min(best[name], run(program))
    for name, seconds in best.items():
        print(f"{seconds * 1000:8.1f} ms  {name}")
    print()
    for name, base, budget in COMPARISONS:
        extra = (best[name] - best[base]) * 1000
        print(f"{extra:+8.1f} ms  {name}, over {base} (budget {budget} ms)")


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:2]))
