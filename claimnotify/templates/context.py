"""The names every template sees beside its event's fields."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from claimnotify.model.notifications import Notification
from claimnotify.model.recipients import Recipient

__all__ = ["RESERVED", "EventView", "recipient_of", "values_for"]

_GETTEXT = frozenset({"_", "gettext", "ngettext", "npgettext", "pgettext"})

RESERVED = _GETTEXT | {"brand", "event", "language", "public_url", "recipient", "written"}
"""Names that never mean a field; such a field is at `event.payload`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventView:
    """What templates see of the event as a whole.

    Args:
        type: Its type.
        version: Its payload's version.
        subject: The id of the thing it is about, or None.
        created_at: When it was accepted, UTC.
        payload: Its fields as JSON values, also those whose names are reserved.
    """

    type: str
    version: int
    subject: str | None
    created_at: datetime
    payload: dict[str, Any] = field(repr=False)


def recipient_of(notification: Notification) -> Recipient:
    """Return the recipient, or one of the owner's id where it was published to an owner."""
    return notification.recipient or Recipient(id=notification.owner)


def values_for(notification: Notification) -> dict[str, Any]:
    """Return what a template of `notification` sees, except what is the same for all."""
    payload = notification.payload
    values = {name: value for name, value in payload.items() if name not in RESERVED}
    values["event"] = EventView(
        type=notification.event_type,
        version=notification.event_version,
        subject=notification.subject,
        created_at=notification.created_at,
        payload=payload,
    )
    values["recipient"] = recipient_of(notification)
    values["written"] = None
    return values
