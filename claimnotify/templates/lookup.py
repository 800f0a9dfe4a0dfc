"""Which template renders which part of which event type: the names, in the order they are tried."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["CHANNEL_PARTS", "GENERIC", "Found", "candidates", "parts_of"]

GENERIC = "_generic"

CHANNEL_PARTS = {
    "email": ("email.subject.txt", "email.txt", "email.html"),
    "sms": ("sms.txt",),
    "in_app": ("in_app.title.txt", "in_app.txt", "in_app.url.txt"),
    "webhook": (),
}
"""The parts of each channel's message. A webhook's body is the event itself."""


@dataclass(frozen=True, slots=True)
class Found:
    """A template's name, and whether it was written for this event type."""

    name: str
    own: bool


def parts_of(channel: str) -> tuple[str, ...]:
    """Return the parts a channel's message is made of; one text for channels we do not know."""
    return CHANNEL_PARTS.get(channel, (f"{channel}.txt",))


def candidates(event_type: str, version: int, part: str) -> Iterator[Found]:
    """Yield the templates that could render `part`, best first.

    Those of this very version (`claim.approved@2/…`), of the type, then the generic ones. A channel
    that no template knows gets the text of an SMS.
    """
    known = any(part in parts for parts in CHANNEL_PARTS.values())
    for name in (part,) if known else (part, "sms.txt"):
        yield Found(f"{event_type}@{version}/{name}", own=True)
        yield Found(f"{event_type}/{name}", own=True)
        yield Found(f"{GENERIC}/{name}", own=False)
