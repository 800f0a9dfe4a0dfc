"""Takes from rate limits what is about to be sent, and puts off what they do not allow."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from claimnotify.delivery.permits import Permits
from claimnotify.delivery.ready import Ready, outcome_of
from claimnotify.model.states import DeliveryStatus, Reason
from claimnotify.policy.rates import RateLimit, Spacing, channel_limit, endpoint_limit
from claimnotify.ports import EndpointDirectory, Outcome, WorkQueue

__all__ = ["Limits"]

_BUSY = timedelta(seconds=1)
"""When to come back to an endpoint whose slots are not let go."""


class Limits:
    """The rate limits of endpoints and channels. Called on the thread that leases.

    What is parked, put off or at its end is to use up nothing: endpoints' limits are taken from last,
    and what was taken from a channel's when a delivery was leased is put back if it is not sent.

    Args:
        work: Keeps the limits.
        endpoints: Knows the limits of endpoints, which must have been loaded.
        rates: The limits of channels.
        spacing: Spreads what exceeds a limit over time.
        permits: Keeps account of what was allowed.
    """

    def __init__(
        self,
        *,
        work: WorkQueue,
        endpoints: EndpointDirectory,
        rates: Mapping[str, RateLimit],
        spacing: Spacing | None = None,
        permits: Permits | None = None,
    ) -> None:
        self.permits = permits or Permits()
        self._work = work
        self._endpoints = endpoints
        self._rates = rates
        self._spacing = spacing or Spacing()

    def within(
        self, ready: Sequence[Ready], taken: Mapping[str, int], now: datetime
    ) -> tuple[Sequence[Ready], Sequence[Outcome]]:
        """Return what may be sent now, and the outcomes of what has to wait.

        Args:
            ready: What is to be sent.
            taken: By channel, how many were taken from its limit with the lease.
            now: The time.
        """
        free: list[Ready] = []
        under: list[Ready] = []
        for each in ready:
            (under if self._names(each) else free).append(each)
        if not under and not taken:
            return ready, ()
        stalled = {each.line for each in under if self.permits.stalled(each.line)}
        moving = [each for each in under if each.line not in stalled]
        busy = [
            _put_off(each, Reason.ENDPOINT_BUSY, now + _BUSY)
            for each in under
            if each.line in stalled
        ]
        by_endpoint, late = self._within_endpoints(moving, now)
        allowed, too_many = self._within_channels(by_endpoint, taken, now)
        for each in allowed:
            self.permits.give(each.work.delivery.id, each.line, self._names(each))
        return [*free, *allowed], [*busy, *late, *too_many]

    def _within_endpoints(
        self, ready: Sequence[Ready], now: datetime
    ) -> tuple[list[Ready], list[Outcome]]:
        allowed = [each for each in ready if self._own_limit(each) is None]
        outcomes: list[Outcome] = []
        tenants: dict[str, dict[str, list[Ready]]] = defaultdict(lambda: defaultdict(list))
        for each in ready:
            if self._own_limit(each) is not None:
                delivery = each.work.delivery
                tenants[delivery.tenant][endpoint_limit(delivery.endpoint_id or "")].append(each)
        for tenant, by_name in tenants.items():
            limits = {
                name: limit for name, rows in by_name.items() if (limit := self._own_limit(rows[0]))
            }
            wanted = {
                name: (limit, min(len(by_name[name]), self.permits.room(name, limit)))
                for name, limit in limits.items()
            }
            granted = self._work.take(tenant, wanted)
            for name, rows in by_name.items():
                allowed += rows[: granted[name]]
                unused = granted[name] == limits[name].burst
                outcomes += self._spaced(rows[granted[name] :], name, limits[name], now, unused)
        return allowed, outcomes

    def _within_channels(
        self, ready: Sequence[Ready], taken: Mapping[str, int], now: datetime
    ) -> tuple[list[Ready], list[Outcome]]:
        allowed = [each for each in ready if each.channel.name not in self._rates]
        outcomes: list[Outcome] = []
        unused: dict[str, tuple[RateLimit, int]] = {}
        for channel, limit in self._rates.items():
            name = channel_limit(channel)
            rows = [each for each in ready if each.channel.name == channel]
            have, wanted = taken.get(channel, 0), min(len(rows), self.permits.room(name, limit))
            if wanted > have:  # a lapsed lease takes nothing
                have += self._work.take("", {name: (limit, wanted - have)})[name]
            elif wanted < have:
                unused[name] = limit, have - wanted
            sent = min(wanted, have)
            allowed += rows[:sent]
            outcomes += self._spaced(rows[sent:], name, limit, now, unused=False)
        if unused:
            self._work.put_back("", unused)
        return allowed, outcomes

    def _spaced(
        self, rows: Sequence[Ready], name: str, limit: RateLimit, now: datetime, unused: bool
    ) -> list[Outcome]:
        """Put off what exceeds a limit; after an idle time (`unused`) beginning anew."""
        if unused:
            self._spacing.forget(name)
        return [
            _put_off(each, Reason.RATE_LIMITED, self._spacing.next(name, limit, now))
            for each in rows
        ]

    def _names(self, ready: Ready) -> Sequence[str]:
        """Return the names of the limits that a delivery is under."""
        names = []
        if ready.channel.name in self._rates:
            names.append(channel_limit(ready.channel.name))
        if self._own_limit(ready) is not None:
            names.append(endpoint_limit(ready.work.delivery.endpoint_id or ""))
        return names

    def _own_limit(self, ready: Ready) -> RateLimit | None:
        """Return the limit of a delivery's endpoint, if it has one."""
        delivery = ready.work.delivery
        if delivery.endpoint_id is None:
            return None
        found = self._endpoints.get(delivery.tenant, delivery.endpoint_id)
        if found is None or not found.endpoint.rate_limit:
            return None
        return RateLimit.parse(found.endpoint.rate_limit)


def _put_off(ready: Ready, reason: str, due_at: datetime) -> Outcome:
    return outcome_of(ready.work, ready.token, DeliveryStatus.PENDING, reason, due_at=due_at)
