"""What every doorbell over queues does: rings on a thread, hears on others, lives through forks."""

from __future__ import annotations

import logging
import os
import re
import weakref
from collections.abc import Callable, Collection
from typing import ClassVar

from claimnotify.dispatch.consumer import HueyConsumer
from claimnotify.dispatch.outage import OutageLog, Place
from claimnotify.dispatch.ringer import Ringer
from claimnotify.dispatch.rings import RingQueue
from claimnotify.dispatch.serializer import SignedJsonSerializer
from claimnotify.dispatch.storages import Backend
from claimnotify.errors import ConfigurationError

__all__ = ["QueueDispatcher"]

_FINISH_SECONDS = 1.0
_WORD = re.compile(r"[A-Za-z0-9_]{1,40}")

_logger = logging.getLogger(__name__)


class QueueDispatcher:
    """Rings through the queues of one place; see `claimnotify.ports.Dispatcher`.

    Nothing is opened before the first ring, so that an application starts while its queue's server
    is down. Works on in a forked child. What was rung shortly before the process ends still goes
    out, within a second.

    Args:
        place: Where the queues are, for the log.
        backend: Makes the storages of that place.
        signing_key: The secret that applications and workers share; None: `sign_with` gives it.
        queues: The names that may be rung.
        namespace: Keeps apart deployments that share a place: letters, digits and underscores.

    Raises:
        ConfigurationError: If a name is malformed, or the key is empty.
    """

    outage_of_ringing: ClassVar[str] = (
        "Nothing is lost: workers find in the database what is due, a second later."
    )
    outage_of_listening: ClassVar[str] = (
        "Until it returns, workers look at the database once a second instead."
    )

    def __init__(
        self,
        *,
        place: Place,
        backend: Backend,
        signing_key: bytes | None,
        queues: Collection[str],
        namespace: str,
    ) -> None:
        for field, name in [("namespace", namespace), *(("queues", name) for name in queues)]:
            if not _WORD.fullmatch(name):
                raise ConfigurationError(
                    field, f"{name!r} is malformed", "Use up to 40 letters, digits and underscores."
                )
        self._place = place
        self._backend = backend
        self._serializer = None if signing_key is None else SignedJsonSerializer(signing_key)
        self._queues = frozenset(queues)
        self._namespace = namespace
        # One per process: a thread, its locks and its connections do not survive a fork. The
        # parent's is kept, so that its connections are not closed by the child.
        self._ringers: dict[int, Ringer] = {}
        self._finish = weakref.finalize(self, _finish, self._ringers)

    @property
    def location(self) -> str:
        """Where the rings are kept, without the password."""
        return self._place.printable

    def sign_with(self, key: bytes) -> None:
        """Sign and verify rings with `key`, unless a key was given before.

        Called by the notifier that is given this dispatcher, with its first secret key.
        """
        if self._serializer is None:
            self._serializer = SignedJsonSerializer(key)

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
            if self._serializer is None:
                _logger.warning("Queue %s is not rung: there is no key to sign with.", queue)
                return
            ringer = self._ringers.setdefault(process, self._ringer())
        ringer.ring(queue)

    def consumer(self, queues: Collection[str], on_ring: Callable[[str], None]) -> HueyConsumer:
        """Return a consumer of `queues`; whoever asked for it stops it.

        Args:
            queues: What to listen to.
            on_ring: Called with the queue's name, on a thread of the consumer; ought to return
                soon, as it keeps the queue's next ring waiting.

        Raises:
            ConfigurationError: If there is no such queue, or no key yet.
        """
        serializer = self.serializer()
        unknown = sorted(set(queues) - self._queues)
        if unknown:
            known = ", ".join(sorted(self._queues))
            raise ConfigurationError("queues", f"there is no {unknown[0]!r}", f"There are {known}.")
        outage = OutageLog(_logger, self._place, consequence=self.outage_of_listening)
        rings = [
            RingQueue(
                queue,
                namespace=self._namespace,
                storage=self._backend.listening(f"{self._namespace}_{queue}"),
                serializer=serializer,
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

    def serializer(self) -> SignedJsonSerializer:
        """Return what signs and verifies rings.

        Raises:
            ConfigurationError: If there is no key yet.
        """
        if self._serializer is None:
            remedy = "Give it, or give this dispatcher to Notifier.from_settings(dispatcher=…)."
            raise ConfigurationError("signing_key", "is missing", remedy)
        return self._serializer

    def _ringer(self) -> Ringer:
        backend, namespace, serializer = self._backend, self._namespace, self.serializer()

        def open_queue(queue: str) -> RingQueue:  # holds no reference to the dispatcher
            return RingQueue(
                queue,
                namespace=namespace,
                storage=backend.ringing(f"{namespace}_{queue}"),
                serializer=serializer,
            )

        outage = OutageLog(_logger, self._place, consequence=self.outage_of_ringing)
        return Ringer(open_queue, outage=outage)


def _finish(ringers: dict[int, Ringer]) -> None:
    """Finish this process's ringer: at `close`, when the dispatcher is forgotten, or at exit."""
    ringer = ringers.get(os.getpid())
    if ringer is not None:
        ringer.finish(_FINISH_SECONDS)
