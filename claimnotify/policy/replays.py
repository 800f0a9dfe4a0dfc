"""What a replay repeats: the last delivery of a chain, or what an endpoint never got. Pure functions."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Protocol, TypeVar

from claimnotify.model.endpoints import OPERATIONAL, Endpoint
from claimnotify.model.states import TERMINAL, DeliveryStatus, Reason

__all__ = ["AT_ITS_END", "WEBHOOK", "is_lost", "is_meant_for", "last_of_chain", "missed"]

WEBHOOK = "webhook"
"""The channel whose deliveries go to endpoints."""
AT_ITS_END = TERMINAL | {DeliveryStatus.SENT}
"""The states in which a delivery can be replayed: no worker moves on from them."""

_NOT_SENT_ON = frozenset({DeliveryStatus.CANCELLED, DeliveryStatus.EXPIRED, DeliveryStatus.SKIPPED})
_CALLED_BACK = frozenset({DeliveryStatus.CANCELLED, DeliveryStatus.EXPIRED})


class Sent(Protocol):
    """What is to be known of a delivery."""

    @property
    def id(self) -> str:
        """Its id."""

    @property
    def channel(self) -> str:
        """Its channel."""

    @property
    def endpoint_id(self) -> str | None:
        """Its endpoint."""

    @property
    def status(self) -> str:
        """Its state."""

    @property
    def reason(self) -> str:
        """Why it is in that state."""

    @property
    def replay_of(self) -> str | None:
        """The delivery that it repeats."""


_D = TypeVar("_D", bound=Sent)


def is_lost(delivery: Sent) -> bool:
    """Return whether a recovery is to repeat it: it failed, or is a replay that its endpoint was off for.

    What was skipped and is no replay is what an endpoint missed.
    """
    off = (delivery.status, delivery.reason) == (DeliveryStatus.SKIPPED, Reason.ENDPOINT_DISABLED)
    return delivery.status == DeliveryStatus.FAILED or (off and delivery.replay_of is not None)


def last_of_chain(delivery: _D, among: Iterable[_D]) -> _D:
    """Return the last replay of `delivery`, or itself.

    What an endpoint got later because it had missed it names another endpoint's delivery as what it
    repeats, and is no replay of that one.

    Args:
        delivery: Where the chain is entered.
        among: All deliveries of its notification.
    """
    following = {
        each.replay_of: each
        for each in among
        if (each.channel, each.endpoint_id) == (delivery.channel, delivery.endpoint_id)
    }
    last = delivery
    while last.id in following:
        last = following.pop(last.id)
    return last


def is_meant_for(
    endpoint: Endpoint,
    event_type: str,
    tags: Collection[str],
    *,
    subject: str | None,
    to_endpoint: str | None,
) -> bool:
    """Return whether a notification would have gone to the endpoint, had it been there and enabled.

    What was addressed to one endpoint, a ping or an example, would not have gone to another, and is
    no event that this one could have missed. No endpoint is told of its own trouble.
    """
    of_itself = event_type.startswith(OPERATIONAL) and subject == endpoint.id
    return to_endpoint is None and not of_itself and endpoint.subscribes_to(event_type, tags)


def missed(endpoint_id: str, deliveries: Sequence[_D]) -> _D | None:
    """Return the delivery that one to the endpoint would repeat, or None if it is to get none.

    Args:
        endpoint_id: An endpoint that the notification is meant for.
        deliveries: All webhook deliveries of one notification, in order.

    Returns:
        The last of the endpoint's own deliveries if all of them were skipped; the first of any if
        it has none. None if it has had one, if the event is for a later time, or if it was called
        back or expired before it went to anybody.
    """
    mine = [each for each in deliveries if each.endpoint_id == endpoint_id]
    others = [each for each in deliveries if each.channel == WEBHOOK]
    if any(each.status != DeliveryStatus.SKIPPED for each in mine):
        return None
    if not others or any(each.status == DeliveryStatus.SCHEDULED for each in others):
        return None
    stays = all(each.status in _NOT_SENT_ON for each in others)
    if stays and any(each.status in _CALLED_BACK for each in others):
        return None
    return mine[-1] if mine else others[0]
