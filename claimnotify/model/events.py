"""What happened: the typed, versioned base class of all events, and the catalogue of their types."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

from claimnotify.errors import ConfigurationError, InvalidEvent
from claimnotify.model.checks import is_count, is_series

__all__ = ["PRIORITIES", "Catalogue", "Event", "EventSpec", "catalogue", "spec_of"]

_TYPE = re.compile(r"[a-z][a-z0-9_]*(?:\.[a-z0-9_]+)*", re.ASCII)
_NAME = re.compile(r"[a-z][a-z0-9_]*", re.ASCII)
_LAST_VERSION = 2**31 - 1

PRIORITIES = {"high": 0, "normal": 1, "low": 2}
"""Priorities by name; a smaller number is leased first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventSpec:
    """What an event class declares about itself.

    Args:
        type: The stable name, lower-case words joined by dots: `claim.approved`.
        version: Counts incompatible changes of the payload, from 1.
        category: What a recipient can opt out of.
        channels: The channels to use, in order.
        subject: The field that holds the id of the thing the event is about, or None.
        priority: `high`, `normal` or `low`.
        webhook_payload: What webhooks carry: `full`, `thin` or the names of fields.
    """

    type: str
    version: int = 1
    category: str = "general"
    channels: tuple[str, ...]
    subject: str | None = None
    priority: str = "normal"
    webhook_payload: str | tuple[str, ...] = "full"

    @property
    def webhook_fields(self) -> tuple[str, ...] | None:
        """The fields that webhooks carry, or None for all."""
        if isinstance(self.webhook_payload, tuple):
            return self.webhook_payload
        return (self.subject,) if self.webhook_payload == "thin" and self.subject else None

    def __post_init__(self) -> None:
        where = f"event type {self.type!r}"
        if not isinstance(self.type, str) or not _TYPE.fullmatch(self.type) or len(self.type) > 128:
            raise ConfigurationError(
                where, "is not lower-case words joined by dots", "Name it like claim.approved."
            )
        if not is_count(self.version, _LAST_VERSION):
            raise ConfigurationError(
                where, "version is no whole number of 1 or more", "Count versions from 1."
            )
        named = isinstance(self.category, str) and _NAME.fullmatch(self.category)
        if not named or len(self.category) > 64:
            raise ConfigurationError(where, "category is not a name", "Use status_updates or such.")
        if not self.channels or len(set(self.channels)) != len(self.channels):
            raise ConfigurationError(
                where, "names no channel, or one twice", 'Give channels=("email", …).'
            )
        if self.subject is not None and not isinstance(self.subject, str):
            raise ConfigurationError(
                where, "subject is not text", "Name the field that holds the id."
            )
        if not isinstance(self.priority, str) or self.priority not in PRIORITIES:
            raise ConfigurationError(where, "has an unknown priority", "Use high, normal or low.")
        if self.webhook_payload == "thin" and self.subject is None:
            raise ConfigurationError(
                where, "webhook_payload is thin and there is no subject", 'Give subject="field".'
            )
        if not _is_payload(self.webhook_payload):
            raise ConfigurationError(
                where,
                "webhook_payload is none of full, thin and a tuple of different fields",
                'Use webhook_payload="thin" or webhook_payload=("claim_id", …).',
            )


class Catalogue:
    """All event classes that have been defined, by type and version."""

    def __init__(self) -> None:
        self._classes: dict[tuple[str, int], type[Event]] = {}

    def add(self, event_class: type[Event]) -> None:
        """Register `event_class`; defining the same class again (a reload) replaces it.

        Raises:
            ConfigurationError: If another class has this type and version.
        """
        spec = spec_of(event_class)
        key = (spec.type, spec.version)
        known = self._classes.get(key)
        if known is not None and _path(known) != _path(event_class):
            raise ConfigurationError(
                f"event type {spec.type!r}",
                f"version {spec.version} is defined by {_path(known)} and {_path(event_class)}",
                "Give one of them another type or version.",
            )
        self._classes[key] = event_class

    def get(self, type: str, version: int | None = None) -> type[Event] | None:
        """Return the class of `type`, of the newest version unless one is named, or None."""
        if version is not None:
            return self._classes.get((type, version))
        versions = [number for name, number in self._classes if name == type]
        return self._classes[type, max(versions)] if versions else None

    def remove(self, event_class: type[Event]) -> None:
        """Forget `event_class`; for tests that define events of their own."""
        spec = spec_of(event_class)
        if self._classes.get((spec.type, spec.version)) is event_class:
            del self._classes[spec.type, spec.version]

    def __iter__(self) -> Iterator[type[Event]]:
        return iter(tuple(self._classes.values()))

    def __len__(self) -> int:
        return len(self._classes)


