"""Runs faults: `python -m tests.faults --runs 200 --stack sqlite --seed 1 --fault redis_down`."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Sequence
from concurrent.futures import as_completed
from types import FrameType
from typing import NoReturn

from tests.faults.catalogue import CATALOGUE
from tests.faults.process import pool, run_here
from tests.faults.report import failures, line, table
from tests.faults.stacks import STACKS
from tests.faults.verdict import Verdict

_AT_LEAST_ON_MARIADB = 50


def plan(
    stacks: Sequence[str], faults: Sequence[str], runs: int, seed: int
) -> list[tuple[str, str, int]]:
    """Return stack, fault and seed of each run: the runs of a stack are spread over its faults."""
    planned: list[tuple[str, str, int]] = []
    for stack in stacks:
        fitting = [name for name in faults if stack in CATALOGUE[name].stacks]
        wanted = runs
        if stack == "mariadb" and len(stacks) > 1:
            wanted = min(runs, max(_AT_LEAST_ON_MARIADB, runs // 4))
        planned += [
            (stack, fitting[number % len(fitting)], seed + number // len(fitting))
            for number in range(wanted if fitting else 0)
        ]
    return planned


def main(argv: Sequence[str]) -> int:
    """Run what the arguments say; return 1 if anything was lost or is wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument(
        "--runs", type=int, default=200, help="for each stack (default: %(default)s)"
    )
    parser.add_argument("--stack", default=",".join(STACKS), help="separated by commas")
    parser.add_argument("--seed", type=int, default=1, help="of each fault's first run")
    parser.add_argument("--fault", default="", help="only these, separated by commas")
    parser.add_argument(
        "--parallel", type=int, default=2, help="runs at once (default: %(default)s)"
    )
    options = parser.parse_args(argv)
    stacks = _chosen(parser, "stack", options.stack, STACKS)
    faults = _chosen(parser, "fault", options.fault or ",".join(CATALOGUE), tuple(CATALOGUE))
    planned = plan(stacks, faults, options.runs, options.seed)
    began = time.monotonic()
    verdicts: list[Verdict] = []
    signal.signal(signal.SIGTERM, _stop)
    with pool(options.parallel) as processes:
        try:
            for future in as_completed([processes.submit(run_here, *each) for each in planned]):
                verdicts.append(future.result())
                print(line(verdicts[-1]), flush=True)
        finally:  # when stopped: runs under way end and clean up, and none begins
            processes.shutdown(cancel_futures=True)
    print(table(verdicts))
    print(f"{len(verdicts)} runs in {time.monotonic() - began:.0f} s")
    wrong = failures(verdicts)
    for each in wrong:
        print(each)
    return 1 if wrong or not verdicts else 0


def _chosen(
    parser: argparse.ArgumentParser, option: str, text: str, known: Sequence[str]
) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in known:
            parser.error(f"there is no {option} {name!r}; choose from {', '.join(known)}")
    return names


def _stop(signum: int, _frame: FrameType | None) -> NoReturn:
    signal.signal(
        signum, signal.SIG_IGN
    )  # often it comes twice, and would break off the cleaning up
    sys.exit(128 + signum)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
