"""`claimnotify events …`: the event types, and what receivers need to know of them."""

from __future__ import annotations

from collections.abc import Callable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated

import typer

from claimnotify.cli.application import AppOption
from claimnotify.cli.output import show_table
from claimnotify.cli.written import as_json, put
from claimnotify.errors import NotFound
from claimnotify.model.endpoints import OPERATIONAL
from claimnotify.model.events import Event, catalogue, spec_of

__all__ = ["events"]

events = typer.Typer(help="The event types, and what receivers are told.", no_args_is_help=True)

_Only = Annotated[str, typer.Option(help="The types that fit a pattern, such as claim.*")]
_Version = Annotated[int | None, typer.Option(help="The payload's version; the newest by itself")]
_All = Annotated[
    bool, typer.Option("--all", help="Those that go to no webhook, or to none by itself, too")
]
_Output = Annotated[Path | None, typer.Option(help="The file to write, instead of printing")]
_Title = Annotated[str, typer.Option(help="The title")]


@events.command("list")
def list_events(app_path: AppOption = "", only: _Only = "*") -> None:
    """List the event types."""
    rows = []
    for each in _known(app_path, only):
        spec = spec_of(each)
        rows.append((spec.type, spec.version, spec.category, ", ".join(spec.channels)))
    show_table(("type", "version", "category", "channels"), rows)


@events.command()
def schema(event_type: str, app_path: AppOption = "", version: _Version = None) -> None:
    """Print the JSON Schema of what webhooks carry of an event."""
    from claimnotify.catalogue import schema_of

    put(as_json(schema_of(_found(app_path, event_type, version))), None)


@events.command()
def example(
    event_type: str,
    app_path: AppOption = "",
    version: _Version = None,
    envelope: Annotated[
        bool, typer.Option("--envelope", help="The whole body of the webhook")
    ] = False,
) -> None:
    """Print an example of what webhooks carry of an event."""
    from claimnotify.catalogue import data_example_of, webhook_example_of

    event_class = _found(app_path, event_type, version)
    make: Callable[[type[Event]], object] = webhook_example_of if envelope else data_example_of
    put(as_json(make(event_class)), None)


@events.command()
def openapi(
    app_path: AppOption = "",
    output: _Output = None,
    only: _Only = "*",
    everything: _All = False,
    title: _Title = "Webhooks",
    api_version: Annotated[str, typer.Option(help="The version of the API")] = "1.0.0",
) -> None:
    """Write the webhooks as an OpenAPI 3.1 document."""
    from claimnotify.catalogue import openapi_of

    found = _received(app_path, only, everything)
    put(as_json(openapi_of(found, title=title, version=api_version)), output)


@events.command()
def docs(
    app_path: AppOption = "",
    output: _Output = None,
    only: _Only = "*",
    everything: _All = False,
    title: _Title = "Webhooks",
) -> None:
    """Write a page of Markdown about the webhooks."""
    from claimnotify.catalogue import page_of

    put(page_of(_received(app_path, only, everything), title=title), output)


def _load(app_path: str) -> None:
    """Load the application, or else the claims pack, so that the catalogue has their events.

    Those about endpoints are always there, for every application has them.
    """
    import claimnotify.webhooks.events
    import claimnotify.webhooks.ping

    if not app_path:
        import claimnotify.claims.events  # noqa: F401

        return
    from claimnotify.worker.app import load_notifier

    load_notifier(app_path).close()


def _known(app_path: str, only: str) -> list[type[Event]]:
    """Return the classes whose types fit, in order of type and version."""
    _load(app_path)
    fit = [each for each in catalogue if fnmatchcase(spec_of(each).type, only)]
    if not fit and only != "*":
        raise NotFound("only", f"no event type fits {only}", "See: claimnotify events list")
    return sorted(fit, key=lambda each: (spec_of(each).type, spec_of(each).version))


def _received(app_path: str, only: str, everything: bool) -> list[type[Event]]:
    """Return what receivers are told of: what webhooks carry to those who subscribe to `*`."""
    known = _known(app_path, only)
    named = everything or only.startswith(OPERATIONAL)
    return [
        each
        for each in known
        if everything or "webhook" in spec_of(each).channels
        if named or not spec_of(each).type.startswith(OPERATIONAL)
    ]


def _found(app_path: str, event_type: str, version: int | None) -> type[Event]:
    _load(app_path)
    found = catalogue.get(event_type, version)
    if found is None:
        which = event_type if version is None else f"{event_type} of version {version}"
        raise NotFound(
            "event_type", f"there is no event type {which}", "See: claimnotify events list"
        )
    return found
