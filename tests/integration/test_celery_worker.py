"""Celery's own workers deliver: over real brokers, in every pool, and through what goes wrong."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from kombu import Connection, Queue
from sqlalchemy import Engine, create_engine, text

from claimnotify import Event, Notifier, Recipient, job
from claimnotify.dispatch.celery import CeleryDispatcher
from claimnotify.model.job_specs import registry
from claimnotify.testing import WebhookReceiver
from claimnotify.testing.dispatchers import RecordingDispatcher
from tests.ports import free_port
from tests.waiting import until

_ROOT = Path(__file__).parents[2]
_PATIENCE = 60.0
_LEASE = 7.5
_APP = """
import asyncio, os
from datetime import timedelta
from celery import Celery
from claimnotify import Notifier, job
from claimnotify.dispatch.celery import CeleryDispatcher
from claimnotify.worker.celery import install

app = Celery("site", broker=os.environ["BROKER"])
app.conf.update(
    task_default_queue=os.environ["NAMESPACE"] + "_tasks",
    broker_connection_retry_on_startup=True,
    worker_send_task_events=False,
)
if "HARD_LIMIT" in os.environ:
    app.conf.task_time_limit = float(os.environ["HARD_LIMIT"])
made = []

def make():
    made.append(os.getpid())
    return Notifier.from_settings(
        dispatcher=CeleryDispatcher(app, namespace=os.environ["NAMESPACE"])
    )

shared = make() if "SHARED" in os.environ else None

install(
    app,
    (lambda: shared) if shared else make,
    namespace=os.environ["NAMESPACE"],
    shift=timedelta(seconds=float(os.environ.get("SHIFT", "10"))),
)

@job(name="site.nap", timeout=timedelta(minutes=5))
async def nap(folder: str):
    file = os.open(folder + "/naps", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, b"nap\\n")
    os.close(file)
    while not os.path.exists(folder + "/go-on"):
        await asyncio.sleep(0.05)

@app.task
def bill(path):
    with open(path + ".part", "w") as file:
        file.write(f"{os.getpid()} {made}")
    os.rename(path + ".part", path)
