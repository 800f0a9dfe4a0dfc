"""A job function's parameters: checks arguments against the signature, to JSON and back. No I/O."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from types import NoneType, UnionType
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    NoReturn,
    NotRequired,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from pydantic import BaseModel

from claimnotify.errors import ConfigurationError, InvalidInput
from claimnotify.model.jobs import JobContext

if TYPE_CHECKING:
    from pydantic import TypeAdapter, ValidationError

__all__ = ["RESERVED", "JobArguments"]

RESERVED = frozenset({"unique_key", "at", "delay", "session"})
"""Names of what `enqueue` takes besides, which no parameter of a job's function may have."""

_MAX_SIZE = 1024 * 1024
_NAMED = re.compile(rf"\b{JobContext.__name__}\b")
_UNRESOLVED = (NameError, TypeError, AttributeError, SyntaxError)
"""What resolving annotations raises for names, and texts, that mean nothing."""
_VALUES = frozenset({"default", "metadata"})
"""Parts of a pydantic schema that are not schemas, and may be the application's own objects."""
_BY_KEYWORD = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


class JobArguments:
    """The parameters of one function.

    Annotations with names that are not defined yet are resolved at first use.

    Args:
        function: The job's function.
        where: What errors call it.

    Raises:
        ConfigurationError: A parameter cannot be given by keyword, or has a reserved name; or
            `JobContext` is annotated twice, or within another type.
    """

    def __init__(self, function: Callable[..., Any], *, where: str) -> None:
        self._function = function
        self._where = where
        self._parameters = inspect.signature(function).parameters
        for name, parameter in self._parameters.items():
            if parameter.kind not in _BY_KEYWORD:
                raise ConfigurationError(
                    where,
                    f"its parameter {name!r} cannot be given by keyword",
                    "Arguments are stored by name: use neither *args, **options nor /.",
                )
            if name in RESERVED:
                raise ConfigurationError(
                    where, f"has a parameter named {name!r}, which enqueue() takes", "Rename it."
                )
        try:
            self._hints = self._resolved()
        except _UNRESOLVED:
            self._hints = {}  # the first use says so, if it is still so
        self._context(self._hints)
        self._built: tuple[TypeAdapter[dict[str, Any]], str | None] | None = None

    @property
    def needed(self) -> list[str]:
        """The parameters that have no default; what is annotated `JobContext` aside."""
        return [
            name
            for name, parameter in self._parameters.items()
            if parameter.default is inspect.Parameter.empty
            and not _is_context(self._hints.get(name, parameter.annotation))
        ]

    @property
    def context_name(self) -> str | None:
        """The name of the parameter that the `JobContext` is given to, or None."""
        return self._build()[1]

    def check(self) -> None:
        """Resolve the annotations now.

        Raises:
            ConfigurationError: One of them cannot be resolved, or is no type arguments can have.
        """
        self._build()

    def encode(self, values: Mapping[str, Any]) -> str:
        """Return the arguments as a JSON object.

        Raises:
            InvalidInput: They do not fit the parameters, or what they are does not survive JSON.
        """
        from pydantic import ValidationError
        from pydantic_core import PydanticSerializationError

        adapter, context = self._build()
        if context is not None and context in values:
            raise InvalidInput(context, "is given by the worker", "Leave it out.")
        try:
            made = adapter.validate_python(dict(values))
            text = adapter.dump_json(made, warnings="error")
            read = adapter.validate_json(text)
        except ValidationError as error:
            self._refuse(error)
        except (PydanticSerializationError, UnicodeError) as error:
            raise InvalidInput(
                self._where, "an argument cannot be written as JSON", "Give ids, numbers or texts."
            ) from error
        for name, value in made.items():
            if (
                read[name] != value
            ):  # a secret is written as asterisks, a tuple comes back as a list
                problem = "would be another value after it was written as JSON and read again"
                raise InvalidInput(name, problem, "Give an id, or a type that JSON can carry.")
        if len(text) > _MAX_SIZE:
            raise InvalidInput(
                self._where, "its arguments are larger than 1 MiB", "Give an id of the data."
            )
        return text.decode()

    def decode(self, text: str) -> dict[str, Any]:
        """Return the arguments that `encode` wrote.

        Raises:
            InvalidInput: They do not fit the parameters: those of another version wrote them.
        """
        from pydantic import ValidationError

        try:
            return self._build()[0].validate_json(text)
        except ValidationError as error:
            self._refuse(error)

    def same(self, one: str, other: str) -> bool:
        """Return whether two texts that `encode` wrote stand for equal arguments.

        What is left out counts as the parameter's default, as it is for the function when it is run.
        """
        defaults = {
            name: parameter.default
            for name, parameter in self._parameters.items()
            if parameter.default is not inspect.Parameter.empty
        }
        try:
            return bool(defaults | self.decode(one) == defaults | self.decode(other))
        except InvalidInput:
            return False

    def _refuse(self, error: ValidationError) -> NoReturn:
        """Raise what says which argument is wrong, without its value."""
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        name = ".".join(str(part) for part in first["loc"]) or self._where
        # A validator of the application's own may quote the value.
        own = first["type"] in ("value_error", "assertion_error")
        problem = "refused by its validator" if own else first["msg"]
        raise InvalidInput(
            name, f"does not fit {self._where}: {problem}", "Nothing was written."
        ) from None

    def _build(self) -> tuple[TypeAdapter[dict[str, Any]], str | None]:
        if self._built is not None:
            return self._built
        from pydantic import ConfigDict, TypeAdapter
        from pydantic.errors import PydanticUserError
        from typing_extensions import TypedDict  # that of Python 3.11 does not suit pydantic

        try:
            hints = self._resolved()
            context = self._context(hints)
            fields: dict[str, Any] = {}
            for name, parameter in self._parameters.items():
                annotation = hints.get(name, Any)
                if name == context:
                    continue
                if parameter.default is inspect.Parameter.empty:
                    fields[name] = annotation
                else:
                    fields[name] = NotRequired[annotation]
            made: Any = TypedDict  # its fields are known at run time only
            shape = made("Arguments", fields)
            shape.__pydantic_config__ = ConfigDict(extra="forbid", hide_input_in_errors=True)
            adapter: TypeAdapter[dict[str, Any]] = TypeAdapter(shape)
        except (*_UNRESOLVED, PydanticUserError) as error:
            raise ConfigurationError(
                self._where,
                f"the annotations of its parameters cannot be used: {error}",
                "Use types that pydantic validates, and import them outside of TYPE_CHECKING.",
            ) from error
        self._refuse_kinds(adapter.core_schema)
        self._built = (adapter, context)
        return self._built

    def _resolved(self) -> dict[str, Any]:
        return get_type_hints(self._function, include_extras=True)

    def _context(self, hints: Mapping[str, Any]) -> str | None:
        """Return the name of the parameter that is annotated `JobContext`, or None.

        Raises:
            ConfigurationError: There are two, or it is annotated so within another type.
        """
        found = [name for name in self._parameters if _is_context(hints.get(name))]
        if len(found) > 1:
            raise ConfigurationError(
                self._where,
                f"its parameters {found[0]!r} and {found[1]!r} are both annotated JobContext",
                "Keep one of them: there is one context.",
            )
        for name in self._parameters:
            if name not in found and _mentions_context(hints.get(name)):
                self._refuse_context(f"its parameter {name!r} has JobContext within another type")
        return found[0] if found else None

    def _refuse_kinds(self, schema: object) -> None:
        """Refuse types that pydantic can describe, and arguments cannot have.

        Raises:
            ConfigurationError: One of them is in the schema, at any depth.
        """
        for kind in _classes_in(schema):
            if kind is BaseModel:
                raise ConfigurationError(
                    self._where,
                    "one of its parameters is a BaseModel of no class in particular",
                    "Annotate it with the subclass that has the fields.",
                )
            if kind is JobContext:
                self._refuse_context("one of its parameters has JobContext within another type")

    def _refuse_context(self, problem: str) -> NoReturn:
        raise ConfigurationError(
            self._where, problem, "Annotate a parameter JobContext, or JobContext | None."
        )


def _is_context(annotation: Any) -> bool:
    """Return whether an annotation says that a parameter is given the `JobContext`.

    Of one that could not be resolved the text is looked at.
    """
    if isinstance(annotation, str):
        return _NAMED.search(annotation) is not None
    annotation = getattr(annotation, "__value__", annotation)  # of an alias: type X = …
    if get_origin(annotation) is Annotated:
        return _is_context(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        kinds = [each for each in get_args(annotation) if each is not NoneType]
        return len(kinds) == 1 and _is_context(kinds[0])
    return annotation is JobContext


def _mentions_context(annotation: Any) -> bool:
    return annotation is JobContext or any(map(_mentions_context, get_args(annotation)))


def _classes_in(schema: object) -> Iterator[object]:
    """Yield the classes of a pydantic schema, at any depth. What occurs in itself is a name there."""
    parts = [schema]
    while parts:
        part = parts.pop()
        if isinstance(part, dict):
            yield part.get("cls")
            parts += [value for key, value in part.items() if key not in _VALUES]
        elif isinstance(part, list | tuple):
            parts += part
