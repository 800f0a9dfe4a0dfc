"""Sends webhooks with a notifier, over a real socket, and keeps what arrived."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from claimnotify import Event, Notifier
from claimnotify.testing import WebhookReceiver
from claimnotify.testing.webhook_receiver import Received
from tests.acceptance.integrators.public_key import PRIVATE_KEY

__all__ = ["Sent", "send_three", "webhook_headers"]

_OWNER = "partner_9"


class SeatRefunded(Event, type="integrators.seat_refunded", channels=("webhook",)):
    """Something to tell, in more than ASCII."""

    passenger: str
    amount: str


@dataclass(frozen=True, kw_only=True)
class Sent:
    """What one endpoint was sent before its secret was replaced, and during the grace period.

    Args:
        old: The first secret.
        new: The one that replaced it.
        before: The request that came before.
        during: The one that came after, with two signatures.
        public: The one that came when an Ed25519 key had joined them.
    """

    old: str
    new: str
    before: Received
    during: Received
    public: Received


def webhook_headers(received: Received) -> dict[str, str]:
    """Return the three headers that a verifier looks at."""
    return {name: value for name, value in received.headers.items() if name.startswith("webhook-")}


def send_three(folder: Path) -> Sent:
    """Send three webhooks to a receiver: before, while, and after its secret is replaced twice."""
    event = SeatRefunded(passenger="Zoë Müller 🙂", amount="250.00 €")
    with WebhookReceiver() as receiver:
        with _notifier(folder) as notifier:
            endpoint, old = notifier.endpoints.register(receiver.url, owner=_OWNER)
            notifier.publish(event, owner=_OWNER)
            notifier.drain()
            new = notifier.endpoints.rotate(endpoint.id)
        with _notifier(folder) as notifier:  # another, as secrets are kept for a second
            notifier.publish(event, owner=_OWNER)
            notifier.drain()
            notifier.endpoints.rotate(endpoint.id, key="v1a", secret=PRIVATE_KEY)
        with _notifier(folder) as notifier:
            notifier.publish(event, owner=_OWNER)
            notifier.drain()
        before, during, public = receiver.wait_for(3)
    return Sent(old=old, new=new, before=before, during=during, public=public)


def _notifier(folder: Path) -> Notifier:
    return Notifier.from_settings(
        database_url=f"sqlite:///{folder / 'sent.db'}",
        queue_url="memory://",
        secret_keys="a-key-for-the-integrators-page-of-32-characters",
        webhook_allow_networks="127.0.0.0/8",
        webhook_allow_http=True,
    )
