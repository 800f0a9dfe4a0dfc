"""Starts and watches a peer's pipeline: an application process, workers, database and queue.

Runs in the benchmark's own environment; what it starts runs in the peers'.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from measuring.places import Where, postgres_database, redis_database
from measuring.processes import Child, Process, cpu_seconds
from measuring.program import BENCHMARKS, peers_python
from sqlalchemy import Engine, create_engine, text

PROCESSES = os.cpu_count() or 1
"""Worker processes of a peer: Celery's own default. On two cores, four cost 5 to 10 % more CPU for
each webhook and did no more of them; where endpoints are slow, more processes are asked for."""

_STOPPING = 5.0
"""Seconds for a warm shutdown: about one of Celery's in three waits for a child that never ends."""


@dataclass
class PeerPipeline:
    """One deployment. `driver` is the application: see `peers.driver`."""

    name: str
    driver: Child
    watching: Engine
    command: Sequence[str]
    environment: Mapping[str, str]
    log: Path
    worker: Process | None = None
    first: int = field(default=1)

    def start_worker(self) -> None:
        """Start the workers."""
        self.worker = Process(
            self.command,
            name=f"{self.name}-worker",
            log=self.log,
            env=self.environment,
        )

    def stop_worker(self, *, at_once: bool = False) -> None:
        """Stop the workers."""
        if self.worker is not None:
            self.worker.stop(at_once=at_once, seconds=_STOPPING)
            self.worker = None

    def cpu(self) -> float:
        """Return the CPU seconds of application and workers."""
        worker = [] if self.worker is None else [self.worker.pid]
        return cpu_seconds([self.driver.pid, *worker])

    def accept(self, how: str, count: int) -> float:
        """Have the application accept `count` webhooks; return the seconds it took."""
        first, self.first = self.first, self.first + count
        return float(self.driver.ask(how, first=first, count=count))

    def fill(self, count: int) -> None:
        """Have the application write a backlog; five hundred a second is slow."""
        first, self.first = self.first, self.first + count
        self.driver.ask("fill", first=first, count=count, seconds=60 + count / 500)

    def unfinished(self) -> int:
        """Return how many rows have no outcome yet."""
        query = text("SELECT count(*) FROM bench_deliveries WHERE status = 'pending'")
        with self.watching.connect() as connection:
            return int(connection.scalar(query) or 0)


@contextmanager
def peer_pipeline(
    queue: str, where: Where, *, worker: bool = True, processes: int = PROCESSES
) -> Iterator[PeerPipeline]:
    """Deploy a peer.

    Args:
        queue: `celery` (always on Redis) or `huey` (on Redis, or with SQLite on SQLite).
        where: Database, folder and endpoints.
        worker: Whether to start the workers.
        processes: How many worker processes.

    Raises:
        Unreachable: The peers are not installed, or a server is missing.
    """
    python, name = peers_python(), f"{queue}-{where.database}"
    home = where.folder / f"{name}-{time.monotonic_ns()}"
    home.mkdir()
    environment = {"PYTHONPATH": str(BENCHMARKS)}
    with ExitStack() as stack:
        if queue == "celery" or where.database == "postgresql":
            environment["BENCH_REDIS_URL"] = stack.enter_context(redis_database())
        else:
            environment["BENCH_HUEY_FILE"] = str(home / "huey.db")
        if where.database == "postgresql":
            url = stack.enter_context(postgres_database())
        else:
            url = f"sqlite:///{home / 'webhooks.db'}"
        environment["BENCH_DATABASE_URL"] = url
        driver = stack.enter_context(
            Child(
                [python, "-m", "peers.driver", queue],
                name=f"{name}-driver",
                log=where.folder,
                env=environment,
            )
        )
        driver.ask("open", endpoints=list(where.endpoints))
        watching = create_engine(url)
        stack.callback(watching.dispose)
        pipeline = PeerPipeline(
            name=name,
            driver=driver,
            watching=watching,
            command=[python, *_WORKERS[queue], str(processes)],
            environment=environment,
            log=where.folder,
        )
        try:
            if worker:
                pipeline.start_worker()
            yield pipeline
        except BaseException:
            pipeline.stop_worker(at_once=True)
            raise
        pipeline.stop_worker()


_WORKERS = {
    "celery": (
        *("-m", "celery", "-A", "peers.celery_app", "worker", "--loglevel", "WARNING"),
        *("--without-gossip", "--without-mingle", "--without-heartbeat"),
        *("--pool", "prefork", "--concurrency"),
    ),
    "huey": (
        *("-m", "huey.bin.huey_consumer", "peers.huey_app.huey", "--quiet", "--no-periodic"),
        *("--delay", "0.01", "--max-delay", "0.05"),
        *("--worker-type", "process", "--workers"),
    ),
}
