"""A process that forks loses nothing: neither what its children were told is committed, nor itself."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from claimnotify import Event, Notifier, Recipient

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
_ONE = """
tell(notifier, out)
reading, writing = os.pipe()
if os.fork() == 0:
    os.close(writing)
    for _ in range(10):
        tell(notifier, out)
    os.read(reading, 1)  # until the parent is gone
    for _ in range(30):
        tell(notifier, out)
        time.sleep(0.02)
    open(out + ".end", "w").close()
    os._exit(0)
os.close(reading)
"""
_ENDINGS = {
    "closes": "notifier.close()",
    "exits": "sys.exit(0)",
    "is gone": "os._exit(0)",
    "has another": "notifier.close(); notifier = Notifier.from_settings(database_url=database,"
    f" queue_url=queue, secret_keys={_KEY!r}); notifier.close(); os._exit(0)",
}
_THREADS = """
tell(notifier, out)  # what libraries do once, in the first call, they do under locks of their own
stop = threading.Event()
failures = []
def busy():
    try:
        while not stop.is_set():
            tell(notifier, out)
    except Exception as error:
        failures.append(repr(error))
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
print(codes, failures)
"""


class Told(Event, type="third.told", channels=("in_app",)):
    """What a third process tells."""


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


@pytest.mark.parametrize("ending", _ENDINGS)
def test_what_a_child_was_told_is_kept_when_its_parent_ends(tmp_path: Path, ending: str) -> None:
    database = f"sqlite:///{tmp_path / 'x.db'}"
    arguments = _arguments(tmp_path, database)
    script = _PREAMBLE + _ONE + _ENDINGS[ending]
    subprocess.run([sys.executable, "-c", script, *arguments], check=True, timeout=60)
    deadline = time.monotonic() + 30
    options = {"database_url": database, "queue_url": arguments[1], "secret_keys": _KEY}
    while not (tmp_path / "told.end").exists():
        assert time.monotonic() < deadline, "the child goes on"
        # Who closes last takes the log away, unless it sees that the child has it open.
        with Notifier.from_settings(**options) as third:
            third.notify(Told(), to=Recipient(id="cus_8"))
    with Notifier.from_settings(**options) as third:
        assert _told(tmp_path) <= _kept(third)
    assert len(_told(tmp_path)) == 41


@pytest.mark.parametrize("server", ["", "postgres_url"])
def test_children_of_a_process_with_busy_threads_can_notify(
    tmp_path: Path, server: str, request: pytest.FixtureRequest
) -> None:
    database = request.getfixturevalue(server) if server else f"sqlite:///{tmp_path / 'x.db'}"
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
    assert done.stdout.strip() == f"{[0] * 6} []", done.stderr
    with Notifier.from_settings(**options) as notifier:
        assert _told(tmp_path) <= _kept(notifier)


def test_a_child_of_a_transaction_is_told_that_it_cannot_go_on(tmp_path: Path) -> None:
    """It would believe to hold the locks of its parent."""
    script = (
        _PREAMBLE
        + """
from claimnotify.errors import ConfigurationError
with notifier._parts.store.outbox.transaction() as transaction:
    child = os.fork()
    if child == 0:
        try:
            tell(notifier, out)
        except ConfigurationError as error:
            os._exit(7 if "forked" in str(error) else 1)
        os._exit(0)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
tell(notifier, out)
"""
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *_arguments(tmp_path, f"sqlite:///{tmp_path / 'x.db'}")],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.stdout.strip() == "7", done.stderr
    assert len(_told(tmp_path)) == 1
