"""A process that accepts until it is killed, and tells of each id on its standard output.

`python -m tests.faults.acceptor FIRST`, with the settings in its environment.
"""

from __future__ import annotations

import sys
from itertools import count

from tests.faults.application import SeatMoved, make_notifier, recipient

if __name__ == "__main__":
    notifier = make_notifier()
    for number in count(int(sys.argv[1])):
        accepted = notifier.notify(
            SeatMoved(number=number), to=recipient(number), idempotency_key=f"n{number}"
        )
        sys.stdout.write(f"{accepted.id}\n")
        sys.stdout.flush()
