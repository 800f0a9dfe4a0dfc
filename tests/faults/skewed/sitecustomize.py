"""Shifts the host's clock in one process: Python imports this at its start if it is on its path.

`FAULTS_CLOCK_SHIFT` says by how many seconds. Only what tells the time is shifted; values are the
usual ones, and the monotonic clock goes on as it does on a host whose clock is wrong.
"""

from __future__ import annotations

import datetime as module
import os
import time
from typing import Any

_SHIFT = float(os.environ["FAULTS_CLOCK_SHIFT"])
_real = module.datetime
_real_time, _real_time_ns = time.time, time.time_ns


class _Kind(type):
    """Lets the usual values count as instances of the class that stands in for theirs."""

    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, _real)

    def __subclasscheck__(cls, subclass: type) -> bool:
        return issubclass(subclass, _real)


class datetime(_real, metaclass=_Kind):
    """Makes ordinary datetimes, and is wrong about which time it is."""

    __slots__ = ()  # else it is larger than what compiled modules were compiled for

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        return _real(*args, **kwargs)

    @classmethod
    def now(cls, tz: module.tzinfo | None = None) -> Any:
        return _real.now(tz) + module.timedelta(seconds=_SHIFT)

    @classmethod
    def utcnow(cls) -> Any:
        return _real.utcnow() + module.timedelta(seconds=_SHIFT)

    @classmethod
    def fromtimestamp(cls, *args: Any, **kwargs: Any) -> Any:
        return _real.fromtimestamp(*args, **kwargs)

    @classmethod
    def combine(cls, *args: Any, **kwargs: Any) -> Any:
        return _real.combine(*args, **kwargs)

    @classmethod
    def fromisoformat(cls, text: str) -> Any:
        return _real.fromisoformat(text)

    @classmethod
    def strptime(cls, text: str, form: str) -> Any:
        return _real.strptime(text, form)


module.datetime = datetime  # type: ignore[misc]
time.time = lambda: _real_time() + _SHIFT
time.time_ns = lambda: _real_time_ns() + int(_SHIFT * 1_000_000_000)
