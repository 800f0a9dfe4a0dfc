"""The in-app channel: the message becomes an item in the recipient's inbox, kept with the outcome."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from claimnotify.errors import PermanentDeliveryError
from claimnotify.model.messages import InAppMessage, Message
from claimnotify.model.notifications import Delivery, Receipt
from claimnotify.model.recipients import Recipient
from claimnotify.model.states import DeliveryStatus
from claimnotify.ports import ChannelContext

__all__ = ["InAppChannel", "factory"]


def factory(context: ChannelContext) -> InAppChannel:
    """Return the in-app channel; it has no settings of its own."""
    return InAppChannel(attempt_deadline=context.settings.attempt_deadline)


class InAppChannel:
    """Reaches everyone: an inbox is named by its recipient's id. Sends nothing over a network."""

    name = "in_app"
    ready = True
    on_unknown = "retry"

    def __init__(self, *, attempt_deadline: timedelta = timedelta(seconds=15)) -> None:
        self.attempt_deadline = attempt_deadline

    def addresses(self, recipient: Recipient) -> Sequence[str]:
        """Return the recipient's id."""
        return (recipient.id,)

    async def send(self, message: Message, delivery: Delivery) -> Receipt:
        """Return a receipt with the item; whoever records the outcome writes it with that.

        Raises:
            PermanentDeliveryError: `message` is none for an inbox.
        """
        if not isinstance(message, InAppMessage):
            raise PermanentDeliveryError(f"an inbox cannot show a {type(message).__name__}")
        return Receipt(status=DeliveryStatus.DELIVERED, inbox_item=message)

    async def open(self) -> None:
        """Do nothing: there is nothing to prepare."""

    async def aclose(self) -> None:
        """Do nothing: there is nothing to close."""