"""


class BagLoaded(Event, type="celery.bag_loaded", channels=("webhook",)):
    number: int


class _Site:
    """An application with a receiver, a database and a broker, and the Celery workers of it."""

    def __init__(self, folder: Path, *, broker: str, database: str, stack: ExitStack) -> None:
        self.folder = folder
        self.broker = broker
        self.namespace = f"test{secrets.token_hex(4)}"
        self.settings = {
            "database_url": database,
            "secret_keys": "a-key-for-the-celery-tests-of-32-characters",
            "webhook_allow_networks": "127.0.0.0/8",
            "webhook_allow_http": "true",
            "attempt_deadline_seconds": "2",
            "lease_seconds": str(_LEASE),
            "concurrency": "8",
            "batch_size": "16",
        }
        (folder / "site_app.py").write_text(textwrap.dedent(_APP))
        self.app = Celery("site", broker=broker, set_as_current=False)
        self.workers: list[subprocess.Popen[bytes]] = []
        self.receiver = stack.enter_context(WebhookReceiver())
        self.notifier = stack.enter_context(
            self.open(CeleryDispatcher(self.app, namespace=self.namespace))
        )
        self.notifier.upgrade()
        _, secret = self.notifier.endpoints.register(self.receiver.url, owner="cus_7")
        self.receiver.add_secret(secret)
        self.engine: Engine = create_engine(database)
        stack.callback(self.engine.dispose)
        stack.callback(self.clean_up)

    def open(self, dispatcher: Any) -> Notifier:
        return Notifier.from_settings(dispatcher=dispatcher, **self.settings)

    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            **{f"CLAIMNOTIFY_{name.upper()}": value for name, value in self.settings.items()},
            "PYTHONPATH": f"{_ROOT}{os.pathsep}{self.folder}",
            "BROKER": self.broker,
            "NAMESPACE": self.namespace,
        }

    def start(self, *options: str, **environment: str) -> subprocess.Popen[bytes]:
        """Start a worker and return it when it is ready for tasks."""
        name = f"w{len(self.workers)}"
        log = self.log(len(self.workers))
        with log.open("wb") as output:
            worker = subprocess.Popen(
                [
                    *(sys.executable, "-m", "celery", "-A", "site_app", "worker"),
                    *("-n", f"{name}@%h", "-l", "INFO", "--without-mingle", "--without-gossip"),
                    *options,
                ],
                cwd=self.folder,
                env={**self.environment(), **environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self.workers.append(worker)
        until(lambda: b" ready." in log.read_bytes() or worker.poll() is not None)
        assert worker.poll() is None, log.read_text()
        return worker

    def restart_if_ended(self, *options: str) -> None:
        """Do what a process manager does.

        Celery's worker ends itself when Redis goes while it holds messages that it has not begun:
        kombu 5.7 wants to give them back on a connection that is closed already.
        """
        if self.workers[-1].poll() is not None:
            assert "Unrecoverable error" in self.log(len(self.workers) - 1).read_text()
            self.start(*options)

    def start_own(self) -> None:
        """Start a worker of claimnotify's own beside Celery's."""
        with self.log(len(self.workers)).open("wb") as output:
            self.workers.append(
                subprocess.Popen(
                    [sys.executable, "-m", "claimnotify.worker", "--app", "site_app:make"],
                    cwd=self.folder,
                    env=self.environment(),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                )
            )

    def log(self, number: int) -> Path:
        return self.folder / f"worker{number}.log"

    def logs(self) -> str:
        return "".join(self.log(number).read_text() for number in range(len(self.workers)))

    def notify(self, count: int, *, notifier: Notifier | None = None) -> set[str]:
        notifier = notifier or self.notifier
        ana = Recipient(id="cus_7")
        return {notifier.notify(BagLoaded(number=n), to=ana).id for n in range(count)}

    def notify_at_once(self, count: int) -> set[str]:
        numbers = iter(range(count))
        ana = Recipient(id="cus_7")
        self.notifier.notify_many(lambda _: BagLoaded(number=next(numbers)), to=[ana] * count)
        return {note.id for note in self.notifier.history(limit=1000)}

    def count(self, condition: str) -> int:
        query = text(f"SELECT count(*) FROM claimnotify_deliveries WHERE {condition}")
        with self.engine.connect() as connection:
            return int(connection.execute(query).scalar_one())

    def received(self) -> Counter[str]:
        return Counter(each.id for each in self.receiver.accepted)

    def all_finished(self, ids: set[str]) -> bool:
        return self.count("finished_at IS NOT NULL") >= len(ids)

    def wait_for_all(self, ids: set[str]) -> None:
        """Wait until all are delivered, and compare what was accepted, received and audited."""
        until(lambda: self.all_finished(ids))
        audited = {
            note.id
            for note in self.notifier.history(limit=1000)
            if [each.status for each in note.deliveries] == ["delivered"]
        }
        assert set(self.received()) == ids == audited, self.logs()

    def bill(self, path: Path) -> str:
        """Have the application's own task run, and return what it wrote."""
        queue = f"{self.namespace}_tasks"
        self.app.send_task("site_app.bill", args=[str(path)], queue=queue, ignore_result=True)
        until(path.exists)
        return path.read_text()

    def pending(self) -> int:
        """How many rings wait in the broker."""
        with self.app.connection_for_read() as connection:
            channel = connection.default_channel
            return channel.queue_declare(f"{self.namespace}_notifications").message_count

    def stop(self, worker: subprocess.Popen[bytes]) -> int:
        worker.send_signal(signal.SIGTERM)
        return worker.wait(_PATIENCE)

    def clean_up(self) -> None:
        for worker in self.workers:
            if worker.poll() is None:
                worker.send_signal(signal.SIGTERM)
        for worker in self.workers:
            try:
                worker.wait(15)
            except subprocess.TimeoutExpired:
                worker.kill()
                worker.wait()
        self.delete_queues()

    def delete_queues(self) -> None:
        with self.app.connection_for_write() as connection:
            channel = connection.default_channel
            for queue in ("notifications", "processing", "scheduled", "tasks"):
                name = f"{self.namespace}_{queue}"
                channel.queue_delete(name)
                channel.exchange_delete(name)


@pytest.fixture
def new_site(tmp_path: Path) -> Iterator[Callable[..., _Site]]:
    with ExitStack() as stack:

        def make(broker: str, database: str) -> _Site:
            return _Site(tmp_path, broker=broker, database=database, stack=stack)

        yield make


