"""An event's payload as JSON text, and what of it webhooks carry."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic_core import PydanticSerializationError, from_json

from claimnotify.errors import InvalidEvent
from claimnotify.model.events import Event, spec_of

__all__ = ["payload_json_of", "webhook_json_of", "written_keys"]


def payload_json_of(event: Event) -> str:
    """Return all fields as JSON text.

    Raises:
        InvalidEvent: They do not fit their types, or cannot be JSON.
    """
    return _written(event, None)


def webhook_json_of(event: Event) -> str | None:
    """Return the JSON text of what webhooks carry where that is less than all fields, or None.

    Raises:
        InvalidEvent: The fields do not fit their types, cannot be JSON, or a serialiser of the class
            writes others than webhooks are to carry.
    """
    fields = spec_of(event).webhook_fields
    if fields is None:
        return None
    text = _written(event, set(fields))
    written = from_json(text)
    if not isinstance(written, dict) or not written.keys() <= written_keys(type(event), fields):
        # What a class keeps from its webhooks must not get out through a serialiser.
        raise InvalidEvent(
            type(event).__name__,
            "its serialiser writes more than webhook_payload names",
            "Leave out what SerializationInfo.include does not name.",
        )
    return text


def _written(event: Event, include: set[str] | None) -> str:
    try:
        return event.model_dump_json(include=include, warnings="error")
    except (PydanticSerializationError, UnicodeError) as error:
        raise InvalidEvent(
            type(event).__name__,
            "its payload does not fit its fields or is not JSON",
            "Build events by calling the class, with text that is valid Unicode.",
        ) from error


def written_keys(event_class: type[Event], fields: Iterable[str]) -> set[str]:
    """Return the keys that these fields of the class are written under."""
    by_alias = event_class.model_config.get("serialize_by_alias")
    known: dict[str, Any] = {**event_class.model_fields}
    for name, computed in event_class.__pydantic_decorators__.computed_fields.items():
        known[name] = computed.info
    keys = set()
    for name in fields:
        alias = getattr(known[name], "serialization_alias", None) or known[name].alias
        keys.add(alias if by_alias and alias else name)
    return keys
