"""Requests to accept events, and what of them can be checked before anything is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from claimnotify.delivery.sizes import WebhookSizes
from claimnotify.errors import InvalidEvent
from claimnotify.model.checks import check_flag, check_times
from claimnotify.model.endpoint_options import check_tags
from claimnotify.model.events import Event, spec_of
from claimnotify.model.messages import Attachment, check_attachments
from claimnotify.model.recipients import Recipient, check_identifier
from claimnotify.model.webhook_data import payload_json_of, webhook_json_of
from claimnotify.policy.routing import by_endpoint, channels_of
from claimnotify.ports import Channel

__all__ = ["Checked", "Request", "check_request"]

_MAX_PAYLOAD = 1024 * 1024
"""In bytes of UTF-8."""


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
        tags: What endpoints with tags of their own choose by.
        endpoint_id: The one endpoint of the owner's to tell, whatever it subscribes to; None for
            all that want the event.
        channels: Those of the event's channels to use, as far as they are installed; None for all,
            which then have to be.
        but_endpoint: The id of an endpoint that is not to get it, or None.
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
    tags: Sequence[str] = ()
    endpoint_id: str | None = None
    channels: tuple[str, ...] | None = None
    but_endpoint: str | None = None


@dataclass(frozen=True, slots=True)
class Checked:
    """A request that is in order: its payload as JSON, the channels its event names, files, tags.

    What webhooks carry stands in `webhook_json` where that is less than the payload.
    """

    request: Request
    payload_json: str
    channels: Sequence[Channel]
    attachments: Sequence[Attachment]
    tags: Sequence[str]
    webhook_json: str | None = None


def check_request(
    request: Request, channels: Mapping[str, Channel], sizes: WebhookSizes
) -> Checked:
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
    if request.endpoint_id is not None:
        named = [channel for channel in channels.values() if by_endpoint(channel)]
    elif request.channels is None:
        named = channels_of(spec, channels)
    else:
        wanted = [name for name in spec.channels if name in request.channels]
        named = [channels[name] for name in wanted if name in channels]
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
    check_flag(request.ordering_strict, "ordering_strict")
    files = check_attachments(request.attachments)
    tags = check_tags(request.tags)
    payload = _payload(request.event)
    data = None
    if any(by_endpoint(channel) for channel in named):
        data = webhook_json_of(request.event)
        sizes.check(request.event, payload if data is None else data)
    return Checked(request, payload, named, files, tags, data)


def _payload(event: Event) -> str:
    missing = sorted(type(event).model_fields.keys() - event.__dict__.keys())
    if missing:
        raise InvalidEvent(missing[0], "is missing from the payload", "Give the event this field.")
    text = payload_json_of(event)
    if len(text.encode()) > _MAX_PAYLOAD:
        raise InvalidEvent(
            type(event).__name__, "its payload is larger than 1 MiB", "Send ids or a link instead."
        )
    return text
