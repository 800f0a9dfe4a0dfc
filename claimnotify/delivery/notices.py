"""Tells owners and operators of endpoints that are failing or were disabled, each thing once."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from urllib.parse import urlsplit

from claimnotify.delivery.accept import Acceptor
from claimnotify.delivery.requests import Request
from claimnotify.errors import StoreUnavailable
from claimnotify.model.notices import EndpointNotice
from claimnotify.model.recipients import Recipient
from claimnotify.model.states import Reason
from claimnotify.ports import Clock, WorkQueue
from claimnotify.webhooks.events import EndpointDisabled, EndpointEvent, EndpointFailing

__all__ = ["OPERATIONS", "Notices"]

OPERATIONS = "operations"
"""The id of the recipient that stands for whoever operates this installation."""

_log = logging.getLogger("claimnotify.delivery")
_PAUSE = 60.0
"""Seconds between looks for what other processes wrote, or what could not be told."""
_GIVES_UP_AFTER = timedelta(hours=1)
"""How long the application's look-up of owners is asked again before it is done without."""
_AT_ONCE = 100
_EVENTS: dict[str, type[EndpointEvent]] = {
    "failing": EndpointFailing,
    "disabled": EndpointDisabled,
}


class Notices:
    """Turns notices into notifications; a notice is deleted in the transaction that accepts them.

    The owner is told over e-mail and in-app; the operators besides over the webhook endpoints of
    the owner `operations`. No notice goes to the endpoint that it is about. Called from any thread.

    Args:
        work: Where notices are found.
        acceptor: Accepts what tells of them.
        clock: The one clock.
        recipient_for: Returns whom to tell of a tenant's owner, or None if the application knows
            none: then it is a recipient of the owner's id, who has an in-app inbox. It may raise.
        operations_email: The operators' address, or empty.
        monotonic: Seconds that never go back.
    """

    def __init__(
        self,
        *,
        work: WorkQueue,
        acceptor: Acceptor,
        clock: Clock,
        recipient_for: Callable[[str, str], Recipient | None] | None = None,
        operations_email: str = "",
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._work = work
        self._acceptor = acceptor
        self._clock = clock
        self._recipient_for = recipient_for
        self._operations = Recipient(id=OPERATIONS, email=operations_email or None)
        self._monotonic = monotonic
        self._look_at = 0.0
        self._some_left = False

    def want(self) -> None:
        """Let the next look be at once: a notice was written."""
        self._look_at = 0.0

    def begin(self) -> None:
        """Let the next look be at once if something is known to be left: someone begins to work."""
        if self._some_left:
            self.want()

    def look(self) -> bool:
        """Tell what there is, if it is time to look; return whether there was anything.

        Raises:
            StoreUnavailable: The database cannot be reached.
        """
        if self._monotonic() < self._look_at:
            return False
        self._look_at = self._monotonic() + _PAUSE
        try:
            told = [self._tell(notice) for notice in self._found()]
        except StoreUnavailable:
            self.want()
            raise
        self._some_left = not all(told)
        return bool(told)

    def _found(self) -> Iterator[EndpointNotice]:
        after = ""
        while page := self._work.notices(limit=_AT_ONCE, after=after):
            yield from page
            if len(page) < _AT_ONCE:
                return
            after = page[-1].id

    def _tell(self, notice: EndpointNotice) -> bool:
        """Return whether a notice is told, by this worker or another."""
        try:
            requests = _requests(notice, self._operations)
            if _for_operators_alone(notice):
                self._acceptor.accept(requests, tenant=notice.tenant, notice_id=notice.id)
                return True
            owner = self._owner(notice)
            if owner is None:
                # The operators do not wait for it; told again with the rest, they are told once.
                self._acceptor.accept(requests, tenant=notice.tenant)
                return False
            requests = [_to_owner(notice, owner), *requests]
            self._acceptor.accept(requests, tenant=notice.tenant, notice_id=notice.id)
            return True
        except StoreUnavailable:
            raise
        except Exception as error:
            # Not of its texts, which may quote what the application stored.
            _log.error(
                "nobody is told of endpoint %s yet: %s", notice.endpoint_id, type(error).__name__
            )
            return False

    def _owner(self, notice: EndpointNotice) -> Recipient | None:
        """Return whom to tell; None if that is to be asked again later."""
        known = Recipient(id=notice.owner)
        if self._recipient_for is None:
            return known
        try:
            found: object = self._recipient_for(notice.tenant, notice.owner)
            if found is None or isinstance(found, Recipient):
                return found or known
            problem = f"returned a {type(found).__name__}"
        except (Exception, SystemExit) as error:
            problem = f"raised {type(error).__name__}"
        age = self._clock.now() - notice.created_at
        waits = timedelta(0) <= age < _GIVES_UP_AFTER
        _log.error(
            "recipient_for %s for the owner of endpoint %s; %s",
            problem,
            notice.endpoint_id,
            "it is asked again" if waits else "only the inbox of that id is told",
        )
        return None if waits else known


def _for_operators_alone(notice: EndpointNotice) -> bool:
    """Return whether its owner is an operator too, or has no part in it as the fault is ours."""
    return notice.owner == OPERATIONS or notice.reason == Reason.OUR_FAULT


def _requests(notice: EndpointNotice, operations: Recipient) -> Sequence[Request]:
    """Return what tells the operators."""
    channels = ("in_app", "email", "webhook") if operations.email else ("in_app", "webhook")
    return [
        Request(
            event=_event(notice),
            recipient=operations,
            owner=OPERATIONS,
            idempotency_key=f"endpoint-notice:{notice.id}:operations",
            channels=channels,
            but_endpoint=notice.endpoint_id,
        )
    ]


def _to_owner(notice: EndpointNotice, owner: Recipient) -> Request:
    return Request(
        event=_event(notice),
        recipient=owner,
        owner=owner.id,
        idempotency_key=f"endpoint-notice:{notice.id}:owner",
        channels=("in_app", "email"),
    )


def _event(notice: EndpointNotice) -> EndpointEvent:
    return _EVENTS[notice.kind](
        endpoint_id=notice.endpoint_id,
        url=_shown(notice.url),
        owner=notice.owner,
        reason=notice.reason,
        failing_since=notice.failing_since,
    )


def _shown(url: str) -> str:
    """Return scheme, host and path: a query may hold a token."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
