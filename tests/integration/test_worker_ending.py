"""A worker process ends with its exit code, whatever threads are left in it, and says so."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]
_SCRIPT = """
import atexit, logging, sys, threading
from concurrent.futures import ThreadPoolExecutor
from claimnotify.worker.ending import end_soon
logging.basicConfig(format="%(message)s")
atexit.register(lambda: print("in order"))
sys.stdout.write("said before. ")
ended = threading.Event()
begin = lambda daemon: threading.Thread(
    target=ended.wait, args=({seconds},), daemon=daemon, name="stray"
).start()
pool = ThreadPoolExecutor(thread_name_prefix="stray")
match {kind!r}:
    case "plain":
        begin(False)
    case "daemon":
        begin(True)
    case "pool":
        pool.submit(ended.wait, {seconds})
    case "daemons' pool":
        starter = threading.Thread(
            target=lambda: pool.submit(ended.wait, {seconds}), daemon=True
        )
        starter.start()
        starter.join()
end_soon(7, patience={patience})
sys.exit(7)
"""


@pytest.mark.parametrize(
    ("seconds", "kind", "patience", "in_order"),
    [
        (600, "plain", 0.2, False),
        (600, "pool", 0.2, False),
        (600, "daemons' pool", 0.2, False),
        (600, "daemon", 0.2, True),  # nobody waits for a daemon
        (0.2, "plain", 30, True),  # it ends by itself
        (0.2, "pool", 30, True),
    ],
)
def test_threads_that_do_not_end_do_not_keep_the_process(
    seconds: float, kind: str, patience: float, in_order: bool
) -> None:
    script = _SCRIPT.format(seconds=seconds, kind=kind, patience=patience)
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=_ROOT, capture_output=True, text=True, timeout=20
    )
    assert done.returncode == 7
    assert done.stdout.startswith("said before. ")
    assert ("in order" in done.stdout) is in_order
    assert ("stray" in done.stderr) is not in_order
