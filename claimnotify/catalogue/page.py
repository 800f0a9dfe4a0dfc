"""The events as a page of Markdown: what each means, its fields, and an example of its webhook."""

from __future__ import annotations

import html
import inspect
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from claimnotify.catalogue.examples import webhook_example_of
from claimnotify.catalogue.openapi import names_of
from claimnotify.catalogue.schemas import check_event_class, schema_of
from claimnotify.model.events import Event, spec_of

__all__ = ["page_of"]

_LONGEST_CHOICE = 12


def page_of(event_classes: Iterable[type[Event]], *, title: str = "Webhooks") -> str:
    """Return a page with one section for each event class.

    Args:
        event_classes: The classes, in the order in which they are to be told of.
        title: The page's heading.

    Raises:
        InvalidEvent: One is no event class, or an abstract one.
        ConfigurationError: One has no JSON Schema or no example.
    """
    classes = list(event_classes)
    for event_class in classes:
        check_event_class(event_class)
    lines = [f"# {_text(title)}"]
    for event_class, name in names_of(classes).items():
        lines += ["", f"## `{name}`", "", *_section(event_class)]
    return "\n".join(lines) + "\n"


def _section(event_class: type[Event]) -> Iterator[str]:
    spec = spec_of(event_class)
    if event_class.__doc__:
        yield inspect.cleandoc(event_class.__doc__)
        yield ""
    yield f"Type `{spec.type}`, version {spec.version}, category `{spec.category}`."
    yield ""
    yield "| field | type | required | description |"
    yield "|---|---|---|---|"
    schema = schema_of(event_class)
    for name, each, required in _fields(schema, schema.get("$defs", {}), "", ()):
        kind = _text(_type(each, schema.get("$defs", {})))
        about = _text(_described(each, schema.get("$defs", {})))
        yield f"| `{name}` | {kind} | {'yes' if required else 'no'} | {about} |"
    example = json.dumps(webhook_example_of(event_class), indent=2, ensure_ascii=False)
    yield from ("", "```json", example, "```")


def _fields(
    schema: Mapping[str, Any], known: Mapping[str, Any], prefix: str, inside: tuple[str, ...]
) -> Iterator[tuple[str, Mapping[str, Any], bool]]:
    """Yield the fields of an object and of those in it: name, schema and whether it is required."""
    if "$ref" in schema and not prefix:
        schema = _target(schema, known)
    for name, each in schema.get("properties", {}).items():
        yield f"{prefix}{name}", each, name in schema.get("required", ())
        for step, reference in _objects(each, known):
            if reference not in inside:
                yield from _fields(
                    known[reference], known, f"{prefix}{name}{step}.", (*inside, reference)
                )


def _objects(schema: Mapping[str, Any], known: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the names of the objects that a field is, or is a list or a mapping of."""
    if "$ref" in schema:
        target = _target(schema, known)
        if "properties" in target:
            yield "", schema["$ref"].rpartition("/")[2]
        return
    for each in schema.get("anyOf", schema.get("oneOf", ())):
        yield from _objects(each, known)
    for step, inner in (("[]", "items"), (".*", "additionalProperties")):
        if isinstance(schema.get(inner), Mapping):
            for deeper, name in _objects(schema[inner], known):
                yield step + deeper, name


def _type(schema: Mapping[str, Any], known: Mapping[str, Any]) -> str:
    """Return in words what a value is."""
    if "$ref" in schema:
        target = _target(schema, known)
        return "object" if "properties" in target else _type(target, known)
    if "const" in schema:
        return json.dumps(schema["const"], ensure_ascii=False)
    if "enum" in schema:
        values = [json.dumps(value, ensure_ascii=False) for value in schema["enum"]]
        more = ["…"] if len(values) > _LONGEST_CHOICE else []
        return " or ".join(values[:_LONGEST_CHOICE] + more)
    several = schema.get("anyOf", schema.get("oneOf", ()))
    if several:
        return " or ".join(dict.fromkeys(_type(each, known) for each in several))
    kind = str(schema.get("type", "any"))
    if kind == "array" and isinstance(schema.get("items"), Mapping):
        return f"array of {_type(schema['items'], known)}"
    return f"{kind} ({schema['format']})" if "format" in schema else kind


def _described(schema: Mapping[str, Any], known: Mapping[str, Any]) -> str:
    about = schema.get("description") or (
        _target(schema, known).get("description", "") if "$ref" in schema else ""
    )
    return str(about)


def _target(schema: Mapping[str, Any], known: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = known[schema["$ref"].rpartition("/")[2]]
    return found


def _text(text: str) -> str:
    """Return text for one cell of a table: one line, without markup of HTML or a table's bars."""
    return html.escape(" ".join(text.split()), quote=False).replace("|", "\\|")
