"""Threads of an event loop: bounded, reused, cancelled while they wait, and not waited for at exit."""

from __future__ import annotations

import subprocess
import sys
import threading
from concurrent.futures import wait
from pathlib import Path

import pytest

from claimnotify.delivery.loop_threads import LoopThreads
from tests.waiting import until

_SECONDS = 10.0
_ROOT = Path(__file__).parents[2]


def test_results_and_errors_come_back() -> None:
    threads = LoopThreads()

    def fail() -> None:
        raise SystemExit(3)

    assert threads.submit(divmod, 7, 2).result(_SECONDS) == (3, 1)
    assert isinstance(threads.submit(fail).exception(_SECONDS), SystemExit)
    until(lambda: not threads.at_work)
    threads.shutdown()
    with pytest.raises(RuntimeError, match="closed"):
        threads.submit(fail)


def test_no_more_run_at_once_than_there_are_threads() -> None:
    threads, go_on, seen = LoopThreads(), threading.Event(), set()

    def hold() -> None:
        seen.add(threading.current_thread())
        go_on.wait(_SECONDS)

    given = [threads.submit(hold) for _ in range(80)]
    until(lambda: len(seen) == 32)
    assert given[-1].cancel()
    go_on.set()
    assert not wait(given, _SECONDS).not_done
    assert len(seen) == 32
    threads.shutdown()
    assert not threads.at_work


def test_what_has_not_begun_is_cancelled_at_the_end() -> None:
    threads, go_on = LoopThreads(), threading.Event()
    given = [threads.submit(go_on.wait, _SECONDS) for _ in range(40)]
    until(lambda: sum(each.running() for each in given) == 32)
    threads.shutdown(wait=False, cancel_futures=True)
    go_on.set()
    threads.shutdown()
    assert sum(each.cancelled() for each in given) == 8


def test_a_call_that_hangs_does_not_keep_the_interpreter() -> None:
    script = """
import asyncio, threading
from claimnotify.delivery.loop import LoopThread
begun = threading.Event()
async def hang():
    await asyncio.to_thread(lambda: (begun.set(), threading.Event().wait(600)))
loop = LoopThread()
loop.submit(hang())
begun.wait()
loop.close()
print("the end")
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=_ROOT, capture_output=True, text=True, timeout=20
    )
    assert done.returncode == 0
    assert done.stdout == "the end\n"
