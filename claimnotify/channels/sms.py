"""The SMS channel: gives a text and a number to a transport. It knows no vendor's protocol."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from datetime import timedelta
from typing import Literal, Protocol

from claimnotify.channels.twilio import TwilioTransport
from claimnotify.errors import ConfigurationError, DeliverySkipped, PermanentDeliveryError
from claimnotify.model.messages import Message, SmsMessage
from claimnotify.model.notifications import Delivery, Receipt
from claimnotify.model.recipients import Recipient
from claimnotify.model.states import Reason
from claimnotify.ports import ChannelContext

__all__ = ["SmsChannel", "SmsTransport", "factory"]


class SmsTransport(Protocol):
    """A vendor behind the SMS channel. `open` and `aclose` run on the worker's loop."""

    async def send(self, text: str, *, to: str) -> Receipt:
        """Hand `text` over for the number `to`; raises the same errors as `Channel.send`."""

    async def open(self) -> None:
        """Prepare."""

    async def aclose(self) -> None:
        """Close connections."""


def factory(context: ChannelContext) -> SmsChannel:
    """Return the channel over Twilio; not `ready` without Twilio's settings.

    Raises:
        ConfigurationError: If there are settings and the `twilio` package is not installed.
    """
    settings = context.settings
    deadline: timedelta = settings.attempt_deadline
    transport = None
    if settings.twilio_account_sid:
        if importlib.util.find_spec("twilio") is None:
            raise ConfigurationError(
                "twilio_account_sid",
                "is set, but the twilio package is not installed",
                "Install claimnotify[twilio].",
            )
        transport = TwilioTransport(
            account_sid=settings.twilio_account_sid,
            auth_token=settings.twilio_auth_token.get_secret_value(),
            sender=settings.twilio_from_number,
            api_url=settings.twilio_api_url,
            http=context.http(None),
            # The worker stops a send at the deadline; ending just before it lets us say more.
            deadline=deadline * 0.95,
            random=context.random,
            clock=context.clock,
        )
    return SmsChannel(
        transport=transport, attempt_deadline=deadline, on_unknown=settings.sms_on_unknown
    )


class SmsChannel:
    """Carries an SmsMessage to one number.

    Args:
        transport: What sends it; without one the channel is not `ready`.
        attempt_deadline: The longest one `send` may take.
        on_unknown: What the worker does when a text may have gone: no provider lets us ask, so
            `retry` risks a second text and `fail` risks none arriving.
    """

    name = "sms"

    def __init__(
        self,
        *,
        transport: SmsTransport | None,
        attempt_deadline: timedelta = timedelta(seconds=15),
        on_unknown: Literal["retry", "fail"] = "retry",
    ) -> None:
        self._transport = transport
        self.ready = transport is not None
        self.attempt_deadline = attempt_deadline
        self.on_unknown = on_unknown

    def addresses(self, recipient: Recipient) -> Sequence[str]:
        """Return the recipient's number, if they have one."""
        return (recipient.phone,) if recipient.phone else ()

    async def send(self, message: Message, delivery: Delivery) -> Receipt:
        """Hand the text over.

        Raises:
            TransientDeliveryError: The vendor could not be reached or asked to try later.
            PermanentDeliveryError: The vendor refused this text or number.
            UnknownOutcome: The vendor's answer was lost.
            DeliverySkipped: The channel has no settings.
        """
        if self._transport is None:
            raise DeliverySkipped(
                "twilio_account_sid is not set", reason=Reason.CHANNEL_NOT_CONFIGURED
            )
        if not isinstance(message, SmsMessage):
            raise PermanentDeliveryError(f"an SMS cannot carry a {type(message).__name__}")
        return await self._transport.send(message.text, to=delivery.address)

    async def open(self) -> None:
        """Prepare the transport; no connection is made before the first text."""
        if self._transport is not None:
            await self._transport.open()

    async def aclose(self) -> None:
        """Close the transport's connections."""
        if self._transport is not None:
            await self._transport.aclose()