catalogue = Catalogue()
"""The catalogue that subclassing `Event` fills."""


class Event(BaseModel):
    """Something happened. Subclass it once per event type; its fields are the payload.

    Class keywords:
        type: The stable name, such as `claim.approved`. A subclass without one is abstract.
        channels: Names of the channels to use.
        category: What a recipient can opt out of; `general` unless given.
        version: Counts incompatible changes of the payload, from 1.
        subject: The name of the field with the id of the thing this is about.
        priority: `high`, `normal` (default) or `low`.
        webhook_payload: What webhooks carry as `data`: `full` (default) is every field, `thin` is the
            subject's alone, and a tuple of names is those fields. Other channels have every field.

    Keywords left out are inherited from the parent class, except `type`.

    Raises:
        pydantic.ValidationError: On instantiation, if the payload does not fit; it names the field.
        ConfigurationError: On definition, if a keyword is wrong or the type is taken.
    """

    # Built when first used: importing event classes must stay cheap.
    model_config = ConfigDict(
        frozen=True, extra="forbid", hide_input_in_errors=True, defer_build=True
    )
    __event__: ClassVar[EventSpec | None] = None
    __event_defaults__: ClassVar[dict[str, Any]] = {}

    def __init_subclass__(
        cls,
        *,
        type: str | None = None,
        category: str | None = None,
        channels: Sequence[str] | None = None,
        version: int | None = None,
        subject: str | None = None,
        priority: str | None = None,
        webhook_payload: str | Sequence[str] | None = None,
        **options: Any,
    ) -> None:
        super().__init_subclass__(**options)
        given = {
            "category": category,
            "channels": None if channels is None else _checked_channels(channels),
            "version": version,
            "subject": subject,
            "priority": priority,
            "webhook_payload": (
                tuple(webhook_payload) if is_series(webhook_payload) else webhook_payload
            ),
        }
        defaults = cls.__event_defaults__ | {k: v for k, v in given.items() if v is not None}
        cls.__event_defaults__ = defaults
        cls.__event__ = (
            None if type is None else EventSpec(type=type, **{"channels": (), **defaults})
        )

    @classmethod
    def __pydantic_init_subclass__(cls, **options: Any) -> None:
        spec = cls.__event__
        if spec is None:
            return
        if spec.subject is not None and spec.subject not in cls.model_fields:
            raise ConfigurationError(
                f"event type {spec.type!r}",
                f"subject names {spec.subject!r}, which is not a field",
                "Name one of the event's fields.",
            )
        written = {name for name, field in cls.model_fields.items() if not field.exclude}
        written |= cls.__pydantic_decorators__.computed_fields.keys()
        for name in spec.webhook_fields or ():
            if name not in written:
                raise ConfigurationError(
                    f"event type {spec.type!r}",
                    f"webhook_payload names {name!r}, which is not a field that is written",
                    "Name fields of the event that are not excluded.",
                )
        catalogue.add(cls)


def spec_of(event: Event | type[Event]) -> EventSpec:
    """Return what the event's class declares.

    Raises:
        InvalidEvent: If the class is abstract, that is, has no `type`.
    """
    spec = event.__event__
    if spec is None:
        name = event.__name__ if isinstance(event, type) else type(event).__name__
        raise InvalidEvent("event", f"{name} has no type", 'Define it with type="some.name".')
    return spec


def _checked_channels(channels: object) -> tuple[str, ...]:
    remedy = 'Give a tuple of names: channels=("email",).'
    if not is_series(channels):
        raise ConfigurationError("channels", f"is a {type(channels).__name__}", remedy)
    names = tuple(channels)
    for name in names:
        if not isinstance(name, str):
            raise ConfigurationError("channels", f"has a {type(name).__name__}", remedy)
    return names


def _is_payload(given: object) -> bool:
    if isinstance(given, tuple):
        named = all(isinstance(name, str) for name in given)
        return bool(given) and named and len(set(given)) == len(given)
    return given in ("full", "thin")


def _path(event_class: type[Event]) -> str:
    return f"{event_class.__module__}.{event_class.__qualname__}"
