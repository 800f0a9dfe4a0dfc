"""Our pipeline as it is deployed: an application process, a worker process, database and queue."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from measuring.places import Where, postgres_database, redis_database
from measuring.processes import Child, ChildFailed, Process, cpu_seconds
from measuring.program import child_environment

from claimnotify import Notifier, Settings

_KEY = "benchmark-key-of-thirty-two-characters-and-more"
_COMMAND = str(Path(sys.executable).with_name("claimnotify"))
_NEEDS = {"aiohttp": "aiohttp", "httpx": "httpx", "httpx-aiohttp": "httpx_aiohttp"}


def engines() -> list[str]:
    """Return the HTTP engines to measure; only the default one where there is no choice."""
    if "http_engine" not in Settings.model_fields:
        return ["default"]
    return [name for name, module in _NEEDS.items() if find_spec(module) is not None]


@dataclass
class OurPipeline:
    """One deployment. `driver` is the application: see `ours.driver`."""

    name: str
    settings: Mapping[str, str]
    driver: Child
    observer: Notifier
    log: Path
    workers: int = 1
    worker: Process | None = None
    first: int = field(default=1)

    def start_worker(self) -> None:
        """Start the workers and wait until one is ready."""
        environment = {f"CLAIMNOTIFY_{name.upper()}": text for name, text in self.settings.items()}
        self.worker = Process(
            [_COMMAND, "worker", "--workers", str(self.workers)],
            name=f"{self.name}-worker",
            log=self.log,
            env={**child_environment(), **environment},
        )
        self.worker.wait_for_log("worker ready")

    def stop_worker(self, *, at_once: bool = False) -> None:
        """Stop the worker."""
        if self.worker is not None:
            self.worker.stop(at_once=at_once)
            self.worker = None

    def cpu(self) -> float:
        """Return the CPU seconds of application and worker."""
        worker = [] if self.worker is None else [self.worker.pid]
        return cpu_seconds([self.driver.pid, *worker])

    def accept(self, how: str, count: int) -> float:
        """Have the application accept `count` notifications; return the seconds it took."""
        first, self.first = self.first, self.first + count
        return float(self.driver.ask(how, first=first, count=count))

    def fill(self, count: int) -> None:
        """Have the application accept a backlog; a thousand a second is slow."""
        first, self.first = self.first, self.first + count
        self.driver.ask("notify_many", first=first, count=count, seconds=60 + count / 1000)

    def unfinished(self) -> int:
        """Return how many deliveries have no outcome yet."""
        return sum(self.observer.status().values())


@contextmanager
def our_pipeline(
    engine: str,
    where: Where,
    *,
    worker: bool = True,
    workers: int = 1,
    more: Mapping[str, str] | None = None,
) -> Iterator[OurPipeline]:
    """Deploy claimnotify: on SQLite with Huey on SQLite, or on PostgreSQL with Huey on Redis.

    Args:
        engine: A name from `engines()`; `default` leaves the choice to claimnotify.
        where: Database, folder and endpoints.
        worker: Whether to start the workers.
        workers: How many worker processes.
        more: Further settings.

    Raises:
        Unreachable: A server is missing.
    """
    name = f"ours-{where.database}-{engine}"
    home = where.folder / f"{name}-{time.monotonic_ns()}"
    home.mkdir()
    settings = {
        "secret_keys": _KEY,
        "webhook_allow_networks": "127.0.0.0/8",
        "webhook_allow_http": "true",
        **(more or {}),
    }
    if engine != "default":
        settings["http_engine"] = engine
    with ExitStack() as stack:
        if where.database == "postgresql":
            settings["database_url"] = stack.enter_context(postgres_database())
            settings["queue_url"] = stack.enter_context(redis_database())
        else:
            settings["database_url"] = f"sqlite:///{home / 'claimnotify.db'}"
        driver = stack.enter_context(
            Child(
                [sys.executable, "-m", "ours.driver"],
                name=f"{name}-driver",
                log=where.folder,
                env=child_environment(),
            )
        )
        driver.ask("open", settings=settings, endpoints=list(where.endpoints))
        observer = stack.enter_context(Notifier.from_settings(**settings))
        pipeline = OurPipeline(
            name=name,
            settings=settings,
            driver=driver,
            observer=observer,
            log=where.folder,
            workers=workers,
        )
        try:
            if worker:
                pipeline.start_worker()
            yield pipeline
        except BaseException:
            pipeline.stop_worker(at_once=True)
            raise
        pipeline.stop_worker()


def history_is_whole(pipeline: OurPipeline) -> None:
    """Check that nothing ended otherwise than delivered, by the newest thousand notifications.

    Raises:
        ChildFailed: Something did.
    """
    states = {
        str(delivery.status)
        for notification in pipeline.observer.history(limit=1000)
        for delivery in notification.deliveries
    }
    if states - {"delivered", "sent"}:
        raise ChildFailed(f"{pipeline.name}: deliveries are {sorted(states)}")
