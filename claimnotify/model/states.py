"""The states of a delivery, what each means, and which may follow which."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["LEGAL", "TERMINAL", "AttemptOutcome", "DeliveryStatus", "Reason"]


class DeliveryStatus(StrEnum):
    """Where a delivery is in its life."""

    SCHEDULED = "scheduled"
    """Accepted, due later."""
    PENDING = "pending"
    """Due, or waiting for its next attempt."""
    SENDING = "sending"
    """Leased by a worker."""
    PARKED = "parked"
    """Held back: its endpoint is blocked, or another goes first under its ordering key."""
    SENT = "sent"
    """A transport accepted it; where no feedback comes, this is the end."""
    DELIVERED = "delivered"
    """Confirmed: a webhook's 2xx, an inbox row, a provider's callback."""
    FAILED = "failed"
    """Given up: out of attempts, refused for good, or reported as bounced."""
    SKIPPED = "skipped"
    """Deliberately not sent."""
    CANCELLED = "cancelled"
    """Called back before it was sent."""
    EXPIRED = "expired"
    """Not sent before its `expires`."""


class Reason(StrEnum):
    """Why a delivery is in its state. Channels may add reasons of their own."""

    QUEUED = "queued"
    """Waiting for a worker."""
    SCHEDULED = "scheduled"
    """The caller asked for a later time."""
    LEASED = "leased"
    """A worker has it."""
    RETRY = "retry"
    """The last attempt failed; the next is due at `due_at`."""
    RELEASED = "released"
    """A worker gave it back unsent, for example because it was stopped."""
    OUT_OF_TURN = "out_of_turn"
    """Another delivery goes first under its ordering key."""
    ENDPOINT_BLOCKED = "endpoint_blocked"
    """Its endpoint keeps failing; it is tried again now and then, and this waits meanwhile."""
    RATE_LIMITED = "rate_limited"
    """Its endpoint's rate limit is used up for the moment."""
    ENDPOINT_BUSY = "endpoint_busy"
    """Its endpoint has as many deliveries under way as it can take."""
    UNKNOWN_WORK = "unknown_work"
    """This worker lacks the channel or the template; another may have it."""
    ACCEPTED = "accepted"
    """The transport took it."""
    CONFIRMED = "confirmed"
    """The receiver confirmed it."""
    CHANNEL_NOT_CONFIGURED = "channel_not_configured"
    """The channel's settings are absent."""
    NOTIFICATIONS_DISABLED = "notifications_disabled"
    """NOTIFICATIONS_ENABLED is false."""
    NO_ADDRESS = "no_address"
    """The recipient has no address for the channel."""
    NO_ENDPOINT = "no_endpoint"
    """The owner has no enabled endpoint for this event type."""
    ENDPOINT_DISABLED = "endpoint_disabled"
    """The endpoint was disabled or deleted after the event was accepted."""
    ENDPOINT_GONE = "endpoint_gone"
    """The endpoint answered 410 Gone."""
    FAILING = "failing"
    """Of an endpoint that is disabled: nothing but failure came from it for days."""
    OUR_FAULT = "our_fault"
    """Told to the operators of an endpoint: a fault on our side used up a delivery's attempts."""
    FORBIDDEN_DESTINATION = "forbidden_destination"
    """The egress guard refused the address."""
    CANCELLED = "cancelled"
    """`cancel()` was called."""
    EXPUNGED = "expunged"
    """Its payload was removed."""
    EXPIRED = "expired"
    """Its `expires` passed."""
    EXHAUSTED = "exhausted"
    """Every attempt of the schedule failed."""
    REJECTED = "rejected"
    """The receiver or transport refused it for good."""
    TEMPLATE_ERROR = "template_error"
    """Its template failed to render."""
    UNKNOWN_OUTCOME = "unknown_outcome"
    """It may have gone out, and `on_unknown` is "fail"."""
    POISON = "poison"
    """It killed its worker repeatedly while it was the only work in hand."""


class AttemptOutcome(StrEnum):
    """How one try ended."""

    SENT = "sent"
    """The transport accepted it."""
    DELIVERED = "delivered"
    """The receiver confirmed it."""
    TRANSIENT = "transient"
    """Failed in a way that may pass."""
    PERMANENT = "permanent"
    """Failed for good."""
    UNKNOWN = "unknown"
    """It may have gone out."""


_S = DeliveryStatus

TERMINAL = frozenset({_S.DELIVERED, _S.FAILED, _S.SKIPPED, _S.CANCELLED, _S.EXPIRED})
"""States nothing follows. `sent` joins them where a channel gives no feedback."""

_ENDINGS = frozenset({_S.SKIPPED, _S.CANCELLED, _S.EXPIRED, _S.FAILED})

LEGAL: dict[DeliveryStatus, frozenset[DeliveryStatus]] = {
    # A scheduled delivery becomes pending at its time; the lease that finds it due does both steps.
    _S.SCHEDULED: frozenset({_S.PENDING, _S.SENDING, _S.CANCELLED, _S.EXPIRED}),
    _S.PENDING: frozenset({_S.SENDING, _S.PARKED, *_ENDINGS}),
    # A lease that expired is taken over: sending follows sending, under another token.
    _S.SENDING: frozenset({_S.SENDING, _S.SENT, _S.DELIVERED, _S.PENDING, _S.PARKED, *_ENDINGS}),
    # What is parked is looked at after some hours in any case.
    _S.PARKED: frozenset({_S.PENDING, _S.SENDING, *_ENDINGS}),
    _S.SENT: frozenset({_S.DELIVERED, _S.FAILED}),
    **{state: frozenset() for state in TERMINAL},
}
"""Which state may follow which; nothing else is ever written."""
