"""What `notifier.endpoints` offers beyond keeping endpoints: their log, and sending to them again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from claimnotify.errors import InvalidInput
from claimnotify.model.awaiting import on_thread
from claimnotify.model.checks import check_flag, check_page, check_window, is_count
from claimnotify.model.recipients import check_identifier
from claimnotify.model.replays import AttemptRecord, Recovery
from claimnotify.model.states import DeliveryStatus
from claimnotify.webhooks.endpoints import EndpointService

if TYPE_CHECKING:
    from claimnotify.delivery.replay import Replayer
    from claimnotify.policy.breaker import Trouble
    from claimnotify.ports import Journal, WorkQueue

__all__ = ["TenantEndpoints"]

_MOST = 1_000_000
_LIMIT = 10_000


class TenantEndpoints(EndpointService):
    """The webhook endpoints of one tenant, with what was sent to them.

    Args:
        replayer: Sends again.
        journal: Tells what was sent.
        work: Knows what fails.
        **options: What `EndpointService` takes.
    """

    def __init__(
        self,
        *args: Any,
        replayer: Replayer,
        journal: Journal,
        work: WorkQueue,
        **options: Any,
    ) -> None:
        super().__init__(*args, **options)
        self._work = work
        self._replayer = replayer
        self._journal = journal

    def recover(
        self,
        endpoint_id: str,
        *,
        since: datetime,
        until: datetime | None = None,
        limit: int = _LIMIT,
    ) -> Recovery:
        """Replay every delivery to the endpoint that failed, oldest first.

        Those that were replayed already are left out, so calling it again, or twice at once, makes
        no delivery twice; a replay that failed, or was skipped as the endpoint was disabled again,
        is replayed by its own time. What expired or was cancelled is left out as well: it was not
        to be sent any more. At most 500 are written in one transaction.

        Args:
            endpoint_id: The endpoint.
            since: Only deliveries made then or later, aware.
            until: Only deliveries made before then; those made after this call began never count.
            limit: At most how many.

        Returns:
            How many were replayed, and whether there are more: then call it again.

        Raises:
            NotFound: This tenant has no such endpoint.
            InvalidInput: The endpoint is disabled, or another argument is wrong.
        """
        _check(since, until, limit)
        return self._replayer.recover(self.get(endpoint_id), since=since, until=until, limit=limit)

    def replay_missing(
        self,
        endpoint_id: str,
        *,
        since: datetime,
        until: datetime | None = None,
        limit: int = _LIMIT,
    ) -> Recovery:
        """Send the endpoint what it never got: from before it was registered, or while disabled.

        That is what went to its owner's webhooks (be it that there was no endpoint then), that it is
        subscribed to by type and tags now, and of which it has had no delivery but skipped ones.
        Left out is what waits for a later time, what was cancelled or expired before anybody got it,
        what was addressed to one endpoint (pings and examples), and what tells of this endpoint's
        own trouble. Calling it again, or twice at once, sends nothing twice.

        Args:
            endpoint_id: The endpoint.
            since: Only events accepted then or later, aware.
            until: Only events accepted before then; those accepted after this call began never count.
            limit: At most how many.

        Returns:
            How many deliveries were made, and whether there are more to make: then call it again.

        Raises:
            NotFound: This tenant has no such endpoint.
            InvalidInput: The endpoint is disabled, or another argument is wrong.
        """
        _check(since, until, limit)
        return self._replayer.replay_missing(
            self.get(endpoint_id), since=since, until=until, limit=limit
        )

    def trouble(self, endpoint_id: str) -> Trouble:
        """Return how the endpoint has failed of late: since when, and until when nothing is sent.

        Raises:
            NotFound: This tenant has no such endpoint.
        """
        return self._work.trouble(self._tenant, self.get(endpoint_id).id)

    async def atrouble(self, endpoint_id: str) -> Trouble:
        """Do what `trouble` does."""
        return await on_thread(lambda: self.trouble(endpoint_id))

    def attempts(
        self,
        endpoint_id: str,
        *,
        status: DeliveryStatus | None = None,
        succeeded: bool | None = None,
        event_type: str | None = None,
        limit: int = 100,
        before: str | None = None,
    ) -> Sequence[AttemptRecord]:
        """Return the attempts to reach the endpoint: of its newest delivery first, each one's newest first.

        Args:
            endpoint_id: The endpoint; the log of a deleted one can be read.
            status: Only those of deliveries in this state, such as `failed`.
            succeeded: Only those that were answered well, or only those that were not.
            event_type: Only those of this type.
            limit: At most how many, 1 to 1000.
            before: Only those that follow after the attempt with this id: the last of a page gives
                the next one.
        """
        check_identifier(endpoint_id, "endpoint_id")
        check_page(limit, event_type=event_type, before=before)
        if succeeded is not None:
            check_flag(succeeded, "succeeded")
        if status is not None and status not in tuple(DeliveryStatus):
            states = ", ".join(DeliveryStatus)
            raise InvalidInput("status", "is no state of a delivery", f"Use one of {states}.")
        return self._journal.attempts(
            self._tenant,
            endpoint_id,
            status=None if status is None else DeliveryStatus(status),
            succeeded=succeeded,
            event_type=event_type,
            limit=limit,
            before=before,
        )

    async def arecover(self, endpoint_id: str, **options: Any) -> Recovery:
        """Do what `recover` does."""
        return await on_thread(lambda: self.recover(endpoint_id, **options))

    async def areplay_missing(self, endpoint_id: str, **options: Any) -> Recovery:
        """Do what `replay_missing` does."""
        return await on_thread(lambda: self.replay_missing(endpoint_id, **options))

    async def aattempts(self, endpoint_id: str, **options: Any) -> Sequence[AttemptRecord]:
        """Do what `attempts` does."""
        return await on_thread(lambda: self.attempts(endpoint_id, **options))


def _check(since: object, until: object, limit: object) -> None:
    check_window(since, until)
    if not is_count(limit, _MOST):
        raise InvalidInput(
            "limit", f"is no whole number from 1 to {_MOST}", "Call again for what is left."
        )
