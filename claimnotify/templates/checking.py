"""Checks templates against their events at start-up. The reading of one template is `reading`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from jinja2 import Environment, TemplateSyntaxError

from claimnotify.errors import TemplateError
from claimnotify.model.events import Event, EventSpec, spec_of
from claimnotify.model.recipients import Recipient
from claimnotify.templates.brand import Brand, Colours
from claimnotify.templates.context import RESERVED, EventView
from claimnotify.templates.environment import VISIBLE, Environments
from claimnotify.templates.lookup import CHANNEL_PARTS, Found, candidates, parts_of
from claimnotify.templates.reading import Reading
from claimnotify.templates.scopes import Scope
from claimnotify.templates.shapes import ANY, Shape, of_members, of_model
from claimnotify.templates.syntax import Trees
from claimnotify.templates.translations import SOURCE_LANGUAGE, Language

__all__ = ["check_overrides", "check_templates"]


def check_overrides(environments: Environments) -> None:
    """Read every translation and compile every overriding template, whatever it is for.

    Raises:
        TemplateError: For the first thing that is wrong; it names file and line.
    """
    environments.languages.check()
    environment = environments.for_locale(SOURCE_LANGUAGE)
    for name in environments.overrides:
        _compile(environment, name)


def check_templates(environments: Environments, events: Iterable[type[Event]]) -> None:
    """Read the templates of `events` for what the event does not have.

    Raises:
        TemplateError: For the first thing that is wrong; it names template and line.
    """
    environment = environments.for_locale(SOURCE_LANGUAGE)
    trees = Trees(environment)
    for event in events:
        spec = spec_of(event)
        # Ours need not fit an application's event that shares the type: the generic ones serve then.
        ours = _is_ours(event)
        for found in _templates_of(environments, spec):
            try:
                Reading(trees, found.name, spec.type).check(_names(environment, event))
            except TemplateError:
                if ours or not found.own or found.name in environments.overrides:
                    raise


def _is_ours(event: type[Event]) -> bool:
    """Return whether the event is one that the package defines, or was made from one."""
    bases = (base for base in event.__mro__ if issubclass(base, Event) and base is not Event)
    return any(base.__module__.startswith("claimnotify.") for base in bases)


def _compile(environment: Environment, name: str) -> None:
    try:
        environment.get_template(name)
    except TemplateSyntaxError as error:
        raise TemplateError(
            f"{error.name or name}, line {error.lineno}",
            f"does not parse: {error.message}",
            "Correct the template.",
        ) from None
    except UnicodeDecodeError:
        raise TemplateError(name, "is not UTF-8 text", "Save it as UTF-8.") from None


def _templates_of(environments: Environments, spec: EventSpec) -> Iterator[Found]:
    """Yield what the event's channels render, and what else was written for this type."""
    for channel in dict.fromkeys((*spec.channels, *CHANNEL_PARTS)):
        for part in parts_of(channel):
            found = next(
                each
                for each in candidates(spec.type, spec.version, part)
                if environments.exists(each.name)
            )
            if found.own or channel in spec.channels:
                yield found


def _names(environment: Environment, event: type[Event]) -> Scope:
    """Return the scope a template of `event` begins with."""
    built_in: dict[str, Shape] = dict.fromkeys(environment.globals, ANY)
    built_in["brand"] = _seen(Brand, colours=_seen(Colours))
    built_in["language"] = _seen(Language)
    payload = of_model(event)
    fields = {name: make() for name, make in (payload.members or {}).items()}
    names = built_in | {name: shape for name, shape in fields.items() if name not in RESERVED}
    names["event"] = _seen(EventView, payload=payload)
    names["recipient"] = _seen(Recipient)
    names["written"] = ANY
    return Scope(names, globals=built_in, open=payload.members is None)


def _seen(cls: type, **known: Shape) -> Shape:
    return of_members({name: known.get(name, ANY) for name in VISIBLE[cls]})
