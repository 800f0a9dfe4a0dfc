"""What a job's decorator declares, and the registry of all functions that have one. No I/O."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, Literal, Protocol, get_args

from claimnotify.errors import ConfigurationError, InvalidInput
from claimnotify.model.checks import is_count
from claimnotify.model.events import PRIORITIES
from claimnotify.model.job_arguments import JobArguments
from claimnotify.model.queues import JOB_QUEUES

__all__ = ["CatchUp", "JobRegistry", "JobSpec", "RetryWaits", "is_retry", "registry", "spec_of_job"]

CatchUp = Literal["latest", "all", "skip"]
"""What becomes of slots that passed while no worker ran; see `claimnotify.policy.cron`."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*", re.ASCII)
_ATTRIBUTE = "__claimnotify_job__"
_NONE, _LONGEST = timedelta(0), timedelta(days=36_525)


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


def is_retry(value: object) -> bool:
    """Return whether `value` says how long to wait after each failed attempt. A class does not."""
    return not isinstance(value, type) and callable(getattr(value, "next_wait", None))


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
        _check_function(where, self.function)
        named = isinstance(self.name, str) and _NAME.fullmatch(self.name)
        if not named or len(self.name) > 64:
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
        if not isinstance(self.priority, str) or self.priority not in PRIORITIES:
            raise ConfigurationError(where, "has an unknown priority", "Use high, normal or low.")
        if not isinstance(self.timeout, timedelta) or not _NONE < self.timeout <= _LONGEST:
            raise ConfigurationError(
                where, "timeout is no positive timedelta of up to 100 years", "Give one."
            )
        for name in ("concurrency", "catch_up_limit"):
            value = getattr(self, name)
            if not is_count(value, 1000):
                raise ConfigurationError(
                    where, f"{name} is no whole number from 1 to 1000", "Give one."
                )
        if self.catch_up not in get_args(CatchUp):
            raise ConfigurationError(
                where, f"catch_up is {self.catch_up!r}", "Use latest, all or skip."
            )
        if self.retry is not None and not is_retry(self.retry):
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
        self._loads: dict[str, tuple[object, object] | None] = {}

    def add(self, spec: JobSpec) -> None:
        """Register `spec`; the function of a module that was loaded again replaces the earlier one.

        Raises:
            ConfigurationError: Another function has this name, or this one cannot be marked.
        """
        known, load = self._specs.get(spec.name), _load(spec.function)
        if known is not None and known.function != spec.function:
            ours, theirs = _path(spec.function), _path(known.function)
            alike = ours == theirs
            if not alike or (load is not None and _is_same(load, self._loads[spec.name])):
                if alike:
                    theirs, ours = theirs + _line(known.function), ours + _line(spec.function)
                raise ConfigurationError(
                    f"job {spec.name!r}",
                    f"is the name of {theirs} and of {ours}",
                    "Give one of them another name.",
                )
        try:
            setattr(spec.function, _ATTRIBUTE, spec)
        except (AttributeError, TypeError) as error:
            raise ConfigurationError(
                f"job {spec.name!r}",
                f"a {type(spec.function).__name__} cannot be marked as a job",
                "Decorate a function, which may call it.",
            ) from error
        self._specs[spec.name], self._loads[spec.name] = spec, load

    def get(self, name: str) -> JobSpec | None:
        """Return what is registered under `name`, or None."""
        return self._specs.get(name)

    def remove(self, function: Callable[..., Any]) -> None:
        """Forget a function; for tests that decorate functions of their own."""
        spec = spec_of_job(function)
        if self._specs.get(spec.name) is spec:
            del self._specs[spec.name], self._loads[spec.name]

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
        ConfigurationError: It is defined inside another function, or in no file; or it is no function
            that a job can have.
    """
    own = getattr(function, "__qualname__", "")
    _check_function(f"job {own!r}", function)
    module = getattr(function, "__module__", "")
    if module == "__main__":
        main = sys.modules["__main__"]
        spec, file = getattr(main, "__spec__", None), getattr(main, "__file__", None)
        module = spec.name if spec is not None else Path(file).stem if file else ""
    if not module or not own or "<locals>" in own:
        raise ConfigurationError(
            f"job {own!r}",
            "no stable name can be derived for it",
            'Name it, as in @job(name="reports.build").',
        )
    return f"{module}.{own}"


def _check_function(where: str, function: object) -> None:
    if not callable(function):
        raise ConfigurationError(
            where,
            f"{function!r:.80} is no function",
            'Options are given by name, as in @job(name="reports.build").',
        )
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise ConfigurationError(
            where,
            "its function has a yield: calling it makes a generator and runs nothing",
            "Let the job go through the generator in a function without a yield.",
        )


def _path(function: Callable[..., Any]) -> str:
    name = getattr(function, "__qualname__", None) or type(function).__qualname__
    return f"{function.__module__}.{name}"


def _load(function: Callable[..., Any]) -> tuple[object, object] | None:
    """Return what tells one load of the function's module from another, or None if nothing does.

    A reload keeps the module's names and gives it another spec. What is typed in or run cell by cell
    has neither a spec nor a file, and is defined again at will.
    """
    names = getattr(_innermost(function), "__globals__", None)
    if names is None or (names.get("__spec__") is None and "__file__" not in names):
        return None
    return (names, names.get("__spec__"))


def _line(function: Callable[..., Any]) -> str:
    code = getattr(_innermost(function), "__code__", None)
    return "" if code is None else f" (line {code.co_firstlineno})"


def _innermost(function: Callable[..., Any]) -> Any:
    """Return the function within partials and wrappers, which may be of another module."""
    while isinstance(function, partial):
        function = function.func
    return inspect.unwrap(function)


def _is_same(load: tuple[object, object], other: tuple[object, object] | None) -> bool:
    return other is not None and load[0] is other[0] and load[1] is other[1]
