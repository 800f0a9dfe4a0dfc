"""How often a supervisor starts a worker that keeps crashing, and what it does with one that hangs."""

from __future__ import annotations

import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]
_SUPERVISE = """
import logging, sys
from datetime import timedelta
from claimnotify.worker import Supervisor
logging.basicConfig(format="%(message)s")
sys.exit(Supervisor({count}, [], command=(sys.executable, "-c", {child!r}), {options}).run())
"""


def _supervise(child: str, *, count: int = 1, **options: timedelta) -> subprocess.Popen[str]:
    given = ", ".join(
        f"{name}=timedelta(seconds={value.total_seconds()})" for name, value in options.items()
    )
    return subprocess.Popen(
        [sys.executable, "-c", _SUPERVISE.format(count=count, child=child, options=given)],
        cwd=_ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_each_crash_in_a_row_doubles_the_wait_up_to_the_longest(tmp_path: Path) -> None:
    counter = tmp_path / "starts"
    child = (
        f"import sys; f = open({str(counter)!r}, 'a'); f.write('x'); f.close()\n"
        f"sys.exit(0 if len(open({str(counter)!r}).read()) == 5 else 70)"
    )
    process = _supervise(
        child,
        first_wait=timedelta(milliseconds=100),
        longest_wait=timedelta(milliseconds=400),
    )
    _, said = process.communicate(timeout=30)
    assert process.returncode == 0
    waits = [line.rpartition("starts in ")[2] for line in said.splitlines()]
    assert waits == [f"{wait} seconds." for wait in (0.1, 0.2, 0.4, 0.4)]


def test_a_worker_that_lived_long_enough_begins_anew(tmp_path: Path) -> None:
    counter = tmp_path / "starts"
    child = (
        f"import sys; f = open({str(counter)!r}, 'a'); f.write('x'); f.close()\n"
        f"sys.exit(0 if len(open({str(counter)!r}).read()) == 4 else 70)"
    )
    process = _supervise(child, first_wait=timedelta(milliseconds=100), steady=timedelta(0))
    _, said = process.communicate(timeout=30)
    assert process.returncode == 0
    assert said.count("starts in 0.1 seconds") == 3


@pytest.mark.parametrize("count", [1, 2])
def test_a_worker_that_does_not_stop_is_killed(count: int) -> None:
    child = (
        "import signal, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "print('deaf', flush=True); time.sleep(60)"
    )
    process = _supervise(child, count=count, grace=timedelta(milliseconds=300))
    assert process.stdout is not None
    for _ in range(count):
        assert process.stdout.readline() == "deaf\n"
    process.terminate()
    _, said = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "did not stop in time" in said
    assert said.count("starts in") == 0
