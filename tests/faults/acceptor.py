"""A process that accepts until it is killed, and tells of each id on its standard output.

`python -m tests.faults.acceptor FIRST [RINGS]`, with the settings in its environment. It begins when
it is given a line. With RINGS it kills itself at that ring: its last commit is done, and not rung.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Collection
from itertools import count

from claimnotify.ports import Consumer, Dispatcher
from tests.faults.application import SeatMoved, make_notifier, recipient


class _Last:
    """A doorbell that rings nobody, and kills the process when it is rung for the last time."""

    def __init__(self, rings: int) -> None:
        self._left = rings

    def ring(self, queue: str) -> None:
        """Count down, and die at the end."""
        self._left -= 1
        if not self._left:
            os.kill(os.getpid(), signal.SIGKILL)

    def consumer(self, queues: Collection[str], on_ring: Callable[[str], None]) -> Consumer:
        """Refuse: nobody listens here."""
        raise NotImplementedError

    def close(self) -> None:
        """Do nothing: there is nothing to close."""


def _main(first: int, rings: int | None) -> None:
    own: dict[str, Dispatcher] = {} if rings is None else {"dispatcher": _Last(rings)}
    notifier = make_notifier(**own)
    notifier.status()  # whatever a first call has to do is done
    print("ready", flush=True)
    sys.stdin.readline()
    for number in count(first):
        accepted = notifier.notify(
            SeatMoved(number=number), to=recipient(number), idempotency_key=f"n{number}"
        )
        print(accepted.id, flush=True)


if __name__ == "__main__":
    _main(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else None)
