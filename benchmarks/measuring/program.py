"""What every benchmark program does around its measuring: options, signals, table, JSON."""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import distributions
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from measuring.figures import Figure, table
from measuring.pairing import Rounds, say
from measuring.places import Unreachable

BENCHMARKS = Path(__file__).resolve().parents[1]
_PEERS = BENCHMARKS.parent / ".venv-bench" / "bin" / "python"
_NOTED = re.compile(
    r"aiohttp|aiosmtplib|celery|hiredis|httpcore|httpx|huey|jinja2|kombu|psycopg|pydantic|redis"
    r"|requests|sqlalchemy|standardwebhooks|svix|uvloop",
    re.IGNORECASE,
)

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass
class Report:
    """What a program found.

    Args:
        figures: The lines of its table.
        rounds: The raw segments, by the name of the run and of the contestant.
        notes: What a reader must know about how it was measured.
        missing: What could not be measured, and why.
    """

    figures: list[Figure] = field(default_factory=list)
    rounds: dict[str, Rounds] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


def options(description: str) -> argparse.ArgumentParser:
    """Return a parser with the options that every program has."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument(
        "--quick", action="store_true", help="small sizes, to see that it works; no figure to quote"
    )
    parser.add_argument("--rounds", type=int, help="how many times each contestant runs")
    parser.add_argument(
        "--results", type=Path, default=BENCHMARKS / "results", help="the folder for the JSON file"
    )
    return parser


def peers_python() -> str:
    """Return the interpreter of the environment with the peers.

    Raises:
        Unreachable: It was not made yet.
    """
    python = os.environ.get("CLAIMNOTIFY_BENCH_PYTHON", str(_PEERS))
    if not Path(python).exists():
        raise Unreachable(f"there is no {python}; `make bench` installs the peers there")
    return python


def child_environment() -> dict[str, str]:
    """Return the environment by which a child finds the modules of the benchmarks."""
    paths = [str(BENCHMARKS), os.environ.get("PYTHONPATH", "")]
    return {"PYTHONPATH": os.pathsep.join(filter(None, paths))}


def run(name: str, arguments: argparse.Namespace, measure: Callable[[Report], None]) -> NoReturn:
    """Run `measure`, print its table, write `<name>.json`, and exit.

    The exit code is 0 whatever was measured, 1 if nothing could be.
    """
    for number in _ENDING:
        signal.signal(number, _end)
    started, began = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), time.monotonic()
    report = Report()
    try:
        measure(report)
    except Unreachable as error:
        report.missing.append(str(error))
    except KeyboardInterrupt:
        say("stopped; nothing was written")
        sys.exit(130)
    document = {
        "program": name,
        "quick": arguments.quick,
        "arguments": {key: str(value) for key, value in vars(arguments).items()},
        "started": started,
        "seconds": round(time.monotonic() - began, 1),
        "machine": machine(),
        "versions": _versions(),
        "peers": _peers_versions(),
        "figures": [figure.to_dict() for figure in report.figures],
        "notes": report.notes,
        "missing": report.missing,
        "rounds": {run: _raw(rounds) for run, rounds in report.rounds.items()},
    }
    arguments.results.mkdir(parents=True, exist_ok=True)
    path = arguments.results / f"{name}.json"
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    print(table(report.figures))
    for note in report.notes:
        print(f"note: {note}")
    for problem in report.missing:
        print(f"not measured: {problem}")
    print(f"written: {path}")
    sys.exit(0 if report.figures else 1)


def machine() -> dict[str, Any]:
    """Return what the figures depend on besides the programs."""
    processors = re.findall(r"^model name\s*: (.*)$", _text("/proc/cpuinfo"), re.MULTILINE)
    return {
        "processor": processors[0] if processors else platform.processor(),
        "cores": os.cpu_count(),
        "memory": _text("/proc/meminfo").partition("\n")[0].removeprefix("MemTotal:").strip(),
        "system": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "load": os.getloadavg(),
    }


def _raw(rounds: Rounds) -> dict[str, list[dict[str, Any]]]:
    return {
        name: [
            {"work": each.work, "wall": each.wall, "cpu": each.cpu, **each.values}
            for each in segments
        ]
        for name, segments in rounds.items()
    }


def _versions() -> dict[str, str]:
    found = {each.metadata["Name"]: each.version for each in distributions()}
    return {name: found[name] for name in sorted(found) if _NOTED.match(name)}


def _peers_versions() -> dict[str, str]:
    try:
        python = peers_python()
    except Unreachable:
        return {}
    program = (
        "import json; from importlib.metadata import distributions;"
        "print(json.dumps({d.metadata['Name']: d.version for d in distributions()}))"
    )
    text = subprocess.run(
        [python, "-c", program], check=True, capture_output=True, text=True
    ).stdout
    return {
        name: version for name, version in sorted(json.loads(text).items()) if _NOTED.match(name)
    }


def _text(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""


def _end(_signum: int, _frame: FrameType | None) -> None:
    """Unwind once; a second Ctrl-C must not leave databases and processes behind."""
    for number in _ENDING:
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt
