"""Makes the requests of `notify_many`: one for each recipient, in chunks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from claimnotify.delivery.requests import Request
from claimnotify.errors import InvalidEvent, InvalidInput, InvalidRecipient
from claimnotify.model.checks import is_series
from claimnotify.model.events import Event
from claimnotify.model.recipients import Recipient

__all__ = ["chunks_of_requests"]

_CHUNK = 100


def chunks_of_requests(
    event_for: Any, *, to: Any, key_for: Any, at: datetime | None, delay: timedelta | None
) -> Iterator[list[Request]]:
    """Return the requests in chunks, each made when it is asked for.

    Args:
        event_for: The event, or what makes it for a recipient.
        to: The recipients; any iterable, read once.
        key_for: Makes each one's idempotency key, or None.
        at: When to send, or None.
        delay: How long to wait before sending, or None.

    Raises:
        InvalidInput: An argument is of the wrong kind: at once. A recipient is, or has no key: when
            its chunk is made.
    """
    if not is_series(to):
        raise InvalidRecipient("to", f"is a {type(to).__name__}", "Give Recipients.")
    if isinstance(event_for, type) and issubclass(event_for, Event):
        raise InvalidEvent("event_for", "is an event class", "Give an event of it, or a function.")
    if not isinstance(event_for, Event) and not callable(event_for):
        raise InvalidEvent(
            "event_for", f"is a {type(event_for).__name__}", "Give an event or a function."
        )
    if key_for is not None and not callable(key_for):
        raise InvalidInput(
            "idempotency_key_for", f"is a {type(key_for).__name__}", "Give a function."
        )
    return _chunks(event_for, to, key_for, at, delay)


def _chunks(
    event_for: Any, to: Iterable[Any], key_for: Any, at: datetime | None, delay: timedelta | None
) -> Iterator[list[Request]]:
    source = iter(to)
    while chunk := list(islice(source, _CHUNK)):
        requests = []
        for each in chunk:
            if not isinstance(each, Recipient):
                raise InvalidRecipient("to", f"has a {type(each).__name__}", "Give Recipients.")
            key = None
            if key_for is not None and (key := key_for(each)) is None:
                raise InvalidInput(
                    "idempotency_key_for", "returned None", "Return a key for each recipient."
                )
            requests.append(
                Request(
                    event=event_for if isinstance(event_for, Event) else event_for(each),
                    recipient=each,
                    owner=each.id,
                    idempotency_key=key,
                    at=at,
                    delay=delay,
                )
            )
        yield requests
