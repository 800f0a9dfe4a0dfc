"""Keeps one notifier in each process of a Celery worker, made there when it is first needed."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Protocol, runtime_checkable

from claimnotify.dispatch.celery import CeleryDispatcher
from claimnotify.errors import ConfigurationError
from claimnotify.model.locks import ProcessLock

__all__ = ["DrainingNotifier", "HastyDrain", "ProcessNotifiers", "QueueDrain"]


class QueueDrain(Protocol):
    """Delivers what is due in one queue."""

    def until_idle(self) -> Counter[str]:
        """Deliver until nothing is due; return how many ended in which state."""

    def stop(self) -> None:
        """Lease no more and give back what has not begun; returns at once."""


@runtime_checkable
class HastyDrain(Protocol):
    """A drain of what may take long, jobs, and can be given back before it has ended."""

    def hasten(self, grace: timedelta, *, ending: bool) -> None:
        """Lease no more and cancel what can be cancelled after `grace`; returns at once."""


class DrainingNotifier(Protocol):
    """What a Celery worker needs of a `Notifier`."""

    @property
    def settings(self) -> Any:
        """The `Settings`."""

    @property
    def dispatcher(self) -> Any:
        """The doorbell, a `CeleryDispatcher`."""

    def queue_drain(self, queue: str) -> QueueDrain:
        """Return a new drain of `queue`."""

    def due_in(self, queue: str) -> timedelta | None:
        """Return how long until something is due, not above zero if it is; None: nothing waits."""

    def close(self) -> None:
        """Let go of everything."""


class ProcessNotifiers:
    """One notifier in each process. A parent's is kept, so that no child closes its connections.

    Args:
        make: Makes a notifier; called once in each process that asks for one.
    """

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self._made: dict[int, DrainingNotifier] = {}
        self._lock = ProcessLock()

    def mine(self) -> DrainingNotifier:
        """Return this process's notifier.

        Raises:
            ConfigurationError: It cannot be made, or does not ring through Celery.
        """
        with self._lock:
            notifier = self._made.get(os.getpid())
            if notifier is None:
                notifier = self._made[os.getpid()] = _checked(self._make())
            return notifier

    def close(self) -> None:
        """Close this process's notifier, if it has one."""
        notifier = self._made.pop(os.getpid(), None)
        if notifier is not None:
            notifier.close()


def _checked(made: Any) -> DrainingNotifier:
    if not hasattr(made, "queue_drain"):
        problem = f"made a {type(made).__name__}, not a Notifier"
        raise ConfigurationError("notifier", problem, "Return what Notifier.from_settings() makes.")
    if not isinstance(made.dispatcher, CeleryDispatcher):
        raise ConfigurationError(
            "notifier",
            f"has the dispatcher {type(made.dispatcher).__name__}",
            "Make it with Notifier.from_settings(dispatcher=CeleryDispatcher(app)).",
        )
    notifier: DrainingNotifier = made
    return notifier
