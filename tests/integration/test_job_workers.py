"""Jobs over worker processes: killed, poisoned, stopped, restarted, and by the clock."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from claimnotify import Notifier
from claimnotify.model.job_specs import registry
from tests.waiting import until

DEADLINE = 60.0
KEY = "a-key-for-the-job-worker-tests-of-32-characters"
MODULE = '''
import asyncio, os, signal, time
from datetime import timedelta
from pathlib import Path
from claimnotify import JobContext, Notifier, RetrySchedule, job, scheduled

HERE = Path(__file__).parent

def note(kind, text):
    """Append a line that is written whole, so that processes can share the file."""
    file = os.open(HERE / kind, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, f"{text}\\n".encode())
    os.close(file)

@job(name="quick")
def quick(number: int):
    note("quick", number)

@job(name="long", timeout=timedelta(minutes=10))
def long(number: int):
    note("begun", f"{number} {os.getpid()}")
    while not (HERE / "go-on").exists():
        time.sleep(0.01)
    note("long", number)

@job(name="long.async")
async def long_async(number: int):
    note("begun", f"{number} {os.getpid()}")
    while not (HERE / "go-on").exists():
        await asyncio.sleep(0.01)
    note("long", number)

@job(name="hang.blocking")
async def hang_blocking():
    note("begun", os.getpid())
    time.sleep(600)

@job(name="hang.swallowing")
async def hang_swallowing():
    note("begun", os.getpid())
    while True:
        try:
            await asyncio.sleep(0.1)
        except asyncio.CancelledError:
            pass

@job(name="hang.thread")
async def hang_thread():
    def beat():
        while True:
            note("begun", os.getpid())
            time.sleep(0.05)
    await asyncio.to_thread(beat)

@job(name="background.exit", concurrency=1)
async def background_exit():
    async def leave():
        raise SystemExit(3)
    await asyncio.wait([asyncio.create_task(leave())])

@job(name="deadly")
def deadly():
    note("deadly", os.getpid())
    os.kill(os.getpid(), signal.SIGKILL)

def make():
    return Notifier.from_settings()

def with_schedule():
    @scheduled(cron="* * * * *", name="tick", catch_up="all")
    def tick(context: JobContext):
        note("tick", f"{context.job.slot.isoformat()} {time.tzname[0]}")
    return make()
'''


class Site:
    """An application in a folder, its workers, and what its jobs noted down."""

    def __init__(self, folder: Path, database_url: str) -> None:
        self.folder = folder
        (folder / "site_app.py").write_text(MODULE)
        self.settings: dict[str, str] = {
            "database_url": database_url,
            "queue_url": f"sqlite:///{folder / 'queue.db'}",
            "secret_keys": KEY,
            "attempt_deadline_seconds": "1",
            "lease_seconds": "1.5",
        }
        self.workers: list[subprocess.Popen[bytes]] = []

    def start(
        self, count: int = 1, app: str = "site_app:make", *, may_die: bool = False
    ) -> list[subprocess.Popen[bytes]]:
        """Start worker processes and wait until they are ready, or dead if they may die."""
        environment = dict(os.environ) | {
            f"CLAIMNOTIFY_{name.upper()}": value for name, value in self.settings.items()
        }
        environment["TZ"] = "America/St_Johns"
        command = [sys.executable, "-m", "claimnotify.worker", "--app", app]
        command += ["--queues", "processing,scheduled"]
        started = [
            subprocess.Popen(
                command,
                cwd=self.folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
            )
            for _ in range(count)
        ]
        self.workers += started
        for worker in started:
            assert worker.stdout is not None
            with worker.stdout:
                said = worker.stdout.readline()
            assert b"ready" in said or (may_die and said == b"")
        return started

    def stop(self, worker: subprocess.Popen[bytes], signum: int = signal.SIGTERM) -> int:
        """Signal a worker; return its exit code."""
        worker.send_signal(signum)
        return worker.wait(DEADLINE)

    def lines(self, kind: str) -> list[str]:
        """What jobs noted in a file."""
        file = self.folder / kind
        return file.read_text().splitlines() if file.exists() else []

    def let_go(self) -> None:
        """Let long jobs end."""
        (self.folder / "go-on").touch()

    def close(self) -> None:
        """Kill what still runs."""
        for worker in self.workers:
            if worker.poll() is None:
                worker.kill()
                worker.wait()


@contextmanager
def site_of(folder: Path, url: str) -> Iterator[tuple[Site, Notifier, Mapping[str, object]]]:
    """A site, and a notifier of this process with its job functions."""
    site, before = Site(folder, url), set(registry)
    names: dict[str, object] = {"__name__": "site_app", "__file__": str(folder / "site_app.py")}
    with Notifier.from_settings(**site.settings) as notifier:
        notifier.upgrade()
        exec(MODULE, names)
        try:
            yield site, notifier, names
        finally:
            site.close()
            for spec in set(registry) - before:
                registry.remove(spec.function)


@pytest.mark.parametrize("name", ["long", "long_async"])
def test_a_job_whose_worker_is_killed_runs_again(
    tmp_path: Path, database_url: str, name: str
) -> None:
    with site_of(tmp_path, database_url) as (site, notifier, names):
        made = notifier.enqueue(names[name], number=7)  # type: ignore[arg-type]
        (first,) = site.start()
        until(lambda: site.lines("begun"), "the first run")
        site.stop(first, signal.SIGKILL)
        (second,) = site.start()
        until(lambda: len(site.lines("begun")) == 2, "the second run")
        site.let_go()
        until(lambda: not notifier.status(), "its end")
        (job,) = notifier.jobs(job_id=made.id)
        assert (job.status, job.attempts) == ("succeeded", 1)
        assert site.lines("long") == ["7"]
        pids = [line.split()[1] for line in site.lines("begun")]
        assert pids == [str(first.pid), str(second.pid)]
        assert site.stop(second) == 0


@pytest.mark.alone
@pytest.mark.parametrize("name", ["hang_blocking", "hang_swallowing", "hang_thread"])
def test_a_worker_stops_in_time_whatever_an_async_job_does(
    tmp_path: Path, sqlite_url: str, name: str
) -> None:
    """And the job, which is given back, does not run in another worker before that."""
    with site_of(tmp_path, sqlite_url) as (site, notifier, names):
        site.settings["lease_seconds"] = "6"
        made = notifier.enqueue(names[name])  # type: ignore[arg-type]
        (first,) = site.start()
        until(lambda: site.lines("begun"), "the run")
        (second,) = site.start()
        started = time.monotonic()
        assert site.stop(first) == 0
        assert time.monotonic() - started < 1 + 5
        assert set(site.lines("begun")) == {str(first.pid)}
        (job,) = notifier.jobs(job_id=made.id)
        assert (job.status, job.attempts) == ("pending", 0)
        until(lambda: str(second.pid) in site.lines("begun"), "the second run")


def test_a_task_in_the_background_of_a_job_ends_no_other_job(
    tmp_path: Path, sqlite_url: str
) -> None:
    with site_of(tmp_path, sqlite_url) as (site, notifier, names):
        notifier.enqueue(names["long_async"], number=1)  # type: ignore[arg-type]
        (worker,) = site.start()
        until(lambda: site.lines("begun"), "the first job")
        notifier.enqueue(names["background_exit"])  # type: ignore[arg-type]
        until(lambda: notifier.jobs(name="background.exit")[0].finished_at, "the exit")
        notifier.enqueue(names["long_async"], number=2)  # type: ignore[arg-type]
        until(lambda: len(site.lines("begun")) == 2, "the job after it")
        site.let_go()
        until(lambda: not notifier.status(), "their ends")
        assert {job.status for job in notifier.jobs()} == {"succeeded"}
        assert site.stop(worker) == 0


@pytest.mark.slow
def test_a_job_that_kills_its_worker_is_poison_and_its_neighbours_run(
    tmp_path: Path, database_url: str
) -> None:
    with site_of(tmp_path, database_url) as (site, notifier, names):
        for number in range(10):
            notifier.enqueue(names["quick"], number=number)  # type: ignore[arg-type]
            if number == 4:
                notifier.enqueue(names["deadly"])  # type: ignore[arg-type]
        (worker,) = site.start(may_die=True)
        deaths, end = 0, time.monotonic() + 3 * DEADLINE
        while notifier.status():
            assert time.monotonic() < end, f"{notifier.status()} after {deaths} deaths"
            try:
                assert worker.wait(0.1) == -signal.SIGKILL
            except subprocess.TimeoutExpired:
                continue
            deaths += 1
            (worker,) = site.start(may_die=True)
        (job,) = notifier.jobs(name="deadly")
        assert (job.status, job.reason) == ("failed", "poison")
        assert len(site.lines("deadly")) == deaths == 5
        assert {each.status for each in notifier.jobs(name="quick")} == {"succeeded"}
        assert set(site.lines("quick")) == {str(number) for number in range(10)}
        assert site.stop(worker) == 0


def test_a_worker_that_is_told_to_stop_lets_jobs_end(tmp_path: Path, database_url: str) -> None:
    with site_of(tmp_path, database_url) as (site, notifier, names):
        (worker,) = site.start()
        for name in ("long", "long_async"):
            notifier.enqueue(names[name], number=1)  # type: ignore[arg-type]
        until(lambda: len(site.lines("begun")) == 2, "the runs")
        worker.send_signal(signal.SIGTERM)
        site.let_go()
        assert worker.wait(DEADLINE) == 0
        assert {(job.status, job.attempts) for job in notifier.jobs()} == {("succeeded", 1)}


def test_what_does_not_end_in_time_is_given_back(tmp_path: Path, sqlite_url: str) -> None:
    with site_of(tmp_path, sqlite_url) as (site, notifier, names):
        (worker,) = site.start()
        for name in ("long", "long_async"):
            notifier.enqueue(names[name], number=1)  # type: ignore[arg-type]
        until(lambda: len(site.lines("begun")) == 2, "the runs")
        assert site.stop(worker) == 0
        assert {(j.status, j.reason, j.attempts) for j in notifier.jobs()} == {
            ("pending", "released", 0)
        }
        site.let_go()
        (worker,) = site.start()
        until(lambda: not notifier.status(), "the second runs")
        assert len(site.lines("long")) == 2
        assert site.stop(worker) == 0


@pytest.mark.slow
def test_three_workers_and_restarts_run_each_slot_exactly_once(
    tmp_path: Path, database_url: str
) -> None:
    """A schedule of every minute, with the clock of all processes moved."""
    with site_of(tmp_path, database_url) as (site, notifier, _):
        workers = site.start(3, "site_app:with_schedule")
        clock = notifier._parts.store.clock
        until(lambda: notifier.jobs(name="tick"), "the first look")
        started = notifier.jobs(name="tick", limit=1000)[-1].slot
        assert started is not None

        def slots_so_far() -> int:
            return int(clock.now().timestamp() // 60) - int(started.timestamp() // 60)

        def between_slots() -> bool:
            due = len(site.lines("tick")) >= slots_so_far() and not notifier.status()
            return due and 2 <= clock.now().second < 55

        for minutes in (1, 1, 3, 10, 1):
            # A slot that is under way when its lease runs out, or its worker dies, runs again.
            until(between_slots, "a moment between slots")
            clock.shift(timedelta(minutes=minutes))
            expected = slots_so_far()
            until(lambda n=expected: len(site.lines("tick")) >= n, "the slots")  # type: ignore[misc]
            until(lambda: not notifier.status(), "their outcomes")
            if minutes == 3:
                # All go, one of them by force; meanwhile slots pass, then others come.
                site.stop(workers[0], signal.SIGKILL)
                assert [site.stop(worker) for worker in workers[1:]] == [0, 0]
                clock.shift(timedelta(minutes=7))
                workers = site.start(3, "site_app:with_schedule")
        until(lambda: not notifier.status(), "the last slots")
        assert [site.stop(worker) for worker in workers] == [0, 0, 0]
        ran = Counter(line.split()[0] for line in site.lines("tick"))
        assert set(ran.values()) == {1}
        assert {line.split()[1] for line in site.lines("tick")} == {"UTC"}
        slots = sorted(job.slot for job in notifier.jobs(name="tick", limit=1000) if job.slot)[1:]
        assert sorted(ran) == [slot.isoformat() for slot in slots]
        assert len(slots) >= 22
        gaps = {later - earlier for earlier, later in pairwise(slots)}
        assert gaps == {timedelta(minutes=1)}


def test_a_worker_without_the_application_defers_its_jobs(tmp_path: Path, sqlite_url: str) -> None:
    with site_of(tmp_path, sqlite_url) as (site, notifier, names):
        notifier.enqueue(names["quick"], number=1)  # type: ignore[arg-type]
        (plain,) = site.start(app="")
        unknown = {("processing", "pending", "unknown_work"): 1}
        until(lambda: notifier.status() == unknown, "the deferral")
        (knowing,) = site.start()
        until(lambda: not notifier.status(), "the job")
        assert site.lines("quick") == ["1"]
        assert [site.stop(worker) for worker in (plain, knowing)] == [0, 0]
