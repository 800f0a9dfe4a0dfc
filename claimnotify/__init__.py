"""Tell people and systems what happened: by e-mail, SMS, in-app inbox and signed webhook.

Importing this loads nothing heavy: a name is loaded when it is first used (PEP 562).
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from claimnotify.catalogue.examples import example_of as example_of
    from claimnotify.catalogue.schemas import schema_of as schema_of
    from claimnotify.errors import ClaimnotifyError as ClaimnotifyError
    from claimnotify.errors import ConfigurationError as ConfigurationError
    from claimnotify.errors import IdempotencyConflict as IdempotencyConflict
    from claimnotify.errors import InvalidInput as InvalidInput
    from claimnotify.errors import PermanentDeliveryError as PermanentDeliveryError
    from claimnotify.errors import PermanentJobError as PermanentJobError
    from claimnotify.errors import StoreUnavailable as StoreUnavailable
    from claimnotify.errors import TransientDeliveryError as TransientDeliveryError
    from claimnotify.errors import TransientJobError as TransientJobError
    from claimnotify.errors import UnknownOutcome as UnknownOutcome
    from claimnotify.jobs import job as job
    from claimnotify.jobs import scheduled as scheduled
    from claimnotify.model.events import Event as Event
    from claimnotify.model.jobs import Job as Job
    from claimnotify.model.jobs import JobContext as JobContext
    from claimnotify.model.jobs import JobReason as JobReason
    from claimnotify.model.jobs import JobStatus as JobStatus
    from claimnotify.model.messages import Attachment as Attachment
    from claimnotify.model.notifications import Attempt as Attempt
    from claimnotify.model.notifications import Delivery as Delivery
    from claimnotify.model.notifications import Notification as Notification
    from claimnotify.model.notifications import Receipt as Receipt
    from claimnotify.model.recipients import Recipient as Recipient
    from claimnotify.model.states import DeliveryStatus as DeliveryStatus
    from claimnotify.model.states import Reason as Reason
    from claimnotify.notifier import Notifier as Notifier
    from claimnotify.policy.retry import RetrySchedule as RetrySchedule
    from claimnotify.settings import Settings as Settings
    from claimnotify.templates.brand import Brand as Brand

_HOMES = {
    # what applications use
    "Event": "claimnotify.model.events",
    "Notifier": "claimnotify.notifier",
    "Recipient": "claimnotify.model.recipients",
    "Attachment": "claimnotify.model.messages",
    "Brand": "claimnotify.templates.brand",
    "RetrySchedule": "claimnotify.policy.retry",
    "Settings": "claimnotify.settings",
    # what receivers of events are told
    "example_of": "claimnotify.catalogue.examples",
    "schema_of": "claimnotify.catalogue.schemas",
    # background work
    "job": "claimnotify.jobs",
    "scheduled": "claimnotify.jobs",
    "JobContext": "claimnotify.model.jobs",
    # what comes back
    "Notification": "claimnotify.model.notifications",
    "Delivery": "claimnotify.model.notifications",
    "Attempt": "claimnotify.model.notifications",
    "Receipt": "claimnotify.model.notifications",
    "DeliveryStatus": "claimnotify.model.states",
    "Reason": "claimnotify.model.states",
    "Job": "claimnotify.model.jobs",
    "JobStatus": "claimnotify.model.jobs",
    "JobReason": "claimnotify.model.jobs",
    # what is raised
    "ClaimnotifyError": "claimnotify.errors",
    "ConfigurationError": "claimnotify.errors",
    "IdempotencyConflict": "claimnotify.errors",
    "InvalidInput": "claimnotify.errors",
    "StoreUnavailable": "claimnotify.errors",
    # what channels raise
    "PermanentDeliveryError": "claimnotify.errors",
    "TransientDeliveryError": "claimnotify.errors",
    "UnknownOutcome": "claimnotify.errors",
    # what jobs raise
    "PermanentJobError": "claimnotify.errors",
    "TransientJobError": "claimnotify.errors",
}

__all__ = tuple(_HOMES)  # computed from the one table above
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
