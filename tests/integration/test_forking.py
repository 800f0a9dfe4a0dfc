"""Children of a process that notifies on a server can notify as well, whatever its threads were doing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from claimnotify import Notifier

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")

_KEY = "a-key-for-forks-of-at-least-32-characters"
_PREAMBLE = f"""
import os, sys, threading, time
from claimnotify import Event, Notifier, Recipient

class Forked(Event, type="forked.told", channels=("in_app",)):
    pass

def tell(notifier, out):
    with open(out, "a") as file:
        file.write(notifier.notify(Forked(), to=Recipient(id="cus_7")).id + "\\n")

database, queue, out = sys.argv[1:4]
notifier = Notifier.from_settings(database_url=database, queue_url=queue, secret_keys={_KEY!r})
"""
_THREADS = """
stop = threading.Event()
def busy():
    while not stop.is_set():
        tell(notifier, out)
threads = [threading.Thread(target=busy) for _ in range(3)]
for each in threads:
    each.start()
children = []
for _ in range(6):
    child = os.fork()
    if child == 0:
        for _ in range(5):
            tell(notifier, out)
        os._exit(0)
    children.append(child)
codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
stop.set()
for each in threads:
    each.join()
print(codes)
"""


def _arguments(tmp_path: Path, database: str) -> list[str]:
    return [database, f"sqlite:///{tmp_path / 'queue.db'}", str(tmp_path / "told")]


def _told(tmp_path: Path) -> set[str]:
    return set((tmp_path / "told").read_text().split())


def _kept(notifier: Notifier) -> set[str]:
    kept: set[str] = set()
    before = None
    while page := notifier.history(limit=1000, before=before):
        kept |= {each.id for each in page}
        before = page[-1].id
    return kept


def test_children_of_a_process_with_busy_threads_can_notify(
    tmp_path: Path, postgres_url: str
) -> None:
    database = postgres_url
    arguments = _arguments(tmp_path, database)
    options = {"database_url": database, "queue_url": arguments[1], "secret_keys": _KEY}
    with Notifier.from_settings(**options) as notifier:
        notifier.upgrade()
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _PREAMBLE + _THREADS, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.stdout.strip() == str([0] * 6), done.stderr
    with Notifier.from_settings(**options) as notifier:
        assert _told(tmp_path) <= _kept(notifier)
