"""Every error claimnotify raises, in one tree; nothing here imports the rest of the package.

ClaimnotifyError
├── ConfigurationError            settings, templates or set-up are wrong; raised at start-up
│   ├── UnknownChannel            an event names a channel that is not installed
│   ├── SchemaMissing             the database lacks our tables, or has others than this version's
│   └── TemplateError             a template asks for what its event does not have
├── InvalidInput (ValueError)     an argument was refused; nothing was written
│   ├── InvalidEvent
│   ├── InvalidRecipient
│   ├── IdempotencyConflict       the key was used for something else
│   └── ForbiddenDestination      the egress guard refuses the URL or address
├── NotFound (LookupError)        no such notification, endpoint … in this tenant
├── StoreUnavailable              the database cannot be reached
│   └── StoreContention           a conflict with another transaction; try again
├── DeliveryError                 one attempt did not succeed
│   ├── TransientDeliveryError    try again later
│   ├── PermanentDeliveryError    do not try again
│   ├── UnknownOutcome            it may have gone out
│   └── DeliverySkipped           deliberately not sent
├── JobError                      a job's function says how its attempt failed
│   ├── TransientJobError         try again later
│   └── PermanentJobError         do not try again
├── HttpEngineError               a request of ours got no response
│   ├── ConnectFailed             nothing was sent
│   ├── DeadlineExceeded
│   └── ResponseBroken            the peer broke off
└── WebhookVerificationError      a received webhook is not authentic
    └── EmptyWebhookSecretError
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

__all__ = [
    "ClaimnotifyError",
    "ConfigurationError",
    "ConnectFailed",
    "DeadlineExceeded",
    "DeliveryError",
    "DeliverySkipped",
    "EmptyWebhookSecretError",
    "ForbiddenDestination",
    "HttpEngineError",
    "IdempotencyConflict",
    "InvalidEvent",
    "InvalidInput",
    "InvalidRecipient",
    "JobError",
    "NotFound",
    "PermanentDeliveryError",
    "PermanentJobError",
    "ResponseBroken",
    "SchemaMissing",
    "StoreContention",
    "StoreUnavailable",
    "TemplateError",
    "TransientDeliveryError",
    "TransientJobError",
    "UnknownChannel",
    "UnknownOutcome",
    "WebhookVerificationError",
]


class ClaimnotifyError(Exception):
    """Base of all our errors.

    Args:
        field: What the error is about: an argument, a setting, a template. May be empty.
        problem: What was wrong with it. Never contains a secret or a message body.
        remedy: What to do about it. May be empty.
    """

    def __init__(self, field: str = "", problem: str = "", remedy: str = "") -> None:
        self.field = field
        self.problem = problem
        self.remedy = remedy
        super().__init__(field, problem, remedy)

    def __str__(self) -> str:
        text = ": ".join(part for part in (self.field, self.problem) if part)
        return f"{text}. {self.remedy}" if self.remedy else text


class ConfigurationError(ClaimnotifyError):
    """Settings or set-up are wrong. Raised at start-up, before anything is sent."""


class UnknownChannel(ConfigurationError):
    """An event names a channel that no installed package provides."""


class SchemaMissing(ConfigurationError):
    """The database lacks our tables, has those of another version, or does not say of which."""


class TemplateError(ConfigurationError):
    """A template does not parse, or asks for a variable its event does not have."""


class InvalidInput(ClaimnotifyError, ValueError):
    """An argument was refused. Nothing was written."""


class InvalidEvent(InvalidInput):
    """What was given as an event cannot be notified."""


class InvalidRecipient(InvalidInput):
    """A recipient's id, address, locale or time zone is malformed."""


class IdempotencyConflict(InvalidInput):
    """The idempotency key was used before for another type, payload or recipient."""


class ForbiddenDestination(InvalidInput):
    """The egress guard refuses this URL or address."""


class NotFound(ClaimnotifyError, LookupError):
    """There is no such thing in this tenant."""


class StoreUnavailable(ClaimnotifyError):
    """The database cannot be reached. Nothing was written."""


class StoreContention(StoreUnavailable):
    """The transaction lost a conflict with another one, such as a deadlock. Nothing was written."""


def _checked_wait(retry_after: object) -> timedelta | None:
    """Return how long a peer or a function asks to wait; raise InvalidInput if it is no timedelta."""
    if retry_after is None or isinstance(retry_after, timedelta):
        return retry_after
    raise InvalidInput(
        "retry_after", f"is a {type(retry_after).__name__}", "Give a timedelta, or leave it out."
    )


