"""`claimnotify endpoints …`: registers, shows, changes and switches webhook endpoints."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any

import typer

from claimnotify.cli.application import AppOption, opened_notifier
from claimnotify.cli.endpoint_keys import rotate
from claimnotify.cli.endpoint_recovery import attempts, recover, replay_missing
from claimnotify.cli.endpoint_trials import example, ping
from claimnotify.cli.output import say, show_table
from claimnotify.cli.pairs import headers_of, metadata_of
from claimnotify.errors import InvalidInput

__all__ = ["endpoints"]

endpoints = typer.Typer(help="Webhook endpoints and their keys.", no_args_is_help=True)

_Types = Annotated[
    list[str] | None,
    typer.Option("--event-type", help="A type, a prefix such as claim.*, or *; repeatable"),
]
_Tags = Annotated[
    list[str] | None, typer.Option("--tag", help="Only events with one of these; repeatable")
]
_Description = Annotated[str | None, typer.Option(help="Free text")]
_Metadata = Annotated[
    list[str] | None, typer.Option("--metadata", help="A note of yours, name=text; repeatable")
]
_Headers = Annotated[
    list[str] | None,
    typer.Option(
        "--header",
        help="A header to send along, 'Name: value', or @FILE with one a line (@-: standard input);"
        " repeatable",
    ),
]
_Rate = Annotated[str | None, typer.Option(help="At most so often, such as 100/minute")]
_Timeout = Annotated[float | None, typer.Option(help="Seconds one attempt may take")]
_Ordering = Annotated[str | None, typer.Option(help="none, fifo or strict")]
_Owner = Annotated[str, typer.Option(help="A recipient's or partner's id")]


@endpoints.command()
def add(
    url: str,
    owner: _Owner,
    app_path: AppOption = "",
    event_type: _Types = None,
    tag: _Tags = None,
    description: _Description = None,
    metadata: _Metadata = None,
    header: _Headers = None,
    rate_limit: _Rate = None,
    timeout: _Timeout = None,
    ordering: _Ordering = None,
    key: Annotated[str, typer.Option(help="v1 (HMAC-SHA256) or v1a (Ed25519)")] = "v1",
    secret: Annotated[
        str | None,
        typer.Option(
            envvar="CLAIMNOTIFY_ENDPOINT_SECRET",
            help="A secret of your own to sign with; one is made unless it is given",
        ),
    ] = None,
) -> None:
    """Register a URL, and print its id and what its owner verifies with."""
    options = _options(
        event_type, tag, description, metadata, header, rate_limit, timeout, ordering
    )
    with opened_notifier(app_path) as notifier:
        kind: Any = key
        endpoint, shown = notifier.endpoints.register(
            url, owner=owner, key=kind, secret=secret, **options
        )
        say(f"id: {endpoint.id}")
        say(f"{'public key' if key == 'v1a' else 'secret, shown this once'}: {shown}")


@endpoints.command("list")
def list_endpoints(
    app_path: AppOption = "",
    owner: Annotated[str, typer.Option(help="Only this owner's")] = "",
    limit: Annotated[int, typer.Option(help="At most how many")] = 100,
    after: Annotated[str, typer.Option(help="Only those younger than this endpoint's id")] = "",
) -> None:
    """List endpoints, oldest first."""
    with opened_notifier(app_path) as notifier:
        found = notifier.endpoints.list(owner or None, limit=limit, after=after or None)
        more = len(found) == limit
        show_table(
            ("id", "owner", "url", "event types", "state"),
            (
                (each.id, each.owner, each.url, ", ".join(each.event_types), _state(each))
                for each in found
            ),
        )
        if more:
            say(f"there may be more: --after {found[-1].id}")


@endpoints.command()
def show(endpoint_id: str, app_path: AppOption = "") -> None:
    """Show all that is known of an endpoint, and its keys; never its secrets."""
    with opened_notifier(app_path) as notifier:
        each = notifier.endpoints.get(endpoint_id)
        lines = {
            "owner": each.owner,
            "url": each.url,
            "state": _state(each),
            "event types": ", ".join(each.event_types),
            "tags": ", ".join(each.tags),
            "description": each.description,
            "metadata": ", ".join(f"{name}={text}" for name, text in each.metadata.items()),
            "headers": ", ".join(each.header_names),
            "rate limit": each.rate_limit,
            "timeout": "" if each.timeout is None else f"{each.timeout.total_seconds():g} s",
            "ordering": each.ordering,
            "registered": f"{each.created_at:%Y-%m-%d %H:%M:%S}",
            "changed": "" if each.updated_at is None else f"{each.updated_at:%Y-%m-%d %H:%M:%S}",
        }
        for name, text in lines.items():
            say(f"{name}: {text}".rstrip())
        for key in notifier.endpoints.keys(endpoint_id):
            until = "" if key.expires_at is None else f" until {key.expires_at:%Y-%m-%d %H:%M:%S}"
            say(f"key: {key.kind} {key.public_key}".rstrip() + until)
        trouble = notifier.endpoints.trouble(endpoint_id)
        if trouble.failing_since is not None:
            say(f"failing since: {trouble.failing_since:%Y-%m-%d %H:%M:%S}")


@endpoints.command()
def update(
    endpoint_id: str,
    app_path: AppOption = "",
    url: Annotated[str | None, typer.Option(help="Another URL")] = None,
    event_type: _Types = None,
    tag: _Tags = None,
    description: _Description = None,
    metadata: _Metadata = None,
    header: _Headers = None,
    rate_limit: _Rate = None,
    timeout: _Timeout = None,
    ordering: _Ordering = None,
    clear: Annotated[
        list[str] | None,
        typer.Option(help="tags, metadata, headers, rate_limit or timeout; repeatable"),
    ] = None,
) -> None:
    """Change what is given; lists replace what was there as a whole."""
    options = _options(
        event_type, tag, description, metadata, header, rate_limit, timeout, ordering
    )
    for name in clear or ():
        if name not in _CLEARED:
            raise InvalidInput("clear", f"{name} is none of {', '.join(_CLEARED)}", "Name one.")
        if name in options:
            raise InvalidInput("clear", f"{name} is given as well", "Give one of the two.")
        options[name] = _CLEARED[name]
    with opened_notifier(app_path) as notifier:
        notifier.endpoints.update(endpoint_id, url=url, **options)
        say("changed")


@endpoints.command()
def disable(
    endpoint_id: str,
    app_path: AppOption = "",
    reason: Annotated[str, typer.Option(help="Why")] = "disabled",
) -> None:
    """Send nothing to it from now on."""
    with opened_notifier(app_path) as notifier:
        notifier.endpoints.disable(endpoint_id, reason=reason)
        say("disabled")


@endpoints.command()
def enable(endpoint_id: str, app_path: AppOption = "") -> None:
    """Send to it again."""
    with opened_notifier(app_path) as notifier:
        notifier.endpoints.enable(endpoint_id)
        say("enabled")


@endpoints.command()
def delete(endpoint_id: str, app_path: AppOption = "") -> None:
    """Remove it and its keys."""
    with opened_notifier(app_path) as notifier:
        notifier.endpoints.delete(endpoint_id)
        say("deleted")


for _command in (rotate, ping, example, attempts, recover, replay_missing):
    endpoints.command()(_command)

_CLEARED: dict[str, Any] = {
    "tags": (),
    "metadata": {},
    "headers": {},
    "rate_limit": "",
    "timeout": None,
}
"""What can be taken back, and what it then is."""


def _state(endpoint: Any) -> str:
    return "enabled" if endpoint.enabled else f"disabled ({endpoint.disabled_reason})"


def _options(
    event_types: list[str] | None,
    tags: list[str] | None,
    description: str | None,
    metadata: list[str] | None,
    headers: list[str] | None,
    rate_limit: str | None,
    timeout: float | None,
    ordering: str | None,
) -> dict[str, Any]:
    """Return the options that were given, as `EndpointOptions` has them."""
    options = {
        "event_types": event_types or None,
        "tags": tags or None,
        "description": description,
        "metadata": metadata_of(metadata) or None,
        "headers": headers_of(headers) or None,
        "rate_limit": rate_limit,
        "timeout": None if timeout is None else _seconds(timeout),
        "ordering": ordering,
    }
    return {name: value for name, value in options.items() if value is not None}


def _seconds(number: float) -> timedelta:
    try:
        return timedelta(seconds=number)
    except (OverflowError, ValueError):
        raise InvalidInput("timeout", "is no number of seconds", "Give one such as 5.") from None
