"""Runs every benchmark program, prints one table, and writes `results/summary.json`.

`make bench` runs this. Options that it does not know go to every program: `--quick`, `--rounds 3`.
`--only NAME` (repeatable) runs some of them.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any

from measuring.figures import Figure, table
from measuring.program import BENCHMARKS

_PROGRAMS = (
    "end_to_end",
    "backlog",
    "accept_rate",
    "latency",
    "slow_endpoints",
    "dead_endpoint",
    "mail",
    "batch_memory",
    "rendering",
    "signatures",
    "import_time",
    "lease_cost",
)


def main() -> int:
    """Run the programs; return 1 if one of them failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=_PROGRAMS, action="append", help="a program to run")
    parser.add_argument(
        "--results", type=Path, default=BENCHMARKS / "results", help="the folder for JSON files"
    )
    chosen, passed_on = parser.parse_known_args()
    began = time.monotonic()
    documents, failed = [], []
    for name in chosen.only or _PROGRAMS:
        document = _run(name, chosen.results, passed_on)
        if document is None:
            failed.append(name)
        else:
            documents.append(document)
    _print(documents)
    if any(each["quick"] for each in documents):
        print("note: small sizes (--quick) show that the programs work; quote none of these")
    for name in failed:
        print(f"failed: {name}")
    seconds = time.monotonic() - began
    print(f"{seconds / 60:.1f} minutes; raw figures are in {chosen.results}")
    summary = {
        "seconds": round(seconds, 1),
        "failed": failed,
        "programs": {
            each["program"]: {key: each[key] for key in each if key != "rounds"}
            for each in documents
        },
    }
    path = chosen.results / "summary.json"
    path.write_text(json.dumps(summary, indent=1, ensure_ascii=False) + "\n")
    return 1 if failed else 0


def _run(name: str, results: Path, options: list[str]) -> dict[str, Any] | None:
    """Run one program; return what it wrote, or None if it failed."""
    print(f"== {name}", flush=True)
    path = results / f"{name}.json"
    path.unlink(missing_ok=True)  # an older one must not be taken for this run's
    program = BENCHMARKS / f"{name}.py"
    command = [sys.executable, str(program), "--results", str(results), *options]
    # A session of its own: Ctrl-C reaches us, and the program once, through us.
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True) as process:
        try:
            process.wait()
        except KeyboardInterrupt:
            process.terminate()
            process.wait()  # it takes away its databases and processes first
            raise
    if process.returncode and not path.exists():
        return None
    document: dict[str, Any] = json.loads(path.read_text())
    return document


def _print(documents: list[dict[str, Any]]) -> None:
    figures = [Figure.from_dict(each) for document in documents for each in document["figures"]]
    print()
    print(table(figures))
    print()
    for document in documents:
        for note in document["notes"]:
            print(f"note: {note}")
        for problem in document["missing"]:
            print(f"not measured: {problem}")
    if documents:
        machine = documents[0]["machine"]
        print(", ".join(f"{name} {machine[name]}" for name in ("processor", "cores", "python")))


def _end(_signum: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _end)
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
