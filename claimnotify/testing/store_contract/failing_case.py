"""What the parts of the store's contract about endpoints that fail share: sends that fail or do not."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from claimnotify.model.endpoints import Endpoint
from claimnotify.model.notices import EndpointNotice
from claimnotify.model.states import AttemptOutcome, DeliveryStatus, Reason
from claimnotify.ports import Store
from claimnotify.testing.store_contract.case import Case, StoreCase

__all__ = ["FailingCase"]

_FAR = timedelta(days=30)


class FailingCase(StoreCase):
    """Lets sends to an endpoint fail."""

    @pytest.fixture
    def endpoint(self, case: Case) -> Endpoint:
        """An endpoint to fail."""
        return case.endpoint()

    def let_fail(
        self,
        case: Case,
        endpoint: Endpoint,
        *,
        outcome: AttemptOutcome = AttemptOutcome.TRANSIENT,
        status: DeliveryStatus = DeliveryStatus.PENDING,
        reason: str = Reason.RETRY,
        times: int = 1,
        **options: Any,
    ) -> bool:
        """Let sends fail; return whether there is something new to tell."""
        case.accept_many(times, tenant=endpoint.tenant, endpoint_id=endpoint.id)
        lease = case.lease()
        due_at = case.store.clock.now() + _FAR if status == DeliveryStatus.PENDING else None
        outcomes = [
            case.outcome(
                lease,
                work,
                status,
                reason,
                due_at=due_at,
                attempt=case.attempt(outcome),
                **options,
            )
            for work in lease.works
        ]
        return case.store.work.record(outcomes).notices

    def succeed(self, case: Case, endpoint: Endpoint) -> None:
        """Let one send succeed."""
        case.accept(endpoint_id=endpoint.id)
        lease = case.lease()
        case.store.work.record([case.sent(lease, lease.works[0])])

    def give_up(self, case: Case, endpoint: Endpoint, times: int = 1) -> bool:
        """Let deliveries run out of attempts."""
        failed, exhausted = DeliveryStatus.FAILED, Reason.EXHAUSTED
        return self.let_fail(case, endpoint, status=failed, reason=exhausted, times=times)

    def notices(self, store: Store) -> Sequence[EndpointNotice]:
        """Return all that is to be told."""
        return store.work.notices(limit=100)

    def kinds(self, store: Store) -> list[tuple[str, str]]:
        """Return kind and reason of all that is to be told."""
        return [(each.kind, each.reason) for each in self.notices(store)]

    def is_enabled(self, store: Store, endpoint: Endpoint) -> bool:
        """Return whether the endpoint is enabled."""
        found = store.endpoints.get_endpoint(endpoint.tenant, endpoint.id)
        return found is not None and found.enabled
