"""`claimnotify endpoints ping` and `example`: sends something to try an endpoint with, and waits for it."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from claimnotify.cli.application import AppOption, opened_notifier
from claimnotify.cli.output import say
from claimnotify.model.notifications import Notification
from claimnotify.model.states import DeliveryStatus
from claimnotify.notifier import Notifier

__all__ = ["example", "ping"]

_PAUSE = 0.2
_Wait = Annotated[
    float, typer.Option(help="Seconds to wait for a worker's first attempt; 0 waits for none")
]


def ping(endpoint_id: str, app_path: AppOption = "", wait: _Wait = 10.0) -> None:
    """Send an endpoint an event of type endpoint.ping, and say what came of it."""
    with opened_notifier(app_path) as notifier:
        _tell(notifier, notifier.endpoints.ping(endpoint_id), wait)


def example(
    endpoint_id: str,
    event_type: str,
    app_path: AppOption = "",
    version: Annotated[int | None, typer.Option(help="The payload's version; the newest")] = None,
    wait: _Wait = 10.0,
) -> None:
    """Send an endpoint the example of an event type, and say what came of it."""
    with opened_notifier(app_path) as notifier:
        sent = notifier.endpoints.send_example(endpoint_id, event_type, version=version)
        _tell(notifier, sent, wait)


def _tell(notifier: Notifier, sent: Notification, seconds: float) -> None:
    """Print the first attempt as soon as there is one; exit code 1 if it failed."""
    say(f"accepted: {sent.id}")
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        (found,) = notifier.history(notification_id=sent.id)
        (delivery,) = found.deliveries
        if delivery.history and delivery.status != DeliveryStatus.SENDING:
            attempt = delivery.history[0]
            milliseconds = attempt.duration.total_seconds() * 1000
            code = attempt.status_code or attempt.error
            say(f"{delivery.status}: {code} after {milliseconds:.0f} ms: {attempt.detail}")
            raise typer.Exit(0 if delivery.status == DeliveryStatus.DELIVERED else 1)
        if delivery.finished_at is not None:
            say(f"{delivery.status}: {delivery.reason}")
            raise typer.Exit(1)
        time.sleep(_PAUSE)
    if seconds > 0:
        (delivery,) = notifier.history(notification_id=sent.id)[0].deliveries
        say(f"not sent yet, {delivery.status}: {delivery.reason}")
        say(f"see: claimnotify deliveries show {sent.id}")
        raise typer.Exit(1)
