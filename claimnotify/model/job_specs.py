"""What a job's decorator declares, and the registry of all functions that have one. No I/O."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any, Literal, Protocol, get_args

from claimnotify.errors import ConfigurationError, InvalidInput
from claimnotify.model.events import PRIORITIES
from claimnotify.model.job_arguments import JobArguments
from claimnotify.model.queues import JOB_QUEUES

__all__ = ["CatchUp", "JobRegistry", "JobSpec", "RetryWaits", "registry", "spec_of_job"]

CatchUp = Literal["latest", "all", "skip"]
"""What becomes of slots that passed while no worker ran; see `claimnotify.policy.cron`."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*", re.ASCII)
_ATTRIBUTE = "__claimnotify_job__"


class RetryWaits(Protocol):
    """How long to wait after each failed attempt: a `RetrySchedule`."""

    def next_wait(
        self,
        attempt: int,
        *,
        random: Random,
        elapsed: timedelta = ...,
        retry_after: timedelta | None = ...,
    ) -> timedelta | None:
        """Return how long to wait after attempt `attempt`, or None to give up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSpec:
    """What is declared about a job.

    Args:
        name: The stable name it is stored under.
        function: What does the work; sync or async.
        queue: Where it waits.
        retry: How long to wait after each failed attempt; None for the default.
        priority: `high`, `normal` or `low`.
        timeout: How long an attempt may take.
        concurrency: How many of it one worker process runs at once.
        cron: When a run of it is due, in UTC, for one that is scheduled.
        catch_up: What becomes of slots that were missed.
        catch_up_limit: How many missed slots `all` catches up at most.
        arguments: Its parameters.
    """

    name: str
    function: Callable[..., Any] = field(repr=False)
    queue: str
    retry: RetryWaits | None = None
    priority: str = "normal"
    timeout: timedelta = timedelta(minutes=5)
    concurrency: int = 4
    cron: str | None = None
    catch_up: CatchUp = "latest"
    catch_up_limit: int = 100
    arguments: JobArguments = field(init=False, repr=False)

    def __post_init__(self) -> None:
        where = f"job {self.name!r}"
        if not _NAME.fullmatch(self.name) or len(self.name) > 64:
            raise ConfigurationError(
                where,
                "its name is not words joined by dots, or longer than 64 characters",
                'Name it, as in @job(name="reports.build").',
            )
        if self.queue not in JOB_QUEUES:
            raise ConfigurationError(
                where,
                f"there is no queue {self.queue!r} for jobs",
                f"Choose from {', '.join(JOB_QUEUES)}.",
            )
        if self.priority not in PRIORITIES:
            raise ConfigurationError(where, "has an unknown priority", "Use high, normal or low.")
        if not isinstance(self.timeout, timedelta) or self.timeout <= timedelta(0):
            raise ConfigurationError(where, "timeout is no positive timedelta", "Give one.")
        for name in ("concurrency", "catch_up_limit"):
            value = getattr(self, name)
            if not isinstance(value, int) or not 1 <= value <= 1000:
                raise ConfigurationError(where, f"{name} is not between 1 and 1000", "Give such.")
        if self.catch_up not in get_args(CatchUp):
            raise ConfigurationError(
                where, f"catch_up is {self.catch_up!r}", "Use latest, all or skip."
            )
        if self.retry is not None and not hasattr(self.retry, "next_wait"):
            raise ConfigurationError(
                where, "retry is no RetrySchedule", "Give RetrySchedule.of(…)."
            )
        object.__setattr__(self, "arguments", JobArguments(self.function, where=where))

    @property
    def level(self) -> int:
        """The priority as a number; 0 is leased first."""
        return PRIORITIES[self.priority]


class JobRegistry:
    """All functions that were decorated, by name."""

    def __init__(self) -> None:
        self._specs: dict[str, JobSpec] = {}

    def add(self, spec: JobSpec) -> None:
        """Register `spec`; decorating the same function again (a reload) replaces it.

        Raises:
            ConfigurationError: Another function has this name.
        """
        known = self._specs.get(spec.name)
        if known is not None and _path(known.function) != _path(spec.function):
            raise ConfigurationError(
                f"job {spec.name!r}",
                f"is the name of {_path(known.function)} and of {_path(spec.function)}",
                "Give one of them another name.",
            )
        self._specs[spec.name] = spec
        setattr(spec.function, _ATTRIBUTE, spec)

    def get(self, name: str) -> JobSpec | None:
        """Return what is registered under `name`, or None."""
        return self._specs.get(name)

    def remove(self, function: Callable[..., Any]) -> None:
        """Forget a function; for tests that decorate functions of their own."""
        spec = spec_of_job(function)
        if self._specs.get(spec.name) is spec:
            del self._specs[spec.name]

    def __iter__(self) -> Iterator[JobSpec]:
        return iter(tuple(self._specs.values()))


registry = JobRegistry()
"""The registry that decorating fills."""


def spec_of_job(function: Callable[..., Any]) -> JobSpec:
    """Return what the function's decorator declared.

    Raises:
        InvalidInput: It has none.
    """
    spec = getattr(function, _ATTRIBUTE, None)
    if not isinstance(spec, JobSpec):
        name = getattr(function, "__qualname__", None) or type(function).__name__
        raise InvalidInput("function", f"{name} is no job", "Decorate it with @job or @scheduled.")
    return spec


def derived_name(function: Callable[..., Any]) -> str:
    """Return the name of a function that was given none: its module and its own.

    A function of the module that runs as `__main__` is named after that module's file, as the
    worker imports it under that name.

    Raises:
        ConfigurationError: It is defined inside another function, or in no file.
    """
    module = function.__module__
    if module == "__main__":
        main = sys.modules["__main__"]
        spec, file = getattr(main, "__spec__", None), getattr(main, "__file__", None)
        module = spec.name if spec is not None else Path(file).stem if file else ""
    if not module or "<locals>" in function.__qualname__:
        raise ConfigurationError(
            f"job {function.__qualname__!r}",
            "no stable name can be derived for it",
            'Name it, as in @job(name="reports.build").',
        )
    return f"{module}.{function.__qualname__}"


def _path(function: Callable[..., Any]) -> str:
    return f"{function.__module__}.{function.__qualname__}"
