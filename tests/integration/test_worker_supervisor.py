"""What a supervisor does with workers that end, hang or cannot be started, and how it is stopped."""

from __future__ import annotations

import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]
_MISCONFIGURED = 78
_SUPERVISE = """
import logging, sys
from datetime import timedelta
from claimnotify.worker import Supervisor
from tests.waiting import until
logging.basicConfig(format="%(message)s")
{before}
sys.exit(Supervisor({count}, [], command=(sys.executable, "-c", {child!r}), {options}).run())
"""


def _supervise(
    child: str, *, count: int = 1, before: str = "", **options: timedelta
) -> subprocess.Popen[str]:
    given = ", ".join(
        f"{name}=timedelta(seconds={value.total_seconds()})" for name, value in options.items()
    )
    return subprocess.Popen(
        [
            sys.executable,
            "-c",
            _SUPERVISE.format(count=count, child=child, options=given, before=before),
        ],
        cwd=_ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_each_crash_in_a_row_doubles_the_wait_up_to_the_longest(tmp_path: Path) -> None:
    counter = tmp_path / "starts"
    child = (
        f"import sys; f = open({str(counter)!r}, 'a'); f.write('x'); f.close()\n"
        f"sys.exit({_MISCONFIGURED} if len(open({str(counter)!r}).read()) == 5 else 70)"
    )
    process = _supervise(
        child,
        first_wait=timedelta(milliseconds=100),
        longest_wait=timedelta(milliseconds=400),
    )
    _, said = process.communicate(timeout=30)
    assert process.returncode == 2
    waits = [line.rpartition("starts in ")[2] for line in said.splitlines()]
    assert waits == [f"{wait} seconds." for wait in (0.1, 0.2, 0.4, 0.4)]


def test_a_worker_that_lived_long_enough_begins_anew(tmp_path: Path) -> None:
    counter = tmp_path / "starts"
    child = (
        f"import sys; f = open({str(counter)!r}, 'a'); f.write('x'); f.close()\n"
        f"sys.exit({_MISCONFIGURED} if len(open({str(counter)!r}).read()) == 4 else 70)"
    )
    process = _supervise(child, first_wait=timedelta(milliseconds=100), steady=timedelta(0))
    _, said = process.communicate(timeout=30)
    assert process.returncode == 2
    assert said.count("starts in 0.1 seconds") == 3


@pytest.mark.parametrize("count", [1, 2])
def test_a_worker_that_does_not_stop_is_killed(count: int) -> None:
    child = (
        "import os, signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "os.write(1, b'deaf\\n'); time.sleep(60)"
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


@pytest.mark.parametrize("code", [0, 1, 2, -signal.SIGTERM])
def test_a_worker_that_ends_unasked_is_replaced_whatever_its_exit_code(
    tmp_path: Path, code: int
) -> None:
    """`os._exit(0)` in a job must not switch workers off, nor must a SIGTERM to one of them."""
    counter = tmp_path / "starts"
    leave = f"os.kill(os.getpid(), {-code})" if code < 0 else f"os._exit({code})"
    child = (
        f"import os, sys; f = open({str(counter)!r}, 'a'); f.write('x'); f.close()\n"
        f"if len(open({str(counter)!r}).read()) == 3: sys.exit({_MISCONFIGURED})\n"
        f"{leave}"
    )
    process = _supervise(child, first_wait=timedelta(milliseconds=50))
    _, said = process.communicate(timeout=30)
    assert counter.read_text() == "xxx"
    assert process.returncode == 2
    assert said.count(f"ended with code {code}; another starts in") == 2


_STAYS = "import os, sys; os.write(1, b'up\\n'); sys.stdin.read(); os.write(1, b'down\\n')"
"""A worker that stops gracefully when its supervisor has ended, and is killed by SIGTERM."""


def test_a_worker_that_cannot_be_started_is_tried_again_and_harms_no_other() -> None:
    before = """
import subprocess
starts, begin = [], subprocess.Popen
def popen(*arguments, **options):
    starts.append(1)
    if 2 <= len(starts) <= 3:
        raise BlockingIOError(11, "Resource temporarily unavailable")
    return begin(*arguments, **options)
subprocess.Popen = popen
"""
    process = _supervise(_STAYS, count=2, before=before, first_wait=timedelta(milliseconds=50))
    assert process.stdout is not None
    assert [process.stdout.readline() for _ in range(2)] == ["up\n", "up\n"]
    process.terminate()
    _, said = process.communicate(timeout=30)
    assert process.returncode == 0
    assert said.count("cannot be started") == 2
    assert "ended with" not in said


def test_an_unexpected_error_of_the_supervisor_kills_no_worker() -> None:
    before = """
def fail(self, event):
    if event is not None:
        raise ArithmeticError("as told by the test")
Supervisor._handle = fail
"""
    child = (
        "import os, signal, sys\n"
        "def stop(*_): os.write(1, b'in order\\n'); os._exit(0)\n"
        "signal.signal(signal.SIGTERM, stop); os.write(1, b'up\\n'); sys.stdin.read()"
    )
    process = _supervise(child, before=before)
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    process.terminate()
    out, said = process.communicate(timeout=30)
    assert "ArithmeticError" in said
    assert out == "in order\n"


def test_a_supervisor_that_is_told_to_stop_starts_no_more() -> None:
    before = """
import os, signal, subprocess
starts, begin = [], subprocess.Popen
def popen(*arguments, **options):
    starts.append(1)
    print("start", flush=True)
    if len(starts) == 3:
        os.kill(os.getpid(), signal.SIGTERM)
    return begin(*arguments, **options)
subprocess.Popen = popen
"""
    process = _supervise("import sys; sys.stdin.read()", count=20, before=before)
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    assert out.count("start") == 3


def test_a_signal_that_another_thread_gets_stops_it() -> None:
    """As it happens when a stopped process is continued (SIGSTOP, SIGCONT)."""
    before = """
import signal, threading
threading.Thread(target=threading.Event().wait, daemon=True).start()
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
"""
    child = (
        "import os, signal, sys\n"
        "signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})\n"
        "os.write(1, b'up\\n'); sys.stdin.read()"
    )
    process = _supervise(child, before=before)
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    process.terminate()
    process.communicate(timeout=15)
    assert process.returncode == 0
