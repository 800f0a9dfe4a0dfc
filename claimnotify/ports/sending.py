"""The seams on the way out: channels, HTTP, rendering, the doorbell. Protocols only."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import Any, Protocol

from claimnotify.model.events import Event
from claimnotify.model.http import HttpRequest, HttpResponse
from claimnotify.model.messages import Message
from claimnotify.model.notifications import Delivery, Notification, Receipt
from claimnotify.model.recipients import Recipient
from claimnotify.ports.endpoints import EndpointDirectory

__all__ = [
    "Channel",
    "ChannelContext",
    "Cipher",
    "Clock",
    "Consumer",
    "Dispatcher",
    "HttpEngine",
    "Renderer",
]


class Clock(Protocol):
    """The one clock: the database's time, plus an offset that only tests set."""

    def now(self) -> datetime:
        """Return the time, aware, in UTC."""


class HttpEngine(Protocol):
    """The one way out over HTTP: kept connections, total deadline, body cap, egress guard."""

    async def send(self, request: HttpRequest) -> HttpResponse:
        """Send `request` and return the response, whatever its status; follow no redirect.

        Raises:
            ForbiddenDestination: The guard refuses the URL or an address of its host.
            ConnectFailed: Nothing was sent.
            DeadlineExceeded: The deadline passed; `sent` says whether the request was under way.
            ResponseBroken: The peer broke off after the request had gone out.
        """

    async def aclose(self) -> None:
        """Close every connection. Called on the loop that used the engine."""


class Cipher(Protocol):
    """Encrypts what is stored and must not be readable in a dump of the database."""

    def encrypt(self, plaintext: bytes, *, context: str) -> str:
        """Return a text that only `decrypt` with the same `context` can read."""

    def decrypt(self, ciphertext: str, *, context: str) -> bytes:
        """Return the plaintext.

        Raises:
            ConfigurationError: No key of ours fits, or `context` is another.
        """


@dataclass(frozen=True, kw_only=True)
class ChannelContext:
    """What a channel's factory is given.

    Args:
        settings: The `Settings`; a channel reads its own part.
        http: Makes an engine under an egress policy (None: unrestricted, for operators' hosts).
        endpoints: The registered webhook endpoints.
        random: Randomness for jitter.
        clock: The clock.
    """

    settings: Any = field(repr=False)
    http: Callable[[Any], HttpEngine]
    endpoints: EndpointDirectory
    random: Random
    clock: Clock


class Channel(Protocol):
    """A medium that carries a rendered Message to a Recipient.

    An entry point in group `claimnotify.channels` is a `factory(ChannelContext) -> Channel`. The
    factory opens no connection; it raises ConfigurationError when settings are half set.

    A channel may also have `concurrency`, how many sends it takes at once; `on_unknown`, "retry" or
    "fail", for sends that may have gone; and `by_endpoint`, true if it delivers to endpoints.
    """

    name: str
    ready: bool
    """False when the channel's settings are absent: its deliveries are skipped."""
    attempt_deadline: timedelta
    """The longest `send` may take; enforced by the worker as well."""

    def addresses(self, recipient: Recipient) -> Sequence[str]:
        """Return where the recipient can be reached over this channel; empty if nowhere."""

    async def send(self, message: Message, delivery: Delivery) -> Receipt:
        """Hand `message` over.

        Raises:
            TransientDeliveryError: Try again later, perhaps not before `retry_after`.
            PermanentDeliveryError: Do not try again.
            UnknownOutcome: It may have gone.
            DeliverySkipped: It should not be sent.
        """

    async def open(self) -> None:
        """Prepare; called once on the worker's loop before the first send."""

    async def aclose(self) -> None:
        """Close connections; called once on the worker's loop."""


class Renderer(Protocol):
    """Turns a notification into the message for one channel."""

    def render(self, notification: Notification, channel: str) -> Message:
        """Return the content in the recipient's language.

        Raises:
            TemplateError: The template is broken or asks for what the payload lacks.
        """

    def check(self, events: Iterable[type[Event]]) -> None:
        """Check every template against the schema of its event.

        Raises:
            TemplateError: A template does not parse or names a variable the event does not have.
        """


class Consumer(Protocol):
    """Listens for rings in this process."""

    def start(self) -> None:
        """Begin; returns at once."""

    def stop(self) -> None:
        """Stop and wait for the listening threads."""


class Dispatcher(Protocol):
    """The doorbell. A lost ring costs latency only: the database is the truth.

    A dispatcher may also have `sign_with(key)`; a notifier that is given it calls that with its
    first secret key.
    """

    def ring(self, queue: str) -> None:
        """Wake a worker for `queue`. Never raises, never blocks on the network."""

    def consumer(self, queues: Collection[str], on_ring: Callable[[str], None]) -> Consumer:
        """Return a consumer that calls `on_ring(queue)` on a thread of its own."""

    def close(self) -> None:
        """Ring what is still to be rung and let go of connections."""
