"""The seams: what each replaceable part must do. Protocols only; adapters live in the layer above.

An adapter is tested by the contract suite of the same name in `claimnotify.testing`.
"""

from claimnotify.ports.endpoints import (
    EndpointDirectory,
    EndpointStore,
    Sealed,
    Sealing,
    SigningEndpoint,
)
from claimnotify.ports.jobs import JobLease, JobOutcome, JobQueue, JobsRecorded, NewJob
from claimnotify.ports.replaying import Page, Replays, ReplayTransaction
from claimnotify.ports.sending import (
    Channel,
    ChannelContext,
    Cipher,
    Clock,
    Consumer,
    Dispatcher,
    HttpEngine,
    Renderer,
)
from claimnotify.ports.storing import (
    Inbox,
    InboxItem,
    Journal,
    NewNotification,
    Outbox,
    Store,
    StoreClock,
    Transaction,
)
from claimnotify.ports.working import Lease, Outcome, Recorded, Work, WorkQueue

__all__ = [
    "Channel",
    "ChannelContext",
    "Cipher",
    "Clock",
    "Consumer",
    "Dispatcher",
    "EndpointDirectory",
    "EndpointStore",
    "HttpEngine",
    "Inbox",
    "InboxItem",
    "JobLease",
    "JobOutcome",
    "JobQueue",
    "JobsRecorded",
    "Journal",
    "Lease",
    "NewJob",
    "NewNotification",
    "Outbox",
    "Outcome",
    "Page",
    "Recorded",
    "Renderer",
    "Sealed",
    "Sealing",
    "ReplayTransaction",
    "Replays",
    "SigningEndpoint",
    "Store",
    "StoreClock",
    "Transaction",
    "Work",
    "WorkQueue",
]
