"""What a test server is told to do wrong, step by step, and how it looks that up."""

from __future__ import annotations

import threading
from collections import defaultdict, deque
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

__all__ = ["Planned", "Script"]

Reply = TypeVar("Reply")

Action = Literal["reply", "hang", "drop", "lose"]


@dataclass(frozen=True, slots=True)
class Planned(Generic[Reply]):
    """One planned misbehaviour.

    Args:
        action: `reply` instead of doing the step, `hang` without an answer, `drop` the connection
            before doing it, or do it and `lose` the answer.
        reply: The answer, for `reply`.
    """

    action: Action
    reply: Reply | None = None


class Script(Generic[Reply]):
    """Planned misbehaviours by step, used up in the order they were planned. Thread-safe."""

    def __init__(self) -> None:
        self._planned: defaultdict[str, deque[Planned[Reply]]] = defaultdict(deque)
        self._lock = threading.Lock()

    def plan(self, step: str, action: Action, *, times: int, reply: Reply | None = None) -> None:
        """Misbehave at the next `times` occurrences of `step`."""
        with self._lock:
            self._planned[step].extend([Planned(action, reply)] * times)

    def take(self, step: str) -> Planned[Reply] | None:
        """Return what is planned for this occurrence of `step`, or None."""
        with self._lock:
            planned = self._planned[step]
            return planned.popleft() if planned else None

    def clear(self) -> None:
        """Forget everything planned."""
        with self._lock:
            self._planned.clear()
