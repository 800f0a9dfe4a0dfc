"""Sends an endpoint something to try it with: a ping, or the example of an event type."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from claimnotify.errors import InvalidInput, NotFound
from claimnotify.model.awaiting import awaited
from claimnotify.model.endpoints import Endpoint
from claimnotify.model.events import Event, catalogue
from claimnotify.model.notifications import Notification
from claimnotify.model.recipients import check_identifier
from claimnotify.webhooks.rotation import KeyService, no_such_endpoint

__all__ = ["EndpointPing", "PingService", "SendTo"]

SendTo = Callable[[Event, Endpoint, Any], Notification]
"""Accepts an event for one endpoint, whatever it subscribes to, in a session if one is given."""


class EndpointPing(Event, type="endpoint.ping", category="webhooks", channels=("webhook",)):
    """Somebody tries whether the endpoint works. Nothing has happened."""

    endpoint_id: str


class PingService(KeyService):
    """Trying the endpoints of one tenant; a part of `notifier.endpoints`."""

    def __init__(self, *arguments: Any, send: SendTo | None = None, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._send = send

    def ping(self, endpoint_id: str, *, session: Any = None) -> Notification:
        """Send an event of type `endpoint.ping`, whatever the endpoint subscribes to.

        It goes the way of every event: accepted when this returns, signed, tried again, and listed
        with its attempts by `notifier.history(notification_id=…)`.

        Raises:
            NotFound: This tenant has none of that id.
            InvalidInput: The endpoint is disabled.
        """
        return self._send_to(endpoint_id, EndpointPing(endpoint_id=str(endpoint_id)), session)

    def send_example(
        self, endpoint_id: str, event_type: str, *, version: int | None = None, session: Any = None
    ) -> Notification:
        """Send the example of an event type, whatever the endpoint subscribes to.

        The receiver cannot tell it from the real thing but by what it says: give events examples
        that cannot be mistaken for a customer's.

        Args:
            endpoint_id: The endpoint.
            event_type: A type that the application has defined.
            version: Which version of its payload; the newest unless given.
            session: The transaction to join.

        Raises:
            NotFound: This tenant has no such endpoint, or the application no such event type.
            InvalidInput: The endpoint is disabled.
        """
        from claimnotify.catalogue.examples import example_of

        known = isinstance(event_type, str) and (version is None or isinstance(version, int))
        event = catalogue.get(event_type, version) if known else None
        if event is None:
            raise NotFound(
                "event_type",
                "there is none of that name and version",
                "Import the module that defines it first. See: claimnotify events list",
            )
        return self._send_to(endpoint_id, example_of(event), session)

    async def aping(self, endpoint_id: str, *, session: Any = None) -> Notification:
        """Do what `ping` does."""
        return await awaited(lambda joined: self.ping(endpoint_id, session=joined), session)

    async def asend_example(
        self, endpoint_id: str, event_type: str, *, version: int | None = None, session: Any = None
    ) -> Notification:
        """Do what `send_example` does."""
        return await awaited(
            lambda joined: self.send_example(
                endpoint_id, event_type, version=version, session=joined
            ),
            session,
        )

    def _send_to(self, endpoint_id: str, event: Event, session: Any) -> Notification:
        check_identifier(endpoint_id, "endpoint_id")
        endpoint = self._store.get_endpoint(self._tenant, endpoint_id, session=session)
        if endpoint is None:
            raise no_such_endpoint()
        if not endpoint.enabled:
            raise InvalidInput("endpoint", "is disabled", "Enable it first.")
        if self._send is None:
            raise InvalidInput("endpoint", "nothing can be sent from here", "Use a Notifier.")
        return self._send(event, endpoint, session)
