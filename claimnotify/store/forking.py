"""Takes our own engines through forks: parent and child open connections of their own afterwards."""

from __future__ import annotations

import weakref
from contextlib import AbstractContextManager, nullcontext

from sqlalchemy import Engine

from claimnotify.model.forks import ForkGate

__all__ = ["FORKS", "using", "watch_forks"]

FORKS = "claimnotify_forks"
"""The execution option of an engine that has its gate."""


def watch_forks(engine: Engine) -> None:
    """Let nobody be in the middle of using `engine`, and no connection be open, at a fork.

    For a server's as well: SQLAlchemy learns what it needs to know of a server once, with the first
    connection, and a child that is forked in the middle of that would never learn it.
    """
    gate: ForkGate = engine.get_execution_options()[FORKS]
    known = weakref.ref(engine)

    def dispose(*, close: bool) -> None:
        engine = known()
        if engine is not None:
            engine.dispose(close=close)

    gate.watch(lambda: dispose(close=True), forget=lambda: dispose(close=False))


def using(engine: Engine) -> AbstractContextManager[None]:
    """Return the gate of an engine, for `with using(engine):`; others than our own have none."""
    gate: ForkGate | None = engine.get_execution_options().get(FORKS)
    return nullcontext() if gate is None else gate
