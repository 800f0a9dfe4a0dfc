"""Keeps rings in a Celery application's broker: each is a task message that says nothing but "look"."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from celery import Celery

from claimnotify.dispatch.serializer import TASK_NAME
from claimnotify.dispatch.storages import CountedRings
from claimnotify.errors import ConfigurationError

__all__ = ["CeleryBackend", "CeleryBroker", "broker_queue"]

_TIMEOUTS = {
    "redis": ("socket_timeout", "socket_connect_timeout"),
    "amqp": ("read_timeout", "write_timeout"),
}
_FURTHER_OPTIONS = {"amqp": {"confirm_publish": True}}
"""RabbitMQ counts what it has confirmed."""
_EXPIRES_SECONDS = 60
_TRANSIENT = 1
_PRECONDITION_FAILED = 406  # AMQP 0-9-1: what is declared exists and is otherwise


def broker_queue(app: Celery, name: str) -> Any:
    """Return the `kombu.Queue` of that name as the application declares it, or would.

    Whoever declares a queue otherwise than the worker does is refused by RabbitMQ.
    """
    queues = app.amqp.queues
    return queues[name] if name in queues else queues.add(queues.new_missing(name))


@dataclass(frozen=True)
class CeleryBroker:
    """Where an application's broker is; see `claimnotify.dispatch.outage.Place`."""

    app: Celery = field(repr=False)

    @property
    def printable(self) -> str:
        """The broker's URL without its password. Reads the application's configuration."""
        return f"celery+{self.app.connection_for_write().as_uri()}"

    def redact(self, text: str) -> str:
        """Return `text` without the broker's password."""
        password = self.app.connection_for_write().password
        return text.replace(password, "***") if isinstance(password, str) and password else text


class CeleryBackend:
    """Makes storages in an application's broker; see `claimnotify.dispatch.storages.Backend`.

    Args:
        app: The application.
        ring_timeout: Seconds to wait for the broker's answer.
    """

    def __init__(self, app: Celery, *, ring_timeout: float) -> None:
        self._app = app
        self._ring_timeout = ring_timeout

    def ringing(self, name: str) -> CeleryRings:
        """Return a storage for the ringing thread."""
        return CeleryRings(self._app, name, timeout=self._ring_timeout)

    listening = ringing


class CeleryRings(CountedRings):
    """One of the broker's queues; see `claimnotify.dispatch.backends.RingStorage`.

    It has a connection of its own: the application's pool may be exhausted, and its retries, which
    are meant for messages that matter, wait for many seconds.

    Args:
        app: The application.
        name: The queue's name in the broker.
        timeout: Seconds to wait for the broker's answer.
    """

    blocking = False

    def __init__(self, app: Celery, name: str, *, timeout: float) -> None:
        self._app = app
        self._name = name
        self._timeout = timeout
        self._connection: Any = None
        self._queue: Any = None
        self._producer: Any = None

    def prepare(self) -> None:
        """Connect, and declare the queue.

        Raises:
            ConfigurationError: If the application is told to publish nothing, or the broker has the
                queue with other properties.
        """
        if self._connection is not None:
            return
        if self._app.conf.task_always_eager:
            problem = "is set, so that nothing is published and no worker is woken"
            remedy = "What is accepted waits in the database: call notifier.drain()."
            raise ConfigurationError("task_always_eager", problem, remedy)
        connection = self._app.connection_for_write(connect_timeout=self._timeout)
        kind = connection.transport.driver_type
        connection = connection.clone(
            transport_options={
                **connection.transport_options,
                **dict.fromkeys(_TIMEOUTS.get(kind, ()), self._timeout),
                **_FURTHER_OPTIONS.get(kind, {}),
            }
        )
        try:
            # Each of several brokers is tried once, at once.
            connection.ensure_connection(max_retries=len(connection.alt or ()), interval_start=0)
            channel = connection.default_channel
            self._queue = broker_queue(self._app, self._name)(channel)
            self._queue.declare()
            self._producer = self._app.amqp.Producer(channel, auto_declare=False)
        except BaseException as error:
            connection.release()
            if getattr(error, "code", None) != _PRECONDITION_FAILED:
                raise
            raise ConfigurationError(
                f"queue {self._name}",
                "exists in the broker with other properties than this application declares",
                "Delete it in the broker, or declare it alike everywhere, as in task_queues. What is"
                " accepted waits in the database until a worker looks there.",
            ) from error
        self._connection = connection

    def queue_size(self) -> int:
        """Return how many messages wait, as far as the broker can tell; it says 0 where it cannot."""
        return int(self._queue.queue_declare().message_count)

    def enqueue(self, data: bytes, priority: float | None = None) -> None:
        """Publish a ring: transient, and void after a minute.

        So much, and at the rate at which the ringing thread rings, is the most that heaps up in a
        broker that cannot count its messages.
        """
        self._app.send_task(
            TASK_NAME,
            args=[data.decode("ascii")],
            queue=self._queue,
            producer=self._producer,
            retry=False,
            ignore_result=True,
            add_to_parent=False,
            expires=_EXPIRES_SECONDS,
            delivery_mode=_TRANSIENT,
        )

    def dequeue(self) -> bytes | None:
        """Take the oldest message and return the ring in it; empty if there is none in it."""
        message = self._queue.get(no_ack=True, accept=self._app.conf.accept_content)
        return None if message is None else _ring_in(message)

    def close(self) -> None:
        """Let go of the connection; `prepare` makes another."""
        connection, self._connection = self._connection, None
        self._queue = self._producer = None
        if connection is not None:
            connection.release()


def _ring_in(message: Any) -> bytes:
    """Return the first argument of a task message, of either protocol of Celery's."""
    try:
        body = message.payload
        arguments = body["args"] if isinstance(body, dict) else body[0]
        return str(arguments[0]).encode("ascii")
    except Exception:  # whatever the broker holds: it is no ring, and is dropped as such
        return b""
