"""What every `Store` must do, as a suite to subclass. Needs pytest."""

from __future__ import annotations

from claimnotify.testing.store_contract.attempts import AttemptContract
from claimnotify.testing.store_contract.breakers import BreakerContract
from claimnotify.testing.store_contract.corners import CornerContract
from claimnotify.testing.store_contract.endpoints import EndpointContract
from claimnotify.testing.store_contract.expunging import ExpungeContract
from claimnotify.testing.store_contract.failing import FailingContract
from claimnotify.testing.store_contract.inbox import InboxContract
from claimnotify.testing.store_contract.lapses import LapseContract
from claimnotify.testing.store_contract.leases import LeaseContract
from claimnotify.testing.store_contract.notices import NoticeContract
from claimnotify.testing.store_contract.ordered_endpoints import OrderedEndpointContract
from claimnotify.testing.store_contract.ordering import OrderContract
from claimnotify.testing.store_contract.outbox import OutboxContract
from claimnotify.testing.store_contract.pauses import PauseContract
from claimnotify.testing.store_contract.rates import RateContract
from claimnotify.testing.store_contract.recording import RecordContract
from claimnotify.testing.store_contract.records import RecordsContract
from claimnotify.testing.store_contract.recoveries import RecoveryContract
from claimnotify.testing.store_contract.replays import ReplayContract

__all__ = ["StoreContract"]


class StoreContract(
    CornerContract,
    OutboxContract,
    LeaseContract,
    LapseContract,
    RecordContract,
    OrderContract,
    OrderedEndpointContract,
    BreakerContract,
    FailingContract,
    NoticeContract,
    PauseContract,
    RateContract,
    InboxContract,
    EndpointContract,
    RecordsContract,
    ReplayContract,
    RecoveryContract,
    ExpungeContract,
    AttemptContract,
):
    """Subclass it and define the fixtures `store` and `advance`.

    The store rings with the `append` of the fixture `rings`.
    """
