"""Examples of events: the author's own, or else derived from the type; the same ones every time."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError
from pydantic_core import PydanticSerializationError

from claimnotify.catalogue.deriving import KEY, Derivation, NoExample, Path
from claimnotify.catalogue.schemas import accepted_schema, check_event_class
from claimnotify.errors import ConfigurationError, InvalidEvent
from claimnotify.model.events import Event, spec_of
from claimnotify.model.webhook_bodies import webhook_body
from claimnotify.model.webhook_data import payload_json_of, webhook_json_of

__all__ = ["data_example_of", "example_of", "webhook_example_of"]

_MOMENT = datetime(2026, 1, 15, 9, 30, tzinfo=UTC)
_TRIES = 500
_REMEDY = "Give it an example that fits: Field(examples=[…])."


def example_of(event_class: type[Event]) -> Event:
    """Return an event of this class that could be notified, made up of examples.

    The first of `Field(examples=[…])` or of the class's `json_schema_extra={"examples": […]}` is taken
    where there is one. Everything else is derived from the types: defaults, dates and texts that fit
    their bounds, each choice's first, lists of one.

    Raises:
        InvalidEvent: It is no event class, or an abstract one.
        ConfigurationError: Nothing that fits was found, or the author's example does not; it names the
            field.
    """
    check_event_class(event_class)
    derivation = Derivation(accepted_schema(event_class))
    problem: tuple[Path, str] = ((), "nothing that fits was found")
    for _ in range(_TRIES):
        try:
            value = derivation.value()
        except NoExample as error:
            problem = (error.path, error.why)
            break
        try:
            return event_class.model_validate_json(json.dumps(value))
        except ValidationError as error:
            first = error.errors(include_url=False, include_context=False, include_input=False)[0]
            path = _reached(value, first["loc"])
            problem = (path or first["loc"], first["msg"])
            if not derivation.advance(path):
                break
    where = ".".join(str(part) for part in problem[0])
    raise ConfigurationError(
        f"event type {spec_of(event_class).type!r}",
        f"has no example for {where or 'the whole'}: {problem[1].rstrip('.')}",
        _REMEDY,
    )


def data_example_of(event_class: type[Event]) -> Any:
    """Return what a webhook carries of the example, its `data`, as JSON values.

    Raises:
        InvalidEvent: It is no event class, or an abstract one.
        ConfigurationError: There is no example, or it cannot be written.
    """
    return json.loads(_data_json(event_class))


def webhook_example_of(event_class: type[Event]) -> Any:
    """Return the body of a webhook that tells of the example, as JSON values.

    Raises:
        InvalidEvent: It is no event class, or an abstract one.
        ConfigurationError: There is no example, or it cannot be written.
    """
    return json.loads(
        webhook_body(spec_of(event_class).type, _MOMENT, _data_json(event_class)).decode()
    )


def _data_json(event_class: type[Event]) -> str:
    event = example_of(event_class)
    try:
        data = webhook_json_of(event)
        return payload_json_of(event) if data is None else data
    except (InvalidEvent, PydanticSerializationError) as error:
        problem = error.problem if isinstance(error, InvalidEvent) else "does not fit its fields"
        raise ConfigurationError(
            f"event type {spec_of(event_class).type!r}", f"its example: {problem}", _REMEDY
        ) from error


def _reached(value: Any, location: Sequence[str | int]) -> Path:
    """Return the path of what an error tells of; unions and validators put names of their own in it."""
    path: Path = ()
    inside: Any = None
    for part in location:
        if isinstance(value, dict) and part in value:
            inside, value = value, value[str(part)]
        elif isinstance(value, list) and isinstance(part, int) and part < len(value):
            value = value[part]
        elif part == KEY and path:
            return (*path[:-1], KEY, list(inside).index(path[-1]))
        else:
            continue
        path = (*path, part)
    return path
