"""What every `Store` must do, as a suite to subclass. Needs pytest."""

from __future__ import annotations

from claimnotify.testing.store_contract.lapses import LapseContract
from claimnotify.testing.store_contract.leases import LeaseContract
from claimnotify.testing.store_contract.ordering import OrderContract
from claimnotify.testing.store_contract.outbox import OutboxContract
from claimnotify.testing.store_contract.recording import RecordContract

__all__ = ["StoreContract"]


class StoreContract(OutboxContract, LeaseContract, LapseContract, RecordContract, OrderContract):
    """Subclass it and define the fixtures `store` and `advance`."""
