"""The doorbell over Huey: rings and hears queues kept in SQLite, Redis, PostgreSQL or memory."""

from __future__ import annotations

import logging
import os
import re
import weakref
from collections.abc import Callable, Collection

from claimnotify.dispatch.backends import backend_for
from claimnotify.dispatch.consumer import HueyConsumer
from claimnotify.dispatch.location import parse_queue_url
from claimnotify.dispatch.outage import OutageLog
from claimnotify.dispatch.ringer import Ringer
from claimnotify.dispatch.rings import RingQueue
from claimnotify.dispatch.serializer import SignedJsonSerializer
from claimnotify.errors import ConfigurationError
from claimnotify.model.queues import QUEUES

__all__ = ["HueyDispatcher"]

_FINISH_SECONDS = 1.0
_WORD = re.compile(r"[A-Za-z0-9_]{1,40}")

_logger = logging.getLogger(__name__)


class HueyDispatcher:
    """Rings through Huey; see `claimnotify.ports.Dispatcher`.

    Nothing is opened before the first ring, so that an application starts while its queue's server
    is down. Works on in a forked child. What was rung shortly before the process ends still goes
    out, within a second.

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
        for field, name in [("namespace", namespace), *(("queues", name) for name in queues)]:
            if not _WORD.fullmatch(name):
                raise ConfigurationError(
                    field, f"{name!r} is malformed", "Use up to 40 letters, digits and underscores."
                )
        self._location = parse_queue_url(queue_url)
        self._backend = backend_for(self._location, ring_timeout=ring_timeout)
        self._serializer = SignedJsonSerializer(signing_key)
        self._queues = frozenset(queues)
        self._namespace = namespace
        # One per process: a thread, its locks and its connections do not survive a fork. The
        # parent's is kept, so that its connections are not closed by the child.
        self._ringers: dict[int, Ringer] = {}
        self._finish = weakref.finalize(self, _finish, self._ringers)

    @property
    def location(self) -> str:
        """Where the rings are kept, without the password."""
        return self._location.printable

    def ring(self, queue: str) -> None:
        """Wake a worker for `queue`. Never raises, never blocks; a lost ring costs latency only."""
        if queue not in self._queues:
            _logger.warning("There is no queue %r to ring.", queue)
            return
        if not self._finish.alive:
            return
        process = os.getpid()
        ringer = self._ringers.get(process)
        if ringer is None:
            ringer = self._ringers.setdefault(process, self._ringer())
        ringer.ring(queue)

    def consumer(self, queues: Collection[str], on_ring: Callable[[str], None]) -> HueyConsumer:
        """Return a consumer of `queues`; whoever asked for it stops it.

        Args:
            queues: What to listen to.
            on_ring: Called with the queue's name, on a thread of the consumer; ought to return
                soon, as it keeps the queue's next ring waiting.

        Raises:
            ConfigurationError: If there is no such queue.
        """
        unknown = sorted(set(queues) - self._queues)
        if unknown:
            known = ", ".join(sorted(self._queues))
            raise ConfigurationError("queues", f"there is no {unknown[0]!r}", f"There are {known}.")
        outage = OutageLog(
            _logger,
            self._location,
            consequence="Until it returns, workers look at the database once a second instead.",
        )
        rings = [
            RingQueue(
                queue,
                namespace=self._namespace,
                storage=self._backend.listening(f"{self._namespace}_{queue}"),
                serializer=self._serializer,
                on_ring=on_ring,
            )
            for queue in dict.fromkeys(queues)
        ]
        return HueyConsumer(rings, outage=outage)

    def close(self) -> None:
        """Ring what is still to be rung, for a second at most, and let go of connections.

        Rings after this are ignored. A second call does nothing.
        """
        self._finish()

    def _ringer(self) -> Ringer:
        backend, namespace, serializer = self._backend, self._namespace, self._serializer

        def open_queue(queue: str) -> RingQueue:  # holds no reference to the dispatcher
            return RingQueue(
                queue,
                namespace=namespace,
                storage=backend.ringing(f"{namespace}_{queue}"),
                serializer=serializer,
            )

        outage = OutageLog(
            _logger,
            self._location,
            consequence="Nothing is lost: workers find in the database what is due, a second later.",
        )
        return Ringer(open_queue, outage=outage)


def _finish(ringers: dict[int, Ringer]) -> None:
    """Finish this process's ringer: at `close`, when the dispatcher is forgotten, or at exit."""
    ringer = ringers.get(os.getpid())
    if ringer is not None:
        ringer.finish(_FINISH_SECONDS)
