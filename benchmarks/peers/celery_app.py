"""The Celery application of a team: one task for each webhook, by the id of its row.

Set as Celery's guide to optimising advises for many short tasks: a large prefetch, no results, no
events. `acks_late` makes it safe against a killed worker, which is what we are compared with;
prefetching one at a time, as some advise along with it, would be slower.
"""

from __future__ import annotations

import os
from typing import Any

from celery import Celery, Task
from celery.signals import worker_process_init

from peers.delivering import Deliverer

app = Celery("bench", broker=os.environ["BENCH_REDIS_URL"])
app.conf.update(
    task_ignore_result=True,
    task_acks_late=os.environ.get("BENCH_ACKS_LATE", "1") == "1",
    worker_prefetch_multiplier=int(os.environ.get("BENCH_PREFETCH", "64")),
    task_default_queue="bench-webhooks",
    broker_connection_retry_on_startup=True,
)

_deliverer: list[Deliverer] = []


@worker_process_init.connect
def _after_fork(**_: Any) -> None:
    """Give each process of the pool connections of its own."""
    _deliverer.append(Deliverer())


@app.task(bind=True, max_retries=9, name="bench.deliver")
def deliver(self: Task, delivery_id: int) -> None:
    """Send one webhook; try again later if that failed."""
    if not _deliverer[0].deliver(delivery_id):
        raise self.retry(countdown=5 * 4**self.request.retries)
