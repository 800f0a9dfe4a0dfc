"""What the notifier offers for what was accepted before: look at a delivery, replay it, expunge a payload."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from claimnotify.errors import NotFound
from claimnotify.model.recipients import check_identifier

if TYPE_CHECKING:
    from claimnotify.composition import Parts
    from claimnotify.model.notifications import Delivery

__all__ = ["ReplayCalls"]


class ReplayCalls:
    """The part of `Notifier` for deliveries that there are already."""

    if TYPE_CHECKING:
        _parts: Parts
        _tenant: str

    def delivery(self, delivery_id: str) -> Delivery:
        """Return one delivery with its attempts.

        Raises:
            NotFound: This tenant has no such delivery.
        """
        check_identifier(delivery_id, "delivery_id")
        self._parts.store.check()
        found = self._parts.store.journal.delivery(self._tenant, delivery_id)
        if found is None:
            raise NotFound("delivery_id", "there is no such delivery", "Check the id.")
        return found

    def replay(self, delivery_id: str, *, session: Any = None) -> Delivery:
        """Send one delivery again, over any channel, whatever became of it.

        A new delivery of the same notification is made, due at once, with `replay_of` telling which
        it repeats; the earlier one stays as it is. The receiver is sent the same bytes, a webhook
        under the same `webhook-id`. A webhook goes to the endpoint's URL of now. `expires` does not
        count any more, and under an ordering key it comes last.

        One that was replayed already is not replayed beside its replay: the last of them is, and
        while that one is under way it is returned and nothing is written. So calling twice sends once.

        Args:
            delivery_id: A delivery that is `sent`, `delivered`, `failed`, `skipped`, `expired` or
                `cancelled`, or was replayed.
            session: The caller's session; then it is committed when that commits.

        Returns:
            The new delivery, or the one that is under way.

        Raises:
            NotFound: This tenant has no such delivery, or its endpoint was deleted.
            InvalidInput: The payload was removed, the endpoint is disabled, or there was nowhere to
                send it to. Nothing was written.
        """
        check_identifier(delivery_id, "delivery_id")
        self._parts.store.check()
        return self._parts.replayer.replay(delivery_id, tenant=self._tenant, session=session)

    def expunge(self, notification_id: str, *, session: Any = None) -> None:
        """Remove the payload of a notification for good, wherever it was kept.

        Gone are the payload, rendered content, attachments, inbox items, and what attempts tell of
        headers and answers. What stays tells that it was: type, subject, tags, recipient, addresses,
        states and times, and the idempotency key with its fingerprint, so that a repeat still finds
        it. What waits is cancelled with the reason `expunged`; a send that is under way is not
        called back, but not tried again either. Doing it again does nothing.

        Args:
            notification_id: The notification.
            session: The caller's session; then it is committed when that commits.

        Raises:
            NotFound: This tenant has no such notification.
        """
        check_identifier(notification_id, "notification_id")
        self._parts.store.check()
        self._parts.replayer.expunge(notification_id, tenant=self._tenant, session=session)
