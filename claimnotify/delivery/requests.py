"""Requests to accept events, and what of them can be checked before anything is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from pydantic_core import PydanticSerializationError

from claimnotify.errors import InvalidEvent, InvalidInput
from claimnotify.model.events import Event, spec_of
from claimnotify.model.messages import Attachment
from claimnotify.model.recipients import Recipient, check_identifier
from claimnotify.policy.routing import by_endpoint, channels_of
from claimnotify.ports import Channel

__all__ = ["Checked", "Request", "check_request", "check_times"]

_MAX_PAYLOAD = 1024 * 1024
_LAST_YEAR = 9000
_LONGEST = timedelta(days=36_525)
_MAX_ATTACHMENTS = 20 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One event to accept.

    Args:
        event: What happened.
        recipient: Whom to tell, or None to publish to `owner`'s endpoints alone.
        owner: The recipient's id, or the owner published to.
        idempotency_key: Names this one request, or None.
        at: When to send, aware; None for at once.
        delay: How long to wait before sending, instead of `at`.
        expires: When sending becomes pointless, or how long after now.
        attachments: Files for channels that carry them.
        ordering_key: Its deliveries follow earlier ones under this key to the same endpoint or
            address, in the order of the commits; None for no order.
        ordering_strict: Whether one that fails holds up those after it until it has come to its
            end; otherwise they go on while it waits for its next attempt.
    """

    event: Event
    recipient: Recipient | None
    owner: str
    idempotency_key: str | None = None
    at: datetime | None = None
    delay: timedelta | None = None
    expires: datetime | timedelta | None = None
    attachments: Sequence[Attachment] = ()
    ordering_key: str | None = None
    ordering_strict: bool = False


@dataclass(frozen=True, slots=True)
class Checked:
    """A request that is in order, with its payload as JSON and the channels its event names."""

    request: Request
    payload_json: str
    channels: Sequence[Channel]


def check_request(request: Request, channels: Mapping[str, Channel]) -> Checked:
    """Check what can be checked without the database.

    Raises:
        InvalidInput: Something is malformed.
        UnknownChannel: The event names a channel that is not installed.
    """
    if not isinstance(request.event, Event):
        raise InvalidEvent(
            "event", f"is a {type(request.event).__name__}", "Give an instance of an Event."
        )
    spec = spec_of(request.event)
    named = channels_of(spec, channels)
    if request.recipient is None:
        named = [channel for channel in named if by_endpoint(channel)]
        if not named:
            raise InvalidEvent(
                "event",
                f"{spec.type} names no channel that delivers to endpoints",
                'Publish events with channels=("webhook", …).',
            )
    if request.idempotency_key is not None:
        check_identifier(request.idempotency_key, "idempotency_key")
    if request.ordering_key is not None:
        check_identifier(request.ordering_key, "ordering_key")
    check_times(at=request.at, delay=request.delay, expires=request.expires)
    if sum(len(each.content) for each in request.attachments) > _MAX_ATTACHMENTS:
        raise InvalidInput("attachments", "are larger than 20 MiB together", "Send a link instead.")
    return Checked(request, _payload(request.event), named)


def check_times(*, at: object = None, delay: object = None, expires: object = None) -> None:
    """Check when something is to be done, and until when.

    Raises:
        InvalidInput: One is of the wrong kind or out of range, or `at` and `delay` are both given.
    """
    for name, value, kinds in (
        ("at", at, (datetime,)),
        ("delay", delay, (timedelta,)),
        ("expires", expires, (datetime, timedelta)),
    ):
        if value is not None and not isinstance(value, kinds):
            wanted = " or ".join(kind.__name__ for kind in kinds)
            raise InvalidInput(name, f"is a {type(value).__name__}", f"Give a {wanted}.")
    if at is not None and delay is not None:
        raise InvalidInput("at", "is given together with delay", "Give one of the two.")
    for name, moment in (("at", at), ("expires", expires)):
        if isinstance(moment, datetime):
            if moment.utcoffset() is None:
                remedy = "Give an aware datetime, in UTC for one."
                raise InvalidInput(name, "has no time zone", remedy)
            if not 1970 <= moment.year <= _LAST_YEAR:
                raise InvalidInput(name, "is out of range", "Give a year from 1970 to 9000.")
    for name, span in (("delay", delay), ("expires", expires)):
        if isinstance(span, timedelta) and not timedelta(0) <= span <= _LONGEST:
            raise InvalidInput(
                name, "is negative or too long", "Give a timedelta from zero to 100 years."
            )


def _payload(event: Event) -> str:
    missing = sorted(type(event).model_fields.keys() - event.__dict__.keys())
    if missing:
        raise InvalidEvent(missing[0], "is missing from the payload", "Give the event this field.")
    try:
        text = event.model_dump_json(warnings="error")
    except (PydanticSerializationError, UnicodeError) as error:
        raise InvalidEvent(
            type(event).__name__,
            "its payload does not fit its fields or is not JSON",
            "Build events by calling the class, with text that is valid Unicode.",
        ) from error
    if len(text) > _MAX_PAYLOAD:
        raise InvalidEvent(
            type(event).__name__, "its payload is larger than 1 MiB", "Send ids or a link instead."
        )
    return text
