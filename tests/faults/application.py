"""The application under fault: its event, and the notifier that its processes make of their settings.

Workers are told of it by CLAIMNOTIFY_APP=tests.faults.application:make_notifier. Attempts that fail
are made again within the second, so that a run takes seconds and not hours.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from claimnotify import Event, Notifier, Recipient
from claimnotify.policy.retry import RetrySchedule
from tests.faults import disk, poison

__all__ = ["OWNERS", "SeatMoved", "make_notifier", "recipient"]

OWNERS = 6
"""How many recipients there are; each has an endpoint of their own."""

_SOON = [timedelta(seconds=0.3)] * 30
_SCHEDULES: Mapping[str, RetrySchedule] = {
    channel: RetrySchedule.of(*_SOON) for channel in ("webhook", "email")
}


class SeatMoved(Event, type="seat.moved", channels=("in_app", "webhook", "email")):
    """What everybody is told of, over three channels."""

    number: int


def recipient(number: int) -> Recipient:
    """Return the recipient of the notification with this number."""
    key = f"cus_{number % OWNERS}"
    return Recipient(id=key, email=f"{key}@example.com")


def make_notifier(**settings: Any) -> Notifier:
    """Return the application's notifier."""
    disk.install()
    poison.install()
    return Notifier.from_settings(retry=_SCHEDULES, **settings)
