"""Worker processes: signals, a dead supervisor, crashes, and rings that arrive."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from claimnotify.dispatch.huey import HueyDispatcher
from tests.waiting import until

_KEY = b"k" * 32
_ROOT = Path(__file__).parents[2]
_APP = """
import os, signal, threading, time
from pathlib import Path
from types import SimpleNamespace
from pydantic import SecretStr
from claimnotify.dispatch.huey import HueyDispatcher

URL = os.environ["QUEUE_URL"]
LOG = Path(os.environ["LOG"])

def note(event):
    with LOG.open("a") as log:
        log.write(f"{os.getpid()} {event}\\n")

class Worker:
    def __init__(self, queue):
        self.queue = queue
    def start(self):
        note(f"start {self.queue}")
        if os.environ.get("ELSEWHERE"):
            threading.Thread(target=threading.Event().wait, daemon=True).start()
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    def wake(self):
        note(f"wake {self.queue}")
        if os.environ.get("CRASH") == self.queue:
            os._exit(70)
    def stop(self):
        note(f"stop {self.queue}")
    def join(self, timeout=None):
        if os.environ.get("HANG"):
            note("hang")
            time.sleep(60)
        return True

class Notifier:
    settings = SimpleNamespace(queue_url=SecretStr(URL), attempt_deadline_seconds=1.0)
    dispatcher = HueyDispatcher(URL, signing_key=b"k" * 32, ring_timeout=2.0)
    def describe(self):
        return {"database": "nowhere", "queue": self.dispatcher.location}
    def queue_worker(self, queue):
        return Worker(queue)
    def close(self):
        if os.environ.get("HANG_CLOSING"):
            note("hang")
            time.sleep(60)
        self.dispatcher.close()
        note(f"close TZ={os.environ['TZ']}")

notifier = Notifier()
"""


def _alive(pid: int) -> bool:
    """Whether the process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


