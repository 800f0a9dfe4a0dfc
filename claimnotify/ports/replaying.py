"""The seam for what happens to a notification later: its deliveries are sent again, its payload goes."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from claimnotify.model.endpoints import Endpoint, Ordering
from claimnotify.model.notifications import Delivery, Notification
from claimnotify.model.replays import Window

__all__ = ["Page", "ReplayTransaction", "Replays"]


@dataclass(frozen=True, slots=True)
class Page:
    """A part of what was looked for.

    Args:
        ids: What was found in it, oldest first; may be empty though more follows.
        after: Where the next part begins, or None if this was the last.
    """

    ids: Sequence[str]
    after: str | None


class ReplayTransaction(Protocol):
    """The transaction that replays are written in: its own, or the caller's.

    Who holds a notification is alone in adding replays to it until the transaction ends, whatever
    its isolation: another waits, or is told of a conflict, and then sees what was added.
    """

    def now(self) -> datetime:
        """Return the clock's time."""

    def hold_of(self, tenant: str, delivery_id: str) -> Notification | None:
        """Hold the notification that a delivery belongs to; None if the tenant has no such delivery.

        Returns it with all its deliveries as they are now, in order.
        """

    def endpoint(self, tenant: str, endpoint_id: str) -> Endpoint | None:
        """Return the endpoint, or None if this tenant has none of that id."""

    def hold_endpoint(self, tenant: str, endpoint_id: str) -> Endpoint | None:
        """Do as `endpoint`; another caller that holds it waits until the transaction ends."""

    def still_lost(self, tenant: str, delivery_ids: Collection[str]) -> Sequence[Delivery]:
        """Hold their notifications; return, in order, those that were lost and have no replay.

        `claimnotify.policy.replays.is_lost` says which those are. Those whose payload was removed
        are left out.
        """

    def still_missed(
        self, endpoint: Endpoint, notification_ids: Collection[str]
    ) -> Sequence[Delivery]:
        """Hold the notifications; return of each that the endpoint missed what is to be repeated.

        They are in the order of their notifications; what is missed says
        `claimnotify.policy.replays.missed`. Those whose payload was removed are left out.
        """

    def add(self, replays: Sequence[Delivery], *, ordering: Ordering = "none") -> None:
        """Write new deliveries, and ring their queues when the transaction has committed.

        Each names in `replay_of` a delivery of the same notification, whose queue, priority,
        rendered content and strictness it shares; it comes last among its notification's deliveries
        and last in its order, if it has an ordering key or its endpoint an `ordering`.
        """

    def expunge(self, tenant: str, notification_id: str) -> None:
        """Remove the payload of a notification wherever it was kept; doing so again does nothing.

        What waits is cancelled with the reason `expunged`; what is being sent is not tried again, and
        neither its content nor what was answered is kept.

        Raises:
            NotFound: This tenant has no such notification.
        """


class Replays(Protocol):
    """Finds what to send again, and opens the transactions in which that is written."""

    def transaction(self, session: Any = None) -> AbstractContextManager[ReplayTransaction]:
        """Return the caller's transaction if `session` is given, else one that commits at exit.

        Raises:
            ConfigurationError: The session's database is not the one of this store.
            StoreUnavailable: The database cannot be reached.
        """

    def lost(self, endpoint: Endpoint, window: Window, *, after: str | None) -> Page:
        """Look for deliveries to the endpoint that were made in `window`, were lost and have no replay.

        `claimnotify.policy.replays.is_lost` says which those are.

        Args:
            endpoint: The endpoint.
            window: When they were made.
            after: Where the page before ended, or None for the first.

        Returns:
            A page of ids of deliveries, of bounded size.
        """

    def missed(self, endpoint: Endpoint, window: Window, *, after: str | None) -> Page:
        """Look for notifications of the endpoint's owner that were meant for it too, and that it missed.

        `is_meant_for` and `missed` in `claimnotify.policy.replays` say which those are; arguments are
        those of `lost`.

        Returns:
            A page of ids of notifications, of bounded size.
        """
