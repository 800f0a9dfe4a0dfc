"""Decides whether a leased delivery is still to be sent, and renders what is."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from claimnotify.delivery.limits import Limits
from claimnotify.delivery.permits import Permits
from claimnotify.delivery.ready import Ready, outcome_of, parked
from claimnotify.errors import TemplateError
from claimnotify.model.messages import InAppMessage, WebhookMessage, message_to_json
from claimnotify.model.states import DeliveryStatus, Reason
from claimnotify.policy.breaker import Trouble
from claimnotify.ports import (
    Channel,
    Clock,
    EndpointDirectory,
    Lease,
    Outcome,
    Renderer,
    Work,
    WorkQueue,
)

__all__ = ["Preparer"]

_log = logging.getLogger("claimnotify.delivery")
_DEFERRAL = timedelta(seconds=30)


class Preparer:
    """Makes a lease ready to send: decisions that depend on the world are made here.

    Args:
        channels: The installed channels by name.
        renderer: Renders what has not been rendered yet.
        work: Keeps what was rendered, so that a retry sends the same.
        endpoints: Is told which endpoints are about to be needed.
        clock: The one clock.
        enabled: Whether anything is sent at all.
        limits: Takes from rate limits; None: there are none but those of endpoints.
    """

    def __init__(
        self,
        *,
        channels: Mapping[str, Channel],
        renderer: Renderer,
        work: WorkQueue,
        endpoints: EndpointDirectory,
        clock: Clock,
        enabled: bool,
        limits: Limits | None = None,
    ) -> None:
        self._channels = channels
        self._renderer = renderer
        self._work = work
        self._endpoints = endpoints
        self._clock = clock
        self._enabled = enabled
        self._limits = limits or Limits(work=work, endpoints=endpoints, rates={})

    @property
    def permits(self) -> Permits:
        """What rate limits allowed and has not begun."""
        return self._limits.permits

    def prepare(self, lease: Lease) -> tuple[Sequence[Ready], Sequence[Outcome]]:
        """Return what is to be sent, and the outcomes of the rest."""
        if lease.poisoned:
            return (), [
                outcome_of(work, lease.token, DeliveryStatus.FAILED, Reason.POISON)
                for work in lease.works
            ]
        now = self._clock.now()
        ready: list[Ready] = []
        outcomes: list[Outcome] = []
        rendered: dict[str, str] = {}
        troubles = self._work.troubles()
        for work in lease.works:
            made = self._one(work, lease.token, now, troubles)
            if isinstance(made, Outcome):
                outcomes.append(made)
                continue
            ready.append(made)
            # A webhook's body follows from the stored payload; an inbox row is its own record.
            if work.delivery.content is None and not isinstance(
                made.message, WebhookMessage | InAppMessage
            ):
                rendered[work.delivery.id] = message_to_json(made.message)
        if rendered:
            self._work.keep_content(lease.token, rendered)
        to_endpoints = [each.work.delivery for each in ready if each.work.delivery.endpoint_id]
        if to_endpoints:
            self._endpoints.load(to_endpoints)
        free, limited = self._limits.within(ready, lease.taken, now)
        return free, [*outcomes, *limited]

    def _one(
        self, work: Work, token: str, now: datetime, troubles: Mapping[str, Trouble]
    ) -> Ready | Outcome:
        delivery = work.delivery
        if delivery.expires_at is not None and delivery.expires_at <= now:
            return outcome_of(work, token, DeliveryStatus.EXPIRED, Reason.EXPIRED)
        if not self._enabled:
            return outcome_of(work, token, DeliveryStatus.SKIPPED, Reason.NOTIFICATIONS_DISABLED)
        channel = self._channels.get(delivery.channel)
        if channel is None:
            # Another deployment's channel: leave it to a worker that has it.
            return outcome_of(
                work, token, DeliveryStatus.PENDING, Reason.UNKNOWN_WORK, due_at=now + _DEFERRAL
            )
        if not channel.ready:
            return outcome_of(work, token, DeliveryStatus.SKIPPED, Reason.CHANNEL_NOT_CONFIGURED)
        trouble = troubles.get(delivery.endpoint_id) if delivery.endpoint_id else None
        if trouble is not None and trouble.blocked(now):
            return parked(work, token, now)
        if delivery.content is not None:
            return Ready(work, token, channel, delivery.content)
        try:
            message = self._renderer.render(work.notification, delivery.channel)
        except TemplateError as error:
            _log.error("delivery %s cannot be rendered: %s", delivery.id, error)
        except (KeyboardInterrupt, SystemExit):  # of whoever runs this
            raise
        except BaseException as error:  # a filter or template of the application may raise anything
            _log.error("delivery %s cannot be rendered: %s", delivery.id, type(error).__name__)
        else:
            return Ready(work, token, channel, message)
        return outcome_of(work, token, DeliveryStatus.FAILED, Reason.TEMPLATE_ERROR)