class _OwnRedis:
    """A Redis server of the test's own, to be killed."""

    def __init__(self, folder: Path) -> None:
        self._port = free_port()
        self._folder = folder
        self.url = f"redis://127.0.0.1:{self._port}/0"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = ["redis-server", "--port", str(self._port), "--bind", "127.0.0.1"]
        self._process = subprocess.Popen(
            [*command, "--save", "", "--dir", str(self._folder)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        until(self._answers)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self._port)) == 0


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[_OwnRedis]:
    if shutil.which("redis-server") is None:
        if os.environ.get("CLAIMNOTIFY_REQUIRE_SERVICES") == "1":
            pytest.fail("there is no redis-server (CLAIMNOTIFY_REQUIRE_SERVICES=1)", pytrace=False)
        pytest.skip("there is no redis-server to start")
    server = _OwnRedis(tmp_path)
    server.start()
    yield server
    server.kill()


@pytest.fixture
def site(new_site: Callable[..., _Site], redis_url: str, sqlite_url: str) -> _Site:
    return new_site(redis_url, sqlite_url)


@pytest.fixture
def big_site(new_site: Callable[..., _Site], redis_url: str, postgres_url: str) -> _Site:
    return new_site(redis_url, postgres_url)


def _children(pid: int) -> list[int]:
    """The processes that Celery's main process forked."""
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.parametrize("pool", [("prefork", "2"), ("threads", "2"), ("solo", "1")])
def test_a_worker_of_every_pool_delivers(site: _Site, pool: tuple[str, str]) -> None:
    worker = site.start("-P", pool[0], "-c", pool[1])
    site.wait_for_all(site.notify(3))
    assert site.stop(worker) == 0, site.logs()
    assert "Traceback" not in site.logs()


