"""Decides whether a leased delivery is still to be sent, and renders what is."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from claimnotify.errors import TemplateError
from claimnotify.model.messages import InAppMessage, Message, WebhookMessage, message_to_json
from claimnotify.model.states import DeliveryStatus, Reason
from claimnotify.policy.breaker import PARKED_FOR_AT_MOST, Trouble
from claimnotify.policy.rates import RateLimit, Spacing
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

__all__ = ["Preparer", "Ready", "given_back", "outcome_of", "parked"]

_log = logging.getLogger("claimnotify.delivery")
_DEFERRAL = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class Ready:
    """A delivery that is to be sent now."""

    work: Work
    token: str
    channel: Channel
    message: Message


def outcome_of(
    work: Work, token: str, status: DeliveryStatus, reason: str, *, due_at: datetime | None = None
) -> Outcome:
    """Return the outcome of a delivery for which no send was started."""
    return Outcome(
        delivery_id=work.delivery.id,
        tenant=work.delivery.tenant,
        notification_id=work.delivery.notification_id,
        token=token,
        channel=work.delivery.channel,
        status=status,
        reason=reason,
        due_at=due_at,
        endpoint_id=work.delivery.endpoint_id,
    )


def parked(work: Work, token: str, now: datetime) -> Outcome:
    """Return the outcome of a delivery that waits until its endpoint works again."""
    latest = now + PARKED_FOR_AT_MOST
    due_at = min(work.delivery.expires_at or latest, latest)
    return outcome_of(work, token, DeliveryStatus.PARKED, Reason.ENDPOINT_BLOCKED, due_at=due_at)


def given_back(lease: Lease) -> Sequence[Outcome]:
    """Return the outcomes of a lease of which nothing was begun."""
    return [
        outcome_of(
            work,
            lease.token,
            DeliveryStatus.PENDING,
            Reason.RELEASED,
            due_at=work.delivery.created_at,
        )
        for work in lease.works
    ]


class Preparer:
    """Makes a lease ready to send: decisions that depend on the world are made here.

    Args:
        channels: The installed channels by name.
        renderer: Renders what has not been rendered yet.
        work: Keeps what was rendered, so that a retry sends the same.
        endpoints: Is told which endpoints are about to be needed.
        clock: The one clock.
        enabled: Whether anything is sent at all.
        spacing: Spreads what exceeds an endpoint's rate limit over time.
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
        spacing: Spacing | None = None,
    ) -> None:
        self._channels = channels
        self._renderer = renderer
        self._work = work
        self._endpoints = endpoints
        self._clock = clock
        self._enabled = enabled
        self._spacing = spacing or Spacing()

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
            ready, limited = self._within_limits(ready, now)
            outcomes += limited
        return ready, outcomes

    def _within_limits(
        self, ready: Sequence[Ready], now: datetime
    ) -> tuple[list[Ready], list[Outcome]]:
        """Hold back what exceeds the rate limit of its endpoint."""
        limited: dict[tuple[str, str], list[Ready]] = defaultdict(list)
        free: list[Ready] = []
        for each in ready:
            limit = self._limit_of(each)
            if limit:
                limited[each.work.delivery.tenant, limit].append(each)
            else:
                free.append(each)
        outcomes: list[Outcome] = []
        for (tenant, text), rows in limited.items():
            rate = RateLimit.parse(text)
            by_endpoint: dict[str, list[Ready]] = defaultdict(list)
            for each in rows:
                by_endpoint[f"endpoint:{each.work.delivery.endpoint_id}"].append(each)
            wanted = {name: (rate, len(those)) for name, those in by_endpoint.items()}
            granted = self._work.take(tenant, wanted)
            for name, those in by_endpoint.items():
                free += those[: granted[name]]
                outcomes += [
                    outcome_of(
                        each.work,
                        each.token,
                        DeliveryStatus.PENDING,
                        Reason.RATE_LIMITED,
                        due_at=self._spacing.next(name, rate, now),
                    )
                    for each in those[granted[name] :]
                ]
        return free, outcomes

    def _limit_of(self, ready: Ready) -> str:
        delivery = ready.work.delivery
        if delivery.endpoint_id is None:
            return ""
        found = self._endpoints.get(delivery.tenant, delivery.endpoint_id)
        return "" if found is None else found.endpoint.rate_limit

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
        except Exception as error:  # a filter or template of the application may raise anything
            _log.error("delivery %s cannot be rendered: %s", delivery.id, type(error).__name__)
        else:
            return Ready(work, token, channel, message)
        return outcome_of(work, token, DeliveryStatus.FAILED, Reason.TEMPLATE_ERROR)