class DeliveryError(ClaimnotifyError):
    """One attempt to send did not succeed.

    Args:
        problem: What happened, in words fit for a log; no secrets, no message body.
        reason: The reason code kept on the delivery when this ends it.
        status_code: The protocol's code (HTTP status, SMTP reply), if there was one.
        excerpt: The beginning of the peer's answer, if there was one.

    Attributes:
        request_headers, response_headers: What was sent and came back, without secrets; kept.
        sent_to: The URL of an endpoint that it was sent to; empty if it is not known.
    """

    reason, sent_to = "rejected", ""
    request_headers: Mapping[str, str] = {}
    response_headers: Mapping[str, str] = {}

    def __init__(
        self,
        problem: str,
        *,
        reason: str | None = None,
        status_code: int | None = None,
        excerpt: str = "",
    ) -> None:
        super().__init__(problem=problem)
        if reason is not None:
            self.reason = reason
        self.status_code = status_code
        self.excerpt = excerpt


class TransientDeliveryError(DeliveryError):
    """The attempt failed in a way that may pass; the schedule decides when to try again.

    Args:
        retry_after: The earliest moment the peer asked for, counted from now.
        overloaded: Whether it has too much to do, so that for a while nothing else is sent to it.
        our_fault: Whether the fault is on our side, so that no endpoint is disabled for it.

    Raises:
        InvalidInput: `retry_after` is no timedelta.
    """

    reason = "exhausted"

    def __init__(
        self,
        problem: str,
        *,
        retry_after: timedelta | None = None,
        reason: str | None = None,
        status_code: int | None = None,
        excerpt: str = "",
        overloaded: bool = False,
        our_fault: bool = False,
    ) -> None:
        super().__init__(problem, reason=reason, status_code=status_code, excerpt=excerpt)
        self.retry_after = _checked_wait(retry_after)
        self.overloaded = overloaded
        self.our_fault = our_fault


class PermanentDeliveryError(DeliveryError):
    """The attempt failed and another would fail too."""


class UnknownOutcome(DeliveryError):
    """The message may or may not have gone: the connection broke after it was handed over."""

    reason = "unknown_outcome"


class DeliverySkipped(DeliveryError):
    """The channel decided not to send; `reason` says why. Not counted as an attempt."""

    reason = "skipped"


class JobError(ClaimnotifyError):
    """What a job's function raises to say in its own words how its attempt failed.

    Of any other error only the type and the place are kept, as its text may repeat arguments.

    Args:
        problem: What happened, in words fit for a log; no secrets. It is kept with the job.
    """

    def __init__(self, problem: str) -> None:
        super().__init__(problem=problem)


class TransientJobError(JobError):
    """The attempt failed in a way that may pass; the job's schedule decides when to try again.

    Args:
        retry_after: How long to wait at least, up to 100 years.

    Raises:
        InvalidInput: `retry_after` is no timedelta.
    """

    def __init__(self, problem: str, *, retry_after: timedelta | None = None) -> None:
        super().__init__(problem)
        self.retry_after = _checked_wait(retry_after)


class PermanentJobError(JobError):
    """The attempt failed and another would fail too: the job is given up."""


class HttpEngineError(ClaimnotifyError):
    """A request of ours got no usable response.

    Args:
        problem: What happened.
        sent: Whether the request may have reached the peer.
        our_fault: Whether the fault is on our side: nobody tried to reach the peer.
    """

    def __init__(self, problem: str, *, sent: bool, our_fault: bool = False) -> None:
        super().__init__(problem=problem)
        self.sent = sent
        self.our_fault = our_fault


class ConnectFailed(HttpEngineError):
    """No connection came about, so nothing was sent: refused, reset, unresolved or bad TLS."""

    def __init__(self, problem: str, *, our_fault: bool = False) -> None:
        super().__init__(problem, sent=False, our_fault=our_fault)


class DeadlineExceeded(HttpEngineError):
    """The request's total deadline, DNS and body included, passed."""


class ResponseBroken(HttpEngineError):
    """The peer closed or spoke no HTTP after the request had gone out."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem, sent=True)


class WebhookVerificationError(ClaimnotifyError):
    """A received webhook is malformed, too old, too new or not signed with our key."""

    def __init__(self, problem: str = "the webhook could not be verified") -> None:
        super().__init__(problem=problem)


class EmptyWebhookSecretError(WebhookVerificationError):
    """A `Webhook` was built with an empty secret."""
