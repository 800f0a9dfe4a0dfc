"""A gate between a fork and those who use what no child may inherit in the middle of its use.

SQLite is why it is there: it keeps account of its locks by process, and a child that inherits an open
connection believes to hold locks that only its parent has, whatever it opens itself later; another
process can then remove the log in which the child's commits are. A child of a thread that forks while
another is inside SQLite hangs for ever when it opens a connection of its own.

Source: SQLite, "How To Corrupt An SQLite Database File", 2.6.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections import Counter
from collections.abc import Callable
from types import TracebackType

from claimnotify.errors import ConfigurationError

__all__ = ["ForkGate"]

_PATIENCE = 5.0
"""Seconds for which a fork waits until what other threads are doing has ended."""


class ForkGate:
    """Makes a fork wait for those who use something, and them for the fork; to be used by `with`.

    Args:
        field: The setting that says what is used, for the error.
        may_be_inherited: Whether a child can go on although somebody was using it, as when a thread
            forks in the middle of its use, or hangs.
    """

    def __init__(self, field: str, *, may_be_inherited: bool) -> None:
        self._field = field
        self._may_be_inherited = may_be_inherited
        self._changed = threading.Condition()
        self._users: Counter[int] = Counter()
        self._shut = False
        self._unusable = False
        self._close: Callable[[], object] = lambda: None
        self._forget: Callable[[], object] = lambda: None

    def watch(self, close: Callable[[], object], *, forget: Callable[[], object]) -> None:
        """Begin to watch the forks of this process; for as long as the gate is referred to.

        Args:
            close: Called before a fork, when nobody else is using it; closes connections.
            forget: Called in the child; lets go of what was not closed, without closing it.
        """
        self._close, self._forget = close, forget
        if hasattr(os, "register_at_fork"):
            known = weakref.ref(self)
            os.register_at_fork(
                before=lambda: _tell(known(), ForkGate._before),
                after_in_parent=lambda: _tell(known(), ForkGate._after),
                after_in_child=lambda: _tell(known(), ForkGate._in_child),
            )

    def __enter__(self) -> None:
        """Begin to use it, when no fork is near.

        Raises:
            ConfigurationError: This is a child that was forked while it was being used.
        """
        if self._unusable:
            raise ConfigurationError(
                self._field,
                "this process was forked while its parent was using the SQLite database",
                "Fork when no other call is under way, or start the process afresh.",
            )
        me = threading.get_ident()
        with self._changed:
            if self._shut and not self._users[me]:
                self._changed.wait_for(lambda: not self._shut, _PATIENCE)
            self._users[me] += 1

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        me = threading.get_ident()
        with self._changed:
            self._users[me] -= 1
            if self._users[me] <= 0:
                del self._users[me]
            if self._shut:
                self._changed.notify_all()

    def _before(self) -> None:
        me = threading.get_ident()
        with self._changed:
            self._shut = True
            unused = self._changed.wait_for(lambda: self._users.keys() <= {me}, _PATIENCE)
        if unused:
            self._close()

    def _after(self) -> None:
        with self._changed:
            self._shut = False
            self._changed.notify_all()

    def _in_child(self) -> None:
        self._unusable = self._unusable or bool(self._users and not self._may_be_inherited)
        # The lock may be held by a thread that is not there.
        self._changed, self._users, self._shut = threading.Condition(), Counter(), False
        self._forget()


def _tell(gate: ForkGate | None, what: Callable[[ForkGate], None]) -> None:
    if gate is not None:
        what(gate)
