"""`claimnotify endpoints rotate`: gives an endpoint a new key."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any

import typer

from claimnotify.cli.application import AppOption, opened_notifier
from claimnotify.cli.output import say
from claimnotify.errors import InvalidInput

__all__ = ["rotate"]


def rotate(
    endpoint_id: str,
    app_path: AppOption = "",
    grace_hours: Annotated[
        float, typer.Option(help="How long the old keys go on; 0 ends them at once")
    ] = 24.0,
    key: Annotated[str, typer.Option(help="v1 (HMAC-SHA256) or v1a (Ed25519)")] = "v1",
    secret: Annotated[
        str | None,
        typer.Option(
            envvar="CLAIMNOTIFY_ENDPOINT_SECRET",
            help="A secret of your own to sign with; one is made unless it is given",
        ),
    ] = None,
) -> None:
    """Give it a new key, and print what its owner verifies with from now on."""
    try:
        grace = timedelta(hours=grace_hours)
    except (OverflowError, ValueError):
        raise InvalidInput("grace_hours", "is no number of hours", "Give one such as 24.") from None
    with opened_notifier(app_path) as notifier:
        kind: Any = key
        shown = notifier.endpoints.rotate(endpoint_id, grace=grace, key=kind, secret=secret)
        say(f"{'public key' if key == 'v1a' else 'secret, shown this once'}: {shown}")
