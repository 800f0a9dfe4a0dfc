"""Sends again what somebody asks for: one delivery, all that failed, or what an endpoint never got."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from itertools import islice
from typing import Any

from claimnotify.delivery.contention import in_transaction
from claimnotify.errors import InvalidInput, NotFound
from claimnotify.model.endpoints import Endpoint
from claimnotify.model.notifications import Delivery, Notification
from claimnotify.model.replays import Recovery, Window
from claimnotify.model.states import DeliveryStatus, Reason
from claimnotify.policy.replays import AT_ITS_END, last_of_chain
from claimnotify.ports import Clock, Page, Replays, ReplayTransaction

__all__ = ["Replayer"]

_CHUNK = 500
"""How many deliveries are written in one transaction: what one holds is not held for long."""


class Replayer:
    """Makes new deliveries that repeat earlier ones; those stay as they are.

    Args:
        replays: Finds what to repeat, and opens transactions.
        clock: The one clock.
        new_id: Makes ids that sort by time.
    """

    def __init__(self, replays: Replays, *, clock: Clock, new_id: Callable[[], str]) -> None:
        self._replays = replays
        self._clock = clock
        self._new_id = new_id

    def replay(self, delivery_id: str, *, tenant: str, session: Any = None) -> Delivery:
        """Send one delivery again; return the new one, or the last replay if that is under way.

        Raises:
            NotFound: The tenant has no such delivery, or its endpoint was deleted.
            InvalidInput: The payload was removed, the endpoint is disabled, or there was no address.
        """
        return in_transaction(
            self._replays.transaction, session, lambda it: self._replay(it, delivery_id, tenant)
        )

    def expunge(self, notification_id: str, *, tenant: str, session: Any = None) -> None:
        """Remove the payload of a notification wherever it was kept.

        Raises:
            NotFound: The tenant has no such notification.
        """
        in_transaction(
            self._replays.transaction, session, lambda it: it.expunge(tenant, notification_id)
        )

    def recover(
        self, endpoint: Endpoint, *, since: datetime, until: datetime | None, limit: int
    ) -> Recovery:
        """Replay what failed to an endpoint, oldest first.

        Raises:
            NotFound: The endpoint was deleted.
            InvalidInput: The endpoint is disabled.
        """

        def lost(it: ReplayTransaction, ids: Sequence[str]) -> Sequence[Delivery]:
            return it.still_lost(endpoint.tenant, ids)

        return self._all(endpoint, self._replays.lost, lost, since, until, limit)

    def replay_missing(
        self, endpoint: Endpoint, *, since: datetime, until: datetime | None, limit: int
    ) -> Recovery:
        """Send what an endpoint never got though it is subscribed to it, oldest first.

        Raises:
            NotFound: The endpoint was deleted.
            InvalidInput: The endpoint is disabled.
        """

        def missed(it: ReplayTransaction, ids: Sequence[str]) -> Sequence[Delivery]:
            return it.still_missed(endpoint, ids)

        return self._all(endpoint, self._replays.missed, missed, since, until, limit)

    def _replay(self, transaction: ReplayTransaction, delivery_id: str, tenant: str) -> Delivery:
        notification = transaction.hold_of(tenant, delivery_id)
        if notification is None:
            raise NotFound("delivery_id", "there is no such delivery", "Check the id.")
        asked = next(each for each in notification.deliveries if each.id == delivery_id)
        last = last_of_chain(asked, notification.deliveries)
        if last.status not in AT_ITS_END:
            return last
        _check_kept(notification)
        endpoint = None
        if last.endpoint_id is not None:
            endpoint = _usable(transaction.endpoint(tenant, last.endpoint_id))
        elif not last.address:
            raise InvalidInput(
                "delivery_id",
                f"it went nowhere ({last.reason}), so there is nowhere to send it again",
                "Use endpoints.replay_missing() for an endpoint registered since, or notify() again.",
            )
        new = self._again(last, endpoint, transaction.now())
        transaction.add([new], ordering="none" if endpoint is None else endpoint.ordering)
        return new

    def _all(
        self,
        endpoint: Endpoint,
        look: Callable[..., Page],
        still: Callable[[ReplayTransaction, Sequence[str]], Sequence[Delivery]],
        since: datetime,
        until: datetime | None,
        limit: int,
    ) -> Recovery:
        _usable(endpoint)
        # What is made from now on is left out: else a replay that fails at once were replayed again.
        now = self._clock.now()
        window = Window(since, now if until is None else min(until, now))
        ids = _found(look, endpoint, window)
        replayed = 0
        while replayed < limit and (chunk := list(islice(ids, min(_CHUNK, limit - replayed)))):

            def write(it: ReplayTransaction, chunk: Sequence[str] = chunk) -> int | None:
                return self._write(it, endpoint, chunk, still)

            written = in_transaction(self._replays.transaction, None, write)
            if written is None:
                return Recovery(replayed=replayed, more=True)
            replayed += written
        return Recovery(replayed=replayed, more=next(ids, None) is not None)

    def _write(
        self,
        transaction: ReplayTransaction,
        endpoint: Endpoint,
        ids: Sequence[str],
        still: Callable[[ReplayTransaction, Sequence[str]], Sequence[Delivery]],
    ) -> int | None:
        """Write one chunk; return how many, or None if the endpoint cannot be sent to any more."""
        held = transaction.hold_endpoint(endpoint.tenant, endpoint.id)
        if held is None or not held.enabled:
            return None
        now = transaction.now()
        again = [self._again(each, held, now) for each in still(transaction, ids)]
        if again:
            transaction.add(again, ordering=held.ordering)
        return len(again)

    def _again(self, delivery: Delivery, endpoint: Endpoint | None, now: datetime) -> Delivery:
        """Return a new delivery that repeats `delivery`, to the endpoint where it is now."""
        return Delivery(
            id=self._new_id(),
            notification_id=delivery.notification_id,
            tenant=delivery.tenant,
            channel=delivery.channel,
            address=delivery.address if endpoint is None else endpoint.url,
            endpoint_id=None if endpoint is None else endpoint.id,
            status=DeliveryStatus.PENDING,
            reason=Reason.QUEUED,
            due_at=now,
            created_at=now,
            event_type=delivery.event_type,
            recipient=delivery.recipient,
            content=delivery.content,
            replay_of=delivery.id,
        )


def _found(look: Callable[..., Page], endpoint: Endpoint, window: Window) -> Iterator[str]:
    """Yield what is found, page by page, as far as it is asked for."""
    after: str | None = None
    while True:
        page = look(endpoint, window, after=after)
        yield from page.ids
        if page.after is None:
            return
        after = page.after


def _check_kept(notification: Notification) -> None:
    if notification.expunged_at is not None:
        raise InvalidInput(
            "delivery_id",
            f"the payload of its notification was removed at {notification.expunged_at:%Y-%m-%d %H:%M}",
            "It cannot be sent again; notify() anew.",
        )


def _usable(endpoint: Endpoint | None) -> Endpoint:
    """Return the endpoint if something can be sent to it.

    Raises:
        NotFound: It was deleted.
        InvalidInput: It is disabled.
    """
    if endpoint is None:
        raise NotFound(
            "endpoint", "it was deleted", "Register it anew, then endpoints.replay_missing()."
        )
    if not endpoint.enabled:
        raise InvalidInput(
            "endpoint",
            f"it is disabled ({endpoint.disabled_reason or 'no reason was given'})",
            "Enable it first: endpoints.enable().",
        )
    return endpoint
