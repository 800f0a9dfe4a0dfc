"""Declares background work: the decorators `job` and `scheduled`."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeVar, overload

from claimnotify.errors import ConfigurationError
from claimnotify.model.job_specs import CatchUp, JobSpec, RetryWaits, derived_name, registry
from claimnotify.policy.cron import CronSchedule

__all__ = ["job", "scheduled"]

_F = TypeVar("_F", bound=Callable[..., Any])
_MINUTES_5 = timedelta(minutes=5)


@overload
def job(function: _F, /) -> _F: ...


@overload
def job(
    *,
    name: str | None = ...,
    queue: str = ...,
    retry: RetryWaits | None = ...,
    priority: str = ...,
    timeout: timedelta = ...,
    concurrency: int = ...,
) -> Callable[[_F], _F]: ...


def job(
    function: _F | None = None,
    /,
    *,
    name: str | None = None,
    queue: str = "processing",
    retry: RetryWaits | None = None,
    priority: str = "normal",
    timeout: timedelta = _MINUTES_5,
    concurrency: int = 4,
) -> _F | Callable[[_F], _F]:
    """Let a function be enqueued with `notifier.enqueue(function, **arguments)`.

    The function itself is unchanged. It may be sync or async; what it returns is not kept. Its
    arguments are checked against its annotations when it is enqueued, and stored as JSON. A
    parameter annotated `JobContext`, or `JobContext | None`, is filled in by the worker.

    Args:
        name: The stable name it is stored under; by default its module's and its own. Renaming a
            function that has none, or moving it, leaves jobs behind that nothing runs.
        queue: `processing` or `scheduled`.
        retry: How long to wait after each failed attempt; by default 5 attempts within some hours.
        priority: `high`, `normal` or `low`.
        timeout: How long an attempt may take. An async function is then cancelled. A sync one
            cannot be stopped: it keeps its place, and is not run beside itself, until it returns;
            what it returns or raises then counts.
        concurrency: How many of it one worker process runs at once.

    Raises:
        ConfigurationError: An option is wrong, a parameter cannot be given by keyword, two are
            annotated `JobContext`, the function has a `yield`, or another function has the name.
            Nothing is registered then.
    """

    def decorate(decorated: _F) -> _F:
        registry.add(
            JobSpec(
                name=derived_name(decorated) if name is None else name,
                function=decorated,
                queue=queue,
                retry=retry,
                priority=priority,
                timeout=timeout,
                concurrency=concurrency,
            )
        )
        return decorated

    return decorate if function is None else decorate(function)


def scheduled(
    *,
    cron: str,
    name: str | None = None,
    queue: str = "scheduled",
    retry: RetryWaits | None = None,
    priority: str = "normal",
    timeout: timedelta = _MINUTES_5,
    concurrency: int = 1,
    catch_up: CatchUp = "latest",
    catch_up_limit: int = 100,
) -> Callable[[_F], _F]:
    """Let workers run a function by the clock: each slot once, however many workers there are.

    Args:
        cron: Minute, hour, day of the month, month and day of the week, in UTC.
        name: As for `job`.
        queue: As for `job`.
        retry: As for `job`.
        priority: As for `job`.
        timeout: As for `job`.
        concurrency: As for `job`.
        catch_up: What becomes of slots that passed while no worker ran: `latest` runs the newest
            of them, `all` runs each, and `skip` none.
        catch_up_limit: How many missed slots `all` runs at most, the newest.

    Raises:
        ConfigurationError: As for `job`; or the expression is wrong, or the function has a
            parameter without a default that nothing would fill.
    """
    CronSchedule(cron)

    def decorate(decorated: _F) -> _F:
        spec = JobSpec(
            name=derived_name(decorated) if name is None else name,
            function=decorated,
            queue=queue,
            retry=retry,
            priority=priority,
            timeout=timeout,
            concurrency=concurrency,
            cron=cron,
            catch_up=catch_up,
            catch_up_limit=catch_up_limit,
        )
        needed = spec.arguments.needed
        if needed:
            raise ConfigurationError(
                f"job {spec.name!r}",
                f"its parameter {needed[0]!r} has no default, and a schedule gives no arguments",
                "Give it one, or annotate it JobContext.",
            )
        registry.add(spec)
        return decorated

    return decorate
