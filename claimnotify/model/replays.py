"""Values of what is looked at and sent again: a span of time, what a recovery did, a log of attempts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from claimnotify.model.notifications import Attempt
from claimnotify.model.states import DeliveryStatus

__all__ = ["AttemptRecord", "Recovery", "Window"]


@dataclass(frozen=True, slots=True)
class Window:
    """A span of time.

    Args:
        since: Its first moment.
        until: The first moment after it.
    """

    since: datetime
    until: datetime

    def covers(self, moment: datetime) -> bool:
        """Return whether `moment` is in it."""
        return self.since <= moment < self.until


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """What `endpoints.recover` or `endpoints.replay_missing` did.

    Args:
        replayed: How many deliveries were made.
        more: Whether there is more to do: the limit was reached, or the endpoint was disabled
            meanwhile. The same call again goes on.
    """

    replayed: int
    more: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptRecord:
    """One line in the log of an endpoint's attempts.

    Args:
        id: The attempt's id, 32 hexadecimal digits.
        delivery_id: The delivery it was made for.
        notification_id: The notification; the receiver saw it as `webhook-id`.
        event_type: The event's type.
        status: Where the delivery is now.
        reason: Why it is there.
        replay_of: The delivery that this delivery repeats, or None.
        attempt: When it was made, how long it took, how it ended, what was answered.
    """

    id: str
    delivery_id: str
    notification_id: str
    event_type: str
    status: DeliveryStatus
    reason: str
    replay_of: str | None
    attempt: Attempt
