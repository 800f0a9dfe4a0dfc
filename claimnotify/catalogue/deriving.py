"""Derives a JSON value from a JSON Schema, and another one where the first was refused."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from claimnotify.catalogue.values import numbers, texts

__all__ = ["KEY", "UNKNOWN", "Derivation", "NoExample", "Path"]

Path = tuple[str | int, ...]
UNKNOWN = "x-unknown"
"""Marks the schema of a type that has none."""
KEY = "[key]"
"""Stands in a path for the keys of a mapping, as in pydantic's errors."""
_DEPTH = 24
_Way = Callable[[Path], Any]


class NoExample(Exception):
    """No value can be derived for what is at `path`."""

    def __init__(self, path: Path, why: str) -> None:
        self.path = path
        self.why = why
        super().__init__(path, why)


class _Endless(NoExample):
    """The type contains itself."""


class Derivation:
    """One value for a schema. Where several are possible is a point, and `advance` takes the next.

    Args:
        schema: The schema, with what it refers to in `$defs`.
    """

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self._schema = schema
        self._picks: dict[Path, int] = {}
        self._points: dict[Path, int] = {}
        self._open: list[str] = []

    def value(self) -> Any:
        """Return the value.

        Raises:
            NoExample: There is none; it says where and why.
        """
        self._points.clear()
        return self._of(self._schema, (), "text")

    def advance(self, path: Path) -> bool:
        """Take the next possibility at `path`, or at what contains it; return whether there is one."""
        for length in range(len(path), -1, -1):
            point = path[:length]
            taken = self._picks.get(point, 0)
            if taken + 1 < self._points.get(point, 0):
                inside = [each for each in self._picks if each[:length] == point]
                for each in inside:
                    del self._picks[each]
                self._picks[point] = taken + 1
                return True
        return False

    def _of(self, schema: Any, path: Path, word: str, first: int = 0) -> Any:
        """Return the possibility that was picked at `path`, or the next one that is possible."""
        if len(path) > _DEPTH:
            raise _Endless(path, "its type contains itself")
        ways = self._ways(schema, word)
        self._points[path] = len(ways)
        picked = self._picks.setdefault(path, min(first, max(len(ways) - 1, 0)))
        problem: NoExample | None = None
        for way in ways[picked:]:
            try:
                return way(path)
            except NoExample as error:
                problem = problem or error
        raise problem or NoExample(path, _why(schema))

    def _ways(self, schema: Any, word: str) -> list[_Way]:
        if not isinstance(schema, Mapping) or not schema:
            return [lambda _path: word]
        given = schema.get("examples")
        if isinstance(given, Sequence) and not isinstance(given, str) and given:
            return [lambda _path: given[0]]
        if "example" in schema:
            return [lambda _path: schema["example"]]
        ways: list[_Way] = []
        default = schema.get("default")
        if default not in (None, "", [], {}) and not schema.get("writeOnly"):
            ways.append(lambda _path: default)
        if "const" in schema:
            return [lambda _path: schema["const"]]
        if "$ref" in schema:
            return ways + self._referred(schema["$ref"], word)
        if UNKNOWN in schema:
            return ways
        several = schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf")
        if several:
            # A value says more than null.
            for each in sorted(several, key=_is_null):
                ways += self._ways(each, word)
            return ways
        return ways + self._typed(schema, word)

    def _typed(self, schema: Mapping[str, Any], word: str) -> list[_Way]:
        kind = schema.get("type")
        if "enum" in schema:
            return _constant(schema["enum"])
        if kind == "object":
            return [lambda path: self._object(schema, path)]
        if kind == "array":
            return [lambda path: self._array(schema, path, word)]
        if kind == "string" and "contentSchema" in schema:
            return [lambda path: json.dumps(self._of(schema["contentSchema"], path, word))]
        if kind == "string":
            return _constant(texts(schema, word))
        if kind in ("integer", "number"):
            return _constant(numbers(schema))
        if kind == "boolean":
            return _constant([True, False])
        return _constant([None]) if kind == "null" else _constant([word])

    def _referred(self, reference: str, word: str) -> list[_Way]:
        target = self._schema["$defs"][reference.rpartition("/")[2]]
        allowed = 1 if "properties" in target else 2

        def guarded(way: _Way) -> _Way:
            def within(path: Path) -> Any:
                if self._open.count(reference) >= allowed:
                    raise _Endless(path, "its type contains itself")
                self._open.append(reference)
                try:
                    return way(path)
                finally:
                    self._open.pop()

            return within

        return [guarded(way) for way in self._ways(target, word)]

    def _object(self, schema: Mapping[str, Any], path: Path) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, each in schema.get("properties", {}).items():
            try:
                found[name] = self._of(
                    each, (*path, name), name.replace("_", " ").strip() or "text"
                )
            except _Endless:
                if name in schema.get("required", ()):
                    raise
        patterns = schema.get("patternProperties", {})
        inside = next(iter(patterns.values()), schema.get("additionalProperties"))
        if "properties" in schema or not inside:
            return found
        keys = {"type": "string", **schema.get("propertyNames", {})}
        if patterns:
            keys = {"type": "string", "pattern": next(iter(patterns))}
        for number in range(max(schema.get("minProperties", 1), 1)):
            key = self._of(keys, (*path, KEY, number), "key", first=number)
            try:
                found[str(key)] = self._of(inside, (*path, str(key)), "text")
            except _Endless:
                break
        return found

    def _array(self, schema: Mapping[str, Any], path: Path, word: str) -> list[Any]:
        first = schema.get("prefixItems", [])
        found = [self._of(each, (*path, number), word) for number, each in enumerate(first)]
        least = schema.get("minItems", 0)
        count = max(least, len(first)) if first else max(least, 1)
        if schema.get("maxItems") == 0:
            return found
        for number in range(len(found), count):
            other = number if schema.get("uniqueItems") else 0
            try:
                found.append(self._of(schema.get("items"), (*path, number), word, first=other))
            except _Endless:
                if number < least:
                    raise
        return found


def _constant(values: Sequence[Any]) -> list[_Way]:
    def way_to(value: Any) -> _Way:
        return lambda _path: value

    return [way_to(value) for value in values]


def _is_null(schema: Mapping[str, Any]) -> bool:
    return schema.get("type") == "null"


def _why(schema: Mapping[str, Any]) -> str:
    if UNKNOWN in schema:
        return f"there is no JSON Schema for {schema[UNKNOWN]}"
    if "pattern" in schema:
        return "no text that its pattern and lengths allow was found"
    return "nothing that its bounds allow was found"
