"""The webhooks of events as an OpenAPI 3.1 document, for the receivers' tools."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Sequence
from typing import Any

from claimnotify.catalogue.examples import webhook_example_of
from claimnotify.catalogue.schemas import check_event_class, in_use, written_schemas
from claimnotify.model.events import Event, spec_of

__all__ = ["names_of", "openapi_of"]

_HEADERS = {
    "webhook-id": (
        (
            "Names the message. It is the same in every attempt and replay, so that what has been seen "
            "before can be left out."
        ),
        {"type": "string", "minLength": 1},
    ),
    "webhook-timestamp": (
        (
            "When this attempt began, in seconds since 1970-01-01 UTC. Refuse what is more than a few "
            "minutes away from now."
        ),
        {"type": "string", "pattern": "^[0-9]+$"},
    ),
    "webhook-signature": (
        (
            "One or more signatures, separated by spaces, each its version, a comma and Base64: of "
            "`webhook-id.webhook-timestamp.body`, by Standard Webhooks. One that is valid suffices."
        ),
        {"type": "string", "minLength": 1},
    ),
}
_RESPONSES = {
    "2XX": {"description": "Received. Nothing more is sent for this message."},
    "410": {"description": "Gone. The message fails, and the endpoint is disabled."},
    "default": {
        "description": "Not received. It is sent again later, not before a Retry-After of 429, 502, "
        "503 or 504 allows; but a redirect (3xx) is not followed and fails at once."
    },
}


def openapi_of(
    event_classes: Iterable[type[Event]], *, title: str = "Webhooks", version: str = "1.0.0"
) -> dict[str, Any]:
    """Return an OpenAPI 3.1 document with one webhook for each event class.

    Each is named by its type, and by type and version (`claim.approved-v2`) where there are several
    versions among the classes.

    Args:
        event_classes: The classes, in the order in which they are to be told of.
        title: The API's name.
        version: The API's version.

    Raises:
        InvalidEvent: One is no event class, or an abstract one.
        ConfigurationError: One has no JSON Schema or no example.
    """
    classes = list(event_classes)
    for event_class in classes:
        check_event_class(event_class)
    names, known = written_schemas(classes, "#/components/schemas/{model}") if classes else ({}, {})
    bodies = {_key(event_class): _body(event_class, names[event_class]) for event_class in classes}
    used = in_use(bodies, known)
    schemas = bodies | {name: each for name, each in known.items() if name in used}
    parameters = {
        name: {
            "name": name,
            "in": "header",
            "required": True,
            "description": description,
            "schema": schema,
        }
        for name, (description, schema) in _HEADERS.items()
    }
    called = names_of(classes)
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version},
        "webhooks": {called[each]: {"post": _operation(each, called[each])} for each in classes},
        "components": {"schemas": schemas, "parameters": parameters},
    }


def names_of(event_classes: Sequence[type[Event]]) -> dict[type[Event], str]:
    """Return what to call each class: its type, with the version where its type has several."""
    types = [spec_of(event_class).type for event_class in event_classes]
    return {
        event_class: _key(event_class) if types.count(type) > 1 else type
        for event_class, type in zip(event_classes, types, strict=True)
    }


def _key(event_class: type[Event]) -> str:
    # No name of a model ends so, nor does a type.
    return f"{spec_of(event_class).type}-v{spec_of(event_class).version}"


def _body(event_class: type[Event], name: str) -> dict[str, Any]:
    return {
        "title": f"{event_class.__name__} webhook",
        "type": "object",
        "properties": {
            "type": {"const": spec_of(event_class).type, "type": "string"},
            "timestamp": {
                "type": "string",
                "format": "date-time",
                "description": "When it happened.",
            },
            "data": {"$ref": f"#/components/schemas/{name}"},
        },
        "required": ["type", "timestamp", "data"],
    }


def _operation(event_class: type[Event], name: str) -> dict[str, Any]:
    spec = spec_of(event_class)
    text = inspect.cleandoc(event_class.__doc__ or "")
    operation: dict[str, Any] = {
        "operationId": name,
        "tags": [spec.category],
        "summary": text.partition("\n")[0] or spec.type,
    }
    if "\n" in text:
        operation["description"] = text
    return operation | {
        "parameters": [{"$ref": f"#/components/parameters/{header}"} for header in _HEADERS],
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": {"$ref": f"#/components/schemas/{_key(event_class)}"},
                    "example": webhook_example_of(event_class),
                }
            },
        },
        "responses": _RESPONSES,
    }
