"""A process that accepts and never rings: it is killed in its last ring, when the commit has just returned.

`python -m tests.faults.unrung FIRST COUNT`, with the settings in its environment. It says "ready",
accepts once it is told to, and tells of each id on its standard output; the last it cannot tell of.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Collection
from typing import NoReturn

from claimnotify.ports import Consumer
from tests.faults.application import SeatMoved, make_notifier, recipient


class _DeadlyDispatcher:
    """A doorbell that is not heard, and at the last ring ends its process with SIGKILL."""

    def __init__(self, rings: int) -> None:
        self._left = rings

    def ring(self, queue: str) -> None:
        self._left -= 1
        if not self._left:
            os.kill(os.getpid(), signal.SIGKILL)

    def consumer(self, queues: Collection[str], on_ring: object) -> Consumer:
        raise NotImplementedError("this process only accepts")

    def close(self) -> None:
        """Do nothing."""


def main(first: int, count: int) -> NoReturn:
    """Accept `count` notifications, numbered from `first`, and die in the ring for the last."""
    notifier = make_notifier(dispatcher=_DeadlyDispatcher(count))
    notifier.status()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    for number in range(first, first + count):
        accepted = notifier.notify(
            SeatMoved(number=number), to=recipient(number), idempotency_key=f"n{number}"
        )
        sys.stdout.write(f"{accepted.id}\n")
        sys.stdout.flush()
    sys.exit("it outlived its last ring")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
