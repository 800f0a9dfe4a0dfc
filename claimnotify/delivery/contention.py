"""Does work in a transaction, again where it lost a conflict with another."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, TypeVar

from claimnotify.errors import StoreContention

__all__ = ["in_transaction"]

_It = TypeVar("_It")
_T = TypeVar("_T")
_TRIES = 5


def in_transaction(
    opened: Callable[[Any], AbstractContextManager[_It]], session: Any, work: Callable[[_It], _T]
) -> _T:
    """Return what `work` does in a transaction, again if that lost a conflict with another.

    Args:
        opened: Opens the transaction: the caller's, if it gets a session.
        session: The caller's, or None. In the caller's transaction only the caller can begin anew.
        work: What to do.

    Raises:
        StoreContention: It lost every time, or the transaction is the caller's. Nothing was written.
    """
    tries = 1 if session is not None else _TRIES
    while True:
        tries -= 1
        try:
            with opened(session) as transaction:
                return work(transaction)
        except StoreContention:
            if not tries:
                raise
