"""What `claimnotify listen` hears, and the seam to whatever shows it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from claimnotify.testing.http_peer import Request

__all__ = ["Display", "Heard"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """One request that was received and how it is answered.

    Args:
        at: When, in UTC.
        request: The request.
        verified: Whether its signature fits one of the secrets.
        problem: Why it is not verified; empty if it is.
        sent_at: The attempt's time as its headers say, or None if they do not.
        times: How many requests had this `webhook-id` so far, this one included; 0 without an id.
        status: What it is answered with.
        note: What became of it on its way on to the application; empty if nothing is to be said.
    """

    at: datetime
    request: Request
    verified: bool
    problem: str
    sent_at: datetime | None
    times: int
    status: int
    note: str

    @property
    def id(self) -> str:
        """The `webhook-id`, or empty."""
        return self.request.headers.get("webhook-id", "")

    @property
    def age(self) -> timedelta | None:
        """How old the attempt was when it came; negative if its clock is ahead of ours."""
        return None if self.sent_at is None else self.at - self.sent_at


class Display(Protocol):
    """Where the command tells what happens."""

    def listening(self, url: str, hints: Sequence[str]) -> None:
        """Say where webhooks can be sent to, and what else helps to begin."""

    def heard(self, heard: Heard) -> None:
        """Show a request."""

    def refused(self, at: datetime, status: int, problem: str) -> None:
        """Show that something came that is not a request we take."""

    def ended(self, received: int, verified: int) -> None:
        """Sum up."""
