"""JSON Schema of events, draft 2020-12: of what is written, and of what an event class accepts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from pydantic.errors import PydanticUserError
from pydantic.json_schema import GenerateJsonSchema, models_json_schema

from claimnotify.catalogue.deriving import UNKNOWN
from claimnotify.errors import ConfigurationError, InvalidEvent
from claimnotify.model.events import Event, spec_of
from claimnotify.model.webhook_data import written_keys

__all__ = ["accepted_schema", "check_event_class", "in_use", "schema_of", "written_schemas"]

_QUIET = {"skipped-choice", "non-serializable-default"}


def schema_of(event_class: type[Event], *, full: bool = False) -> dict[str, Any]:
    """Return the JSON Schema of what webhooks carry of an event, their `data`.

    It is the one that pydantic makes for what is written (its serialization mode), but for two things:
    every field that is always written is required, though the class has a default for it; and more
    fields are allowed, as those may be added without a new version.

    Args:
        event_class: The class.
        full: Tell of all fields, though the class gives webhooks less of them (`webhook_payload=`).

    Raises:
        InvalidEvent: It is no event class, or an abstract one.
        ConfigurationError: A field is of a type that has no JSON Schema, or needs a package that is
            not installed.
    """
    check_event_class(event_class)
    names, schemas = written_schemas([event_class], "#/$defs/{model}", full=full)
    definitions = {key: each for key, each in schemas.items() if key != names[event_class]}
    root = schemas[names[event_class]]
    used = in_use(root, schemas)
    schema: dict[str, Any] = {"$schema": GenerateJsonSchema.schema_dialect}
    if names[event_class] in used:  # it contains itself
        return schema | {"$ref": f"#/$defs/{names[event_class]}", "$defs": _only(schemas, used)}
    schema |= root
    return schema | {"$defs": _only(definitions, used)} if used else schema


def written_schemas(
    event_classes: Sequence[type[Event]], template: str, *, full: bool = False
) -> tuple[dict[type[Event], str], dict[str, Any]]:
    """Return the name of each class's schema, and all schemas by name, nested ones too.

    Equally named models get names that tell them apart.

    Args:
        event_classes: The classes.
        template: How one schema refers to another, with `{model}`.
        full: Tell of all fields of classes that give webhooks less.

    Raises:
        ConfigurationError: A field is of a type that has no JSON Schema.
    """
    for event_class in event_classes:
        _build(event_class)
    try:
        references, found = models_json_schema(
            [(event_class, "serialization") for event_class in event_classes],
            by_alias=False,
            ref_template=template,
            schema_generator=_Written,
        )
    except PydanticUserError as error:
        if len(event_classes) > 1:
            for event_class in event_classes:  # to name the one that is at fault
                written_schemas([event_class], template)
        raise _no_schema(event_classes, error) from error
    schemas = dict(found.get("$defs", {}))
    names: dict[type[Event], str] = {}
    for event_class in event_classes:
        name = references[event_class, "serialization"]["$ref"].rpartition("/")[2]
        fields = None if full else spec_of(event_class).webhook_fields
        names[event_class] = name
        if fields is not None:
            names[event_class] = f"{name}-thin"
            schemas[f"{name}-thin"] = _thin(schemas[name], event_class, fields)
    return names, schemas


def accepted_schema(event_class: type[Event]) -> dict[str, Any]:
    """Return the JSON Schema of what the class accepts, to derive an example from.

    Types that have none are marked and not refused: their fields may have examples of their own.

    Raises:
        ConfigurationError: The class cannot be built.
    """
    _build(event_class)
    by_alias = event_class.model_config.get("validate_by_alias") is not False
    try:
        schema = event_class.model_json_schema(by_alias=by_alias, schema_generator=_Accepted)
    except PydanticUserError as error:
        raise _no_schema([event_class], error) from error
    if "$ref" in schema:  # it contains itself
        schema = {**schema["$defs"][schema["$ref"].rpartition("/")[2]], "$defs": schema["$defs"]}
    return schema


def in_use(schema: object, schemas: Mapping[str, Any]) -> set[str]:
    """Return the names of the schemas that `schema` refers to, and those that these do."""
    found: set[str] = set()
    new = set(_references(schema))
    while new:
        found |= new
        new = {name for each in new for name in _references(schemas[each])} - found
    return found


def check_event_class(event_class: object) -> None:
    """Raise unless this is a class of events that has a type.

    Raises:
        InvalidEvent: It is something else.
    """
    if not isinstance(event_class, type) or not issubclass(event_class, Event):
        kind = type(event_class).__name__
        raise InvalidEvent("event_class", f"is a {kind}", "Give a subclass of Event, not an event.")
    spec_of(event_class)


class _Written(GenerateJsonSchema):
    """Tells what is written: every field, under the name that serialising gives it."""

    ignored_warning_kinds = _QUIET  # type: ignore[assignment]  # a set of its literals

    def model_schema(self, schema: Any) -> dict[str, Any]:
        with self._names_of(schema["cls"].model_config):
            return _open(super().model_schema(schema))

    def dataclass_schema(self, schema: Any) -> dict[str, Any]:
        with self._names_of(getattr(schema["cls"], "__pydantic_config__", {})):
            return _open(super().dataclass_schema(schema))

    def typed_dict_schema(self, schema: Any) -> dict[str, Any]:
        return _open(super().typed_dict_schema(schema))

    def field_is_required(self, field: Any, total: bool) -> bool:
        if field["type"] == "typed-dict-field":
            return super().field_is_required(field, total)
        return field.get("serialization_exclude_if") is None

    @contextmanager
    def _names_of(self, config: Mapping[str, Any]) -> Iterator[None]:
        """Name the fields of a model as its own configuration says they are written."""
        before, self.by_alias = self.by_alias, bool(config.get("serialize_by_alias"))
        try:
            yield
        finally:
            self.by_alias = before


class _Accepted(GenerateJsonSchema):
    """Tells what is accepted, and marks what cannot be told."""

    ignored_warning_kinds = _QUIET  # type: ignore[assignment]  # a set of its literals

    def handle_invalid_for_json_schema(self, schema: Any, error_info: str) -> dict[str, Any]:
        return {UNKNOWN: error_info}


def _open(schema: dict[str, Any]) -> dict[str, Any]:
    if schema.get("additionalProperties") is False:
        del schema["additionalProperties"]
    return schema


def _thin(
    schema: Mapping[str, Any], event_class: type[Event], fields: Iterable[str]
) -> dict[str, Any]:
    """Return the schema with these fields only."""
    keys = written_keys(event_class, fields)
    properties = schema.get("properties", {})  # none where a serialiser makes what it likes
    left_out = ("examples", "example", "properties", "required")
    return {key: each for key, each in schema.items() if key not in left_out} | {
        "properties": {key: each for key, each in properties.items() if key in keys},
        "required": [key for key in schema.get("required", ()) if key in keys],
    }


def _build(event_class: type[Event]) -> None:
    try:
        event_class.model_rebuild()
    except (PydanticUserError, NameError) as error:
        raise _no_schema([event_class], error) from error
    except ImportError as error:  # as of EmailStr, whose package pydantic does not bring along
        raise ConfigurationError(
            f"event type {spec_of(event_class).type!r}",
            f"has a field whose type needs a package: {' '.join(str(error).split())}",
            "Install it here, too.",
        ) from error


def _no_schema(event_classes: Sequence[type[Event]], error: Exception) -> ConfigurationError:
    types = ", ".join(repr(spec_of(each).type) for each in event_classes)
    return ConfigurationError(
        f"event type {types}",
        f"has no JSON Schema: {str(error).splitlines()[0]}",
        "Give the field pydantic.PlainSerializer with a return_type, or pydantic.WithJsonSchema.",
    )


def _only(schemas: Mapping[str, Any], names: set[str]) -> dict[str, Any]:
    return {name: each for name, each in schemas.items() if name in names}


def _references(schema: object) -> Iterator[str]:
    if isinstance(schema, Mapping):
        reference = schema.get("$ref")
        if isinstance(reference, str):
            yield reference.rpartition("/")[2]
        for each in schema.values():
            yield from _references(each)
    elif isinstance(schema, Sequence) and not isinstance(schema, str):
        for each in schema:
            yield from _references(each)