class _Site:
    """A folder with an application, and the workers that run in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = f"sqlite:///{folder / 'queue.db'}"
        self.log = folder / "log"
        self.log.touch()
        (folder / "site_app.py").write_text(textwrap.dedent(_APP))
        self.processes: list[subprocess.Popen[str]] = []

    def start(self, *options: str, **environment: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "claimnotify.worker", "--app", "site_app:notifier", *options],
            cwd=self.folder,
            env={
                **os.environ,
                "PYTHONPATH": str(_ROOT),
                "QUEUE_URL": self.url,
                "LOG": str(self.log),
                "TZ": "America/New_York",
                **environment,
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.processes.append(process)
        return process

    def ring(self, queue: str) -> None:
        dispatcher = HueyDispatcher(self.url, signing_key=_KEY, ring_timeout=2.0)
        dispatcher.ring(queue)
        dispatcher.close()

    def events(self, text: str) -> list[str]:
        return [line for line in self.log.read_text().splitlines() if text in line]

    def pids(self) -> list[int]:
        """The workers that have started, oldest first."""
        return [int(line.split()[0]) for line in self.events("start scheduled")]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[_Site]:
    site = _Site(tmp_path)
    yield site
    for process in site.processes:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_worker_hears_rings_and_stops_on_a_signal(site: _Site, signum: signal.Signals) -> None:
    process = site.start()
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line.startswith(f"claimnotify worker ready: pid={process.pid} ")
    assert site.url in line
    site.ring("notifications")
    until(lambda: site.events("wake notifications"))
    process.send_signal(signum)
    assert process.wait(10) == 0
    assert site.events("")[-4:] == [
        f"{process.pid} {event}"
        for event in (
            "stop notifications",
            "stop processing",
            "stop scheduled",
            "close TZ=UTC",
        )
    ]


def test_a_signal_that_another_thread_gets_stops_the_worker(site: _Site) -> None:
    """As it happens when a stopped process is continued (SIGSTOP, SIGCONT)."""
    process = site.start(ELSEWHERE="1")
    assert process.stdout is not None
    assert "ready" in process.stdout.readline()
    process.terminate()
    assert process.wait(15) == 0
    assert site.events("close")


def _insist(process: subprocess.Popen[str]) -> int:
    """Send SIGTERM again and again until the process ends; return its exit code."""

    def ended() -> bool:
        process.terminate()
        return process.poll() is not None

    until(ended)
    return process.wait()


def test_a_second_signal_exits_at_once(site: _Site) -> None:
    process = site.start(HANG="1")
    until(site.pids)
    process.terminate()
    until(lambda: site.events("hang"))
    assert _insist(process) == 128 + signal.SIGTERM


@pytest.mark.parametrize("options", [(), ("--workers", "2")])
def test_a_signal_that_arrives_twice_is_one(site: _Site, options: tuple[str, ...]) -> None:
    """As from a service manager, which signals every process of a group, and from a supervisor."""
    process = site.start(*options)
    until(lambda: len(site.pids()) == (2 if options else 1))
    pids = [process.pid, *site.pids()]
    for pid in (*pids, *pids):
        os.kill(pid, signal.SIGTERM)
    assert process.wait(15) == 0
    assert len(site.events("close")) == len(site.pids())


def test_a_notifier_that_cannot_be_closed_does_not_keep_the_worker(site: _Site) -> None:
    process = site.start(HANG_CLOSING="1")
    until(site.pids)
    process.terminate()
    started = time.monotonic()
    assert process.wait(20) == 0
    assert time.monotonic() - started < 5
    assert site.events("hang")


def test_a_worker_whose_supervisor_died_stops_gracefully(site: _Site) -> None:
    process = site.start("--supervised", "--queues", "scheduled")
    until(site.pids)
    assert process.stdin is not None
    process.stdin.close()
    process.stdin = None
    assert process.wait(10) == 0
    assert site.events("close")


def test_an_unusable_option_exits_with_2_and_one_line(site: _Site) -> None:
    process = site.start(QUEUE_URL="memory://")
    _, said = process.communicate(timeout=20)
    assert process.returncode == 2
    assert said.count("\n") == 1
    assert "queue_url" in said


def test_several_workers_stop_together(site: _Site) -> None:
    process = site.start("--workers", "2")
    until(lambda: len(set(site.pids())) == 2)
    assert process.pid not in site.pids()
    site.ring("processing")
    until(lambda: site.events("wake processing"))
    process.terminate()
    assert process.wait(15) == 0
    assert len(site.events("close TZ=UTC")) == 2
    assert not any(_alive(pid) for pid in site.pids())


def test_a_crashed_worker_is_replaced(site: _Site) -> None:
    process = site.start("--workers", "2")
    until(lambda: len(site.pids()) == 2)
    victim = site.pids()[0]
    os.kill(victim, signal.SIGKILL)
    until(lambda: len(site.pids()) == 3)
    process.terminate()
    assert process.wait(15) == 0
    assert len(site.events("close")) == 2


def test_workers_do_not_outlive_a_killed_supervisor(site: _Site) -> None:
    process = site.start("--workers", "2")
    until(lambda: len(site.pids()) == 2)
    process.kill()
    process.wait(10)
    until(lambda: not any(_alive(pid) for pid in site.pids()))
    assert len(site.events("close")) == 2  # gracefully


def test_a_second_signal_to_the_supervisor_kills_the_workers(site: _Site) -> None:
    process = site.start("--workers", "2", HANG="1")
    until(lambda: len(site.pids()) == 2)
    process.terminate()
    until(lambda: len(site.events("hang")) == 2)
    assert _insist(process) == 128 + signal.SIGTERM
    until(lambda: not any(_alive(pid) for pid in site.pids()))


def test_workers_that_are_misconfigured_are_not_started_again(site: _Site) -> None:
    process = site.start("--workers", "2", QUEUE_URL="memory://")
    _, said = process.communicate(timeout=20)
    assert process.returncode == 2
    assert "queue_url" in said
    assert site.pids() == []
