"""What a notifier offers besides notifying: the endpoints and the inboxes of its tenant."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from claimnotify.composition import Parts
    from claimnotify.delivery.requests import Request
    from claimnotify.inbox import InboxService
    from claimnotify.model.endpoints import Endpoint
    from claimnotify.model.events import Event
    from claimnotify.model.notifications import Notification
    from claimnotify.recovery import TenantEndpoints

__all__ = ["Services"]


class Services:
    """The part of `Notifier` that hands out services bound to its tenant."""

    if TYPE_CHECKING:
        _parts: Parts
        _tenant: str

        def _accept(self, requests: Sequence[Request], session: Any) -> Sequence[Notification]: ...

    @property
    def endpoints(self) -> TenantEndpoints:
        """The webhook endpoints of this tenant."""
        from claimnotify.recovery import TenantEndpoints

        self._parts.store.check()
        return TenantEndpoints(
            self._parts.store.endpoints,
            cipher=self._parts.cipher,
            policy=self._parts.policy,
            clock=self._parts.store.clock,
            new_id=self._parts.new_id,
            tenant=self._tenant,
            check=self._parts.registration,
            longest_timeout=self._parts.settings.attempt_deadline,
            send=self._send_to,
            replayer=self._parts.replayer,
            journal=self._parts.store.journal,
            work=self._parts.store.work,
        )

    @property
    def inbox(self) -> InboxService:
        """The in-app inboxes of this tenant."""
        from claimnotify.inbox import InboxService

        self._parts.store.check()
        return InboxService(self._parts.store.inbox, tenant=self._tenant)

    def _send_to(self, event: Event, endpoint: Endpoint, session: Any) -> Notification:
        """Accept an event for one endpoint."""
        from claimnotify.delivery.requests import Request

        request = Request(
            event=event, recipient=None, owner=endpoint.owner, endpoint_id=endpoint.id
        )
        return self._accept([request], session)[0]