def test_a_queue_of_other_properties_is_no_outage(
    rabbitmq_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    namespace = f"claimnotify_{secrets.token_hex(6)}"
    app = Celery("other", broker=rabbitmq_url, set_as_current=False)
    dispatcher = CeleryDispatcher(app, signing_key=b"k" * 32, namespace=namespace)
    with Connection(rabbitmq_url) as connection:
        queue = Queue(f"{namespace}_notifications", durable=False, channel=connection)
        queue.declare()
        try:
            dispatcher._ringer()._ring("notifications")
            dispatcher.close()
        finally:
            queue.delete()
    (said,) = [each.getMessage() for each in caplog.records if "claimnotify" in each.name]
    assert f"{namespace}_notifications: exists in the broker with other properties" in said
    assert "broker again" not in said


def test_a_worker_delivers_over_rabbitmq(
    new_site: Callable[..., _Site], rabbitmq_url: str, sqlite_url: str
) -> None:
    site = new_site(rabbitmq_url, sqlite_url)
    worker = site.start("-P", "prefork", "-c", "2")
    site.wait_for_all(site.notify(3))
    assert site.stop(worker) == 0, site.logs()


def test_each_child_makes_its_own_notifier_after_the_fork(site: _Site, tmp_path: Path) -> None:
    site.start("-P", "prefork", "-c", "1")
    site.wait_for_all(site.notify(1))
    child, made = site.bill(tmp_path / "seen").split(" ", 1)
    assert made == f"[{child}]"


def test_a_notifier_made_before_the_fork_may_be_shared(site: _Site) -> None:
    """As an application has it that makes its notifier where its modules are imported."""
    worker = site.start("-P", "prefork", "-c", "2", "--max-tasks-per-child", "1", SHARED="1")
    ids: set[str] = set()
    for _ in range(4):
        ids |= site.notify(2)
        until(lambda: site.count("finished_at IS NULL") == 0)
    site.wait_for_all(ids)
    assert site.stop(worker) == 0, site.logs()
    assert "Traceback" not in site.logs()


def test_what_nobody_rang_for_is_delivered_within_seconds(site: _Site) -> None:
    """A ring that was lost, or never sent, costs a second: the worker's clock looks by itself."""
    site.start("-P", "prefork", "-c", "1")
    with site.open(RecordingDispatcher()) as silent:
        ids = site.notify(1, notifier=silent)
    started = time.monotonic()
    site.wait_for_all(ids)
    assert time.monotonic() - started < 10


def test_a_retry_is_made_when_it_is_due(site: _Site) -> None:
    site.start("-P", "prefork", "-c", "1")
    site.receiver.respond(503)
    ids = site.notify(1)
    site.wait_for_all(ids)
    assert [each.status for each in site.receiver.received] == [503, 200]


def test_a_hundred_rings_are_one_message_and_two_workers_deliver_each_once(big_site: _Site) -> None:
    ids = big_site.notify(100)
    until(lambda: big_site.pending() == 1)
    big_site.start("-P", "prefork", "-c", "2")
    big_site.start("-P", "prefork", "-c", "2")
    ids |= big_site.notify(100)
    big_site.wait_for_all(ids)
    assert set(big_site.received().values()) == {1}


def test_a_child_killed_at_its_work_loses_nothing(big_site: _Site) -> None:
    big_site.receiver.delay = timedelta(milliseconds=100)
    ids = big_site.notify_at_once(150)
    worker = big_site.start("-P", "prefork", "-c", "2")
    struck = 0
    for _ in range(3):
        until(lambda: big_site.count("lease_token IS NOT NULL"))
        for child in _children(worker.pid):
            os.kill(child, signal.SIGKILL)
        struck += big_site.count("lease_token IS NOT NULL") > 0
        until(lambda: len(_children(worker.pid)) == 2)
    assert struck
    big_site.wait_for_all(ids)


def test_a_hard_time_limit_loses_nothing(big_site: _Site) -> None:
    """A child that is killed for the time it took leaves its leases, which run out."""
    big_site.receiver.delay = timedelta(milliseconds=300)
    ids = big_site.notify_at_once(60)
    big_site.start("-P", "prefork", "-c", "1", "--time-limit", "1", SHIFT="600")
    until(lambda: b"Hard time limit" in big_site.log(0).read_bytes())
    big_site.receiver.delay = timedelta(0)
    big_site.wait_for_all(ids)


def test_a_broker_that_is_down_delays_and_loses_nothing(
    own_redis: _OwnRedis, new_site: Callable[..., _Site], sqlite_url: str
) -> None:
    site = new_site(own_redis.url, sqlite_url)
    site.start("-P", "prefork", "-c", "1")
    ids = site.notify(1)
    site.wait_for_all(ids)
    own_redis.kill()
    started = time.monotonic()
    ids |= site.notify(20)
    assert time.monotonic() - started < 5
    own_redis.start()

    def finished() -> bool:
        site.restart_if_ended("-P", "prefork", "-c", "1")
        return site.all_finished(ids)

    until(finished)
    site.wait_for_all(ids)


def test_a_broker_that_forgot_everything_loses_nothing(site: _Site, redis_url: str) -> None:
    """What was rung for is gone with the ring; the clock of the next worker finds it."""
    import redis

    ids = site.notify(5)
    until(lambda: site.pending() == 1)
    with redis.Redis.from_url(redis_url) as client:
        client.delete(f"{site.namespace}_notifications")
    site.start("-P", "solo")
    site.wait_for_all(ids)


def test_a_warm_shutdown_under_load_is_prompt_and_gives_back_what_has_not_begun(
    big_site: _Site,
) -> None:
    big_site.receiver.delay = timedelta(milliseconds=200)
    ids = big_site.notify_at_once(300)
    worker = big_site.start("-P", "prefork", "-c", "2", SHIFT="600")
    until(lambda: len(big_site.receiver.received) >= 10)
    started = time.monotonic()
    assert big_site.stop(worker) == 0, big_site.logs()
    assert time.monotonic() - started < 10
    assert big_site.count("lease_token IS NOT NULL") == 0
    assert big_site.count("finished_at IS NULL") > 0
    big_site.receiver.delay = timedelta(0)
    big_site.start("-P", "solo")
    big_site.wait_for_all(ids)
    assert set(big_site.received().values()) == {1}


@pytest.mark.parametrize("pool", ["solo", "threads"])
def test_a_warm_shutdown_is_prompt_in_pools_without_children(big_site: _Site, pool: str) -> None:
    big_site.receiver.delay = timedelta(milliseconds=200)
    big_site.notify_at_once(300)
    worker = big_site.start("-P", pool, "-c", "1", SHIFT="600")
    until(lambda: len(big_site.receiver.received) >= 10)
    started = time.monotonic()
    assert big_site.stop(worker) == 0, big_site.logs()
    assert time.monotonic() - started < 10
    assert big_site.count("lease_token IS NOT NULL") == 0
    assert big_site.count("finished_at IS NULL") > 0


def test_a_soft_time_limit_ends_a_shift_and_loses_nothing(big_site: _Site) -> None:
    big_site.receiver.delay = timedelta(milliseconds=100)
    ids = big_site.notify_at_once(200)
    big_site.start("-P", "prefork", "-c", "1", "--soft-time-limit", "1", SHIFT="600")
    big_site.wait_for_all(ids)
    assert "soft time limit" in big_site.logs()
    assert set(big_site.received().values()) == {1}


def _nap(site: _Site) -> Any:
    """Enqueue a job that does not end by itself."""

    @job(name="site.nap")
    async def nap(folder: str) -> None: ...

    try:
        return site.notifier.enqueue(nap, folder=str(site.folder))
    finally:
        registry.remove(nap)


def _naps(site: _Site) -> int:
    file = site.folder / "naps"
    return len(file.read_text().splitlines()) if file.exists() else 0


@pytest.mark.alone
def test_a_warm_shutdown_gives_back_the_jobs_under_way(big_site: _Site) -> None:
    made = _nap(big_site)
    worker = big_site.start("-P", "prefork", "-c", "1")
    until(lambda: _naps(big_site))
    started = time.monotonic()
    assert big_site.stop(worker) == 0, big_site.logs()
    assert time.monotonic() - started < 2 + 5
    (found,) = big_site.notifier.jobs(job_id=made.id)
    assert (found.status, found.reason, found.attempts) == ("pending", "released", 0)
    (big_site.folder / "go-on").touch()
    big_site.start("-P", "solo")
    until(lambda: big_site.notifier.jobs(job_id=made.id)[0].status == "succeeded")


def test_a_job_longer_than_the_hard_limit_is_given_back_before_it_and_that_is_said(
    big_site: _Site,
) -> None:
    """No child is killed for it, and it does not become poison."""
    made = _nap(big_site)
    big_site.start("-P", "prefork", "-c", "1", HARD_LIMIT="6", SHIFT="1")
    until(lambda: _naps(big_site) >= 3)
    assert "too short for the timeouts of jobs: site.nap (300 s)" in big_site.logs()
    assert "Hard time limit" not in big_site.logs()
    (big_site.folder / "go-on").touch()
    until(lambda: big_site.notifier.jobs(job_id=made.id)[0].status == "succeeded")
    assert big_site.notifier.jobs(job_id=made.id)[0].attempts == 1


def test_a_worker_that_was_started_before_the_upgrade_delivers_after_it(big_site: _Site) -> None:
    with big_site.engine.begin() as connection:
        connection.execute(text("DROP SCHEMA public CASCADE"))
        connection.execute(text("CREATE SCHEMA public"))
    big_site.start("-P", "prefork", "-c", "1")
    until(lambda: "cannot be looked at" in big_site.logs())
    with big_site.open(RecordingDispatcher()) as silent:
        silent.upgrade()
        _, secret = silent.endpoints.register(big_site.receiver.url, owner="cus_7")
        big_site.receiver.add_secret(secret)
        ids = big_site.notify(1, notifier=silent)
        until(lambda: big_site.all_finished(ids))
    assert set(big_site.received()) == ids


def test_other_tasks_get_their_turn_during_a_backlog(big_site: _Site, tmp_path: Path) -> None:
    big_site.receiver.delay = timedelta(milliseconds=200)
    big_site.notify_at_once(300)
    big_site.start("-P", "solo", SHIFT="1")
    until(lambda: big_site.receiver.received)
    big_site.bill(tmp_path / "seen")
    assert big_site.count("finished_at IS NULL") > 0


def test_a_worker_of_our_own_hears_the_same_rings(site: _Site) -> None:
    """So that a deployment can move from one kind of worker to the other while it runs."""
    ids = site.notify(1)
    until(lambda: site.pending() == 1)
    site.start_own()
    site.wait_for_all(ids)
    until(lambda: site.pending() == 0)


def test_a_worker_of_other_queues_takes_no_rings(site: _Site) -> None:
    site.start("-P", "solo", "-Q", f"{site.namespace}_tasks")
    site.notify(1)
    site.start("-P", "solo", "-Q", f"{site.namespace}_notifications")
    until(lambda: site.count("finished_at IS NOT NULL"))
    assert "claimnotify.ring[" not in site.log(0).read_text()
    assert "claimnotify.ring[" in site.log(1).read_text()
