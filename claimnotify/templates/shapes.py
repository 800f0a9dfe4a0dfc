"""What a template may ask of a value, known before there is one: from annotations, without I/O."""

from __future__ import annotations

import types
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, PlainSerializer, RootModel, SerializeAsAny, WrapSerializer

__all__ = ["ANY", "Shape", "of_members", "of_model"]

_LISTS = (list, set, frozenset, Sequence, Collection, Iterable)
_SERIALIZERS = (PlainSerializer, WrapSerializer, SerializeAsAny)


@dataclass(frozen=True, slots=True, eq=False)
class Shape:
    """What is known of a value. Where nothing is known, everything is allowed.

    Args:
        members: The shapes of its attributes, made on demand, or None if they are not known.
        element: The shape of what a loop over it gives, or None if that is not known.
    """

    members: Mapping[str, Callable[[], Shape]] | None = None
    element: Callable[[], Shape] | None = None

    def member(self, name: str) -> Shape | None:
        """Return the shape of an attribute, or None if there is certainly no such attribute."""
        if self.members is None:
            return ANY
        if name in self.members:
            return self.members[name]()
        return ANY if hasattr(dict, name) else None

    def loop(self) -> Shape:
        """Return the shape of an element."""
        return ANY if self.element is None else self.element()


ANY = Shape()
"""The shape of what is not known."""


def of_members(members: Mapping[str, Shape]) -> Shape:
    """Return the shape of a value with these members."""
    return Shape(members={name: _always(shape) for name, shape in members.items()})


def of_model(model: type[BaseModel]) -> Shape:
    """Return the shape of a model's JSON form."""
    custom = model.__pydantic_decorators__.model_serializers
    if custom or issubclass(model, RootModel) or model.model_config.get("extra") == "allow":
        return ANY
    serialized = {
        name
        for decorator in model.__pydantic_decorators__.field_serializers.values()
        for name in decorator.info.fields
    }
    members: dict[str, Callable[[], Shape]] = {
        name: _always(ANY) for name in model.model_computed_fields
    }
    for name, field in model.model_fields.items():
        plain = name not in serialized and "*" not in serialized
        plain = plain and not any(isinstance(each, _SERIALIZERS) for each in field.metadata)
        if not field.exclude:
            members[name] = _later(field.annotation) if plain else _always(ANY)
    return Shape(members=members)


def _of_annotation(annotation: Any) -> Shape:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        plain = not any(isinstance(each, _SERIALIZERS) for each in arguments[1:])
        return _of_annotation(arguments[0]) if plain else ANY
    if origin in (Union, types.UnionType):
        members = [each for each in arguments if each is not type(None)]
        return _of_annotation(members[0]) if len(members) == 1 else ANY
    if origin is tuple and len(arguments) == 2 and arguments[1] is Ellipsis:
        return Shape(element=_later(arguments[0]))
    if origin in _LISTS and len(arguments) == 1:
        return Shape(element=_later(arguments[0]))
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return of_model(annotation)
    return ANY


def _always(shape: Shape) -> Callable[[], Shape]:
    return lambda: shape


def _later(annotation: Any) -> Callable[[], Shape]:
    return lambda: _of_annotation(annotation)
