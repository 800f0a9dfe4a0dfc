"""The e-mail channel: composes the mail and gives it to a transport. It speaks no SMTP itself."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Protocol

from claimnotify.channels.mail_headers import ascii_domain
from claimnotify.channels.mime import Mail, compose
from claimnotify.channels.smtp import SmtpTransport
from claimnotify.channels.smtp_session import Credentials
from claimnotify.errors import (
    ConfigurationError,
    DeliverySkipped,
    InvalidInput,
    PermanentDeliveryError,
)
from claimnotify.model.messages import EmailMessage, Message
from claimnotify.model.notifications import Delivery, Receipt
from claimnotify.model.recipients import Recipient
from claimnotify.model.states import Reason
from claimnotify.ports import ChannelContext

__all__ = ["EmailChannel", "MailTransport", "factory"]

_LARGE = 256 * 1024
"""Bytes of attachments from which composing leaves the loop to others."""


class MailTransport(Protocol):
    """A vendor behind the e-mail channel. `open` and `aclose` run on the worker's loop."""

    async def send(self, mail: Mail) -> Receipt:
        """Hand `mail` over; raises the same errors as `Channel.send`."""

    async def open(self) -> None:
        """Prepare."""

    async def aclose(self) -> None:
        """Close connections."""


def factory(context: ChannelContext) -> EmailChannel:
    """Return the channel over SMTP; not `ready` while `smtp_host` is empty.

    Raises:
        ConfigurationError: If the password would travel in clear or a setting is unusable.
    """
    settings = context.settings
    deadline: timedelta = settings.attempt_deadline
    if not settings.smtp_host:
        return EmailChannel(transport=None, sender="", attempt_deadline=deadline)
    credentials = None
    if settings.smtp_username:
        credentials = Credentials(settings.smtp_username, settings.smtp_password.get_secret_value())
    transport = SmtpTransport(
        host=settings.smtp_host,
        port=settings.smtp_port,
        security=settings.effective_smtp_security,
        credentials=credentials,
        ca_file=settings.smtp_ca_file,
        connections=settings.smtp_connections,
        # The worker stops a send at the deadline; ending just before it lets us say how far it got.
        deadline=deadline * 0.95,
        random=context.random,
    )
    return EmailChannel(
        transport=transport,
        sender=settings.smtp_from_email,
        sender_name=settings.smtp_from_name,
        attempt_deadline=deadline,
        concurrency=settings.smtp_connections,
    )


class EmailChannel:
    """Carries an EmailMessage, with the delivery's attachments, to one address.

    Args:
        transport: What sends the mail; without one the channel is not `ready`.
        sender: The From address.
        sender_name: What to show beside it.
        attempt_deadline: The longest one `send` may take.
        concurrency: How many sends the transport carries at once; more would only wait.

    Raises:
        ConfigurationError: If the sender's domain cannot exist.
    """

    name = "email"
    on_unknown = "retry"
    """A mail that may have gone is sent again: its Message-ID shows that it is the same one."""

    def __init__(
        self,
        *,
        transport: MailTransport | None,
        sender: str,
        sender_name: str = "",
        attempt_deadline: timedelta = timedelta(seconds=15),
        concurrency: int = 8,
    ) -> None:
        try:
            self._sender = ascii_domain(sender)
        except InvalidInput as error:
            raise ConfigurationError("smtp_from_email", error.problem, error.remedy) from error
        self._transport = transport
        self._sender_name = sender_name
        self.ready = transport is not None
        self.attempt_deadline = attempt_deadline
        self.concurrency = concurrency

    def addresses(self, recipient: Recipient) -> Sequence[str]:
        """Return the recipient's e-mail address, if they have one."""
        return (recipient.email,) if recipient.email else ()

    async def send(self, message: Message, delivery: Delivery) -> Receipt:
        """Compose the mail, the same bytes on every attempt, and hand it over.

        Raises:
            TransientDeliveryError: The server could not be reached or asked to try later.
            PermanentDeliveryError: The mail cannot be composed, or the server refused it.
            UnknownOutcome: The connection was lost before the server's last word.
            DeliverySkipped: The channel has no settings.
        """
        if self._transport is None:
            raise DeliverySkipped("smtp_host is not set", reason=Reason.CHANNEL_NOT_CONFIGURED)
        if not isinstance(message, EmailMessage):
            raise PermanentDeliveryError(f"an e-mail cannot carry a {type(message).__name__}")
        return await self._transport.send(await self._composed(message, delivery))

    async def _composed(self, message: EmailMessage, delivery: Delivery) -> Mail:
        if sum(len(each.content) for each in delivery.attachments) < _LARGE:
            return self._compose(message, delivery)
        return await asyncio.to_thread(self._compose, message, delivery)

    def _compose(self, message: EmailMessage, delivery: Delivery) -> Mail:
        return compose(message, delivery, sender=self._sender, sender_name=self._sender_name)

    async def open(self) -> None:
        """Prepare the transport; no connection is made before the first mail."""
        if self._transport is not None:
            await self._transport.open()

    async def aclose(self) -> None:
        """Close the transport's connections."""
        if self._transport is not None:
            await self._transport.aclose()
