"""The Huey application of a team: one task for each webhook, by the id of its row.

Huey takes a message off its queue before it runs it: a killed worker loses what it had in hand.
"""

from __future__ import annotations

import os
from threading import local

from huey import Huey, RedisHuey, SqliteHuey

from peers.delivering import Deliverer


def _huey() -> Huey:
    file = os.environ.get("BENCH_HUEY_FILE")
    if file:
        return SqliteHuey("bench", filename=file, results=False)
    return RedisHuey("bench", url=os.environ["BENCH_REDIS_URL"], results=False)


huey = _huey()
_own = local()


@huey.on_startup()
def _start() -> None:
    """Give each worker, a process or a thread, connections of its own."""
    _own.deliverer = Deliverer()


@huey.task(retries=9, retry_delay=5)
def deliver(delivery_id: int) -> None:
    """Send one webhook; an exception has Huey try again."""
    if not _own.deliverer.deliver(delivery_id):
        raise RuntimeError("not delivered")
