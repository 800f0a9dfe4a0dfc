"""`claimnotify deliveries replay` and `expunge`, and how one delivery is shown with its attempts."""

from __future__ import annotations

from datetime import timedelta

from claimnotify.cli.application import AppOption, opened_notifier
from claimnotify.cli.output import say
from claimnotify.model.notifications import Attempt, Delivery

__all__ = ["expunge", "replay", "say_delivery"]


def replay(delivery_id: str, app_path: AppOption = "") -> None:
    """Send one delivery again; its id is what `deliveries show` tells."""
    with opened_notifier(app_path) as notifier:
        made = notifier.replay(delivery_id)
        say_delivery(made)


def expunge(notification_id: str, app_path: AppOption = "") -> None:
    """Remove the payload of a notification for good, wherever it was kept."""
    with opened_notifier(app_path) as notifier:
        notifier.expunge(notification_id)
        say(f"the payload of {notification_id} is gone")


def say_delivery(delivery: Delivery) -> None:
    """Print a delivery and its attempts, with what was sent and answered where that was kept."""
    say(f"  {delivery.channel} to {delivery.address}: {delivery.status} ({delivery.reason})")
    of = "" if delivery.replay_of is None else f", a replay of {delivery.replay_of}"
    say(f"    delivery {delivery.id}{of}")
    for attempt in delivery.history:
        _say_attempt(attempt)


def _say_attempt(attempt: Attempt) -> None:
    code = attempt.status_code or ""
    took = f"in {attempt.duration // timedelta(milliseconds=1)} ms"
    say(
        f"    {attempt.number}. {attempt.started_at:%Y-%m-%d %H:%M:%S} {attempt.outcome} {took}"
        f" {code} {attempt.error} {attempt.detail}"
    )
    for mark, headers in ((">", attempt.request_headers), ("<", attempt.response_headers)):
        for name, value in headers.items():
            say(f"       {mark} {name}: {value}")
