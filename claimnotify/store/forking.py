"""Gives a forked child database connections of its own."""

from __future__ import annotations

import os
import weakref

from sqlalchemy import Engine

__all__ = ["forget_connections_in_children"]


def forget_connections_in_children(engine: Engine) -> None:
    """Give a forked child connections of its own; the parent's are left alone."""
    known = weakref.ref(engine)

    def forget() -> None:
        engine = known()
        if engine is not None:
            engine.dispose(close=False)

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=forget)
