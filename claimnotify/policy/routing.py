"""Which deliveries an event gives: a pure function of the event, the recipient and the endpoints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from claimnotify.errors import UnknownChannel
from claimnotify.model.endpoints import Endpoint
from claimnotify.model.events import EventSpec
from claimnotify.model.recipients import Recipient
from claimnotify.model.states import Reason

__all__ = ["Reach", "Route", "by_endpoint", "channels_of", "route"]


class Reach(Protocol):
    """What routing needs of a channel."""

    name: str

    def addresses(self, recipient: Recipient) -> Sequence[str]:
        """Return where the recipient can be reached over this channel; empty if nowhere."""


_C = TypeVar("_C", bound=Reach)


@dataclass(frozen=True, slots=True)
class Route:
    """One delivery to make: over `channel` to `address`, unless `skip` says why not."""

    channel: str
    address: str = ""
    endpoint_id: str | None = None
    skip: Reason | None = None


def by_endpoint(channel: Reach) -> bool:
    """Return whether the channel delivers to an owner's endpoints and not to a recipient."""
    return bool(getattr(channel, "by_endpoint", False))


def channels_of(spec: EventSpec, channels: Mapping[str, _C]) -> list[_C]:
    """Return the installed channels an event names, in its order.

    Raises:
        UnknownChannel: If one is not installed.
    """
    for name in spec.channels:
        if name not in channels:
            raise UnknownChannel(
                f"event type {spec.type!r}",
                f"names the channel {name!r}, which is not installed",
                f"Installed are {', '.join(sorted(channels))}; install the package that adds it.",
            )
    return [channels[name] for name in spec.channels]


def route(
    event_type: str,
    recipient: Recipient | None,
    channels: Sequence[Reach],
    endpoints: Sequence[Endpoint],
    *,
    tags: Sequence[str] = (),
) -> list[Route]:
    """Return the deliveries of one event for one recipient, or for an owner's endpoints alone.

    Args:
        event_type: The event's type.
        recipient: Whom it is for, or None when it is published.
        channels: The event's channels, in order.
        endpoints: All endpoints of the recipient or owner.
        tags: What endpoints with tags of their own choose by.
    """
    routes: list[Route] = []
    for channel in channels:
        name = channel.name
        if by_endpoint(channel):
            wanted = [endpoint for endpoint in endpoints if endpoint.wants(event_type, tags)]
            routes += [Route(name, each.url, each.id) for each in wanted]
            if not wanted:
                routes.append(Route(name, skip=Reason.NO_ENDPOINT))
        elif recipient is not None:
            addresses = channel.addresses(recipient)
            routes += [Route(name, address) for address in addresses]
            if not addresses:
                routes.append(Route(name, skip=Reason.NO_ADDRESS))
    return routes
