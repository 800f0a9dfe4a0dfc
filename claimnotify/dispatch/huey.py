"""The doorbell over Huey: rings and hears queues kept in SQLite, Redis, PostgreSQL or memory."""

from __future__ import annotations

from collections.abc import Collection

from claimnotify.dispatch.backends import backend_for
from claimnotify.dispatch.dispatcher import QueueDispatcher
from claimnotify.dispatch.location import parse_queue_url
from claimnotify.model.queues import QUEUES

__all__ = ["HueyDispatcher"]


class HueyDispatcher(QueueDispatcher):
    """Rings through Huey; see `QueueDispatcher`.

    Args:
        queue_url: `sqlite:////path`, `redis://…`, `rediss://…`, `postgresql://…` or `memory://`.
        signing_key: The secret that applications and workers share.
        queues: The names that may be rung.
        ring_timeout: Seconds that the ringing thread waits for a server's answer.
        namespace: Keeps apart deployments that share a server: letters, digits and underscores.

    Raises:
        ConfigurationError: If the URL is not one of these, its driver is not installed, or a name
            is malformed. The message never contains a password.
    """

    def __init__(
        self,
        queue_url: str,
        *,
        signing_key: bytes,
        queues: Collection[str] = QUEUES,
        ring_timeout: float = 0.2,
        namespace: str = "claimnotify",
    ) -> None:
        location = parse_queue_url(queue_url)
        super().__init__(
            place=location,
            backend=backend_for(location, ring_timeout=ring_timeout),
            signing_key=signing_key,
            queues=queues,
            namespace=namespace,
        )
