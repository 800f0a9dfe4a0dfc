"""The events of a flight compensation claim, from submitted to paid. Their texts are templates."""

from __future__ import annotations

import re
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from claimnotify.model.events import Event

__all__ = [
    "ClaimApproved",
    "ClaimPaid",
    "ClaimRejected",
    "ClaimSubmitted",
    "ClaimUnderReview",
    "DocumentKind",
    "DocumentRejected",
    "Money",
]

_NOT_IN_URLS = re.compile(r"[\s<>\"'`\\\x00-\x20\x7f-\x9f]")


def _web_url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or _NOT_IN_URLS.search(value):
        raise ValueError("must be an http(s) URL")
    return value


WebUrl = Annotated[str, AfterValidator(_web_url), Field(max_length=2000)]
Line = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]


class Money(BaseModel):
    """An amount of one currency."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    amount: Annotated[Decimal, Field(ge=0, max_digits=14, decimal_places=4)] = Field(
        description="How much; text in JSON, so that nothing is lost.", examples=["250.00"]
    )
    currency: str = Field(pattern=r"^[A-Z]{3}$", description="The ISO 4217 code.", examples=["EUR"])

    def __str__(self) -> str:
        return f"{self.amount} {self.currency}"


class _ClaimEvent(Event, subject="claim_id", category="status_updates"):
    """What all events of a claim tell."""

    claim_id: Line = Field(
        description="The claim's number, as the passenger knows it.", examples=["CLM-2041"]
    )
    passenger_name: Line = Field(description="Who claims.", examples=["Ana Jäger"])
    flight_number: str = Field(
        pattern=r"^(?:[A-Z0-9]{2}|[A-Z]{3}) ?[0-9]{1,4}[A-Z]?$",
        description="Airline code and number of the disrupted flight.",
        examples=["LH 1234"],
    )
    origin: str = Field(
        pattern=r"^[A-Z]{3}$", description="Where it left: IATA airport code.", examples=["BER"]
    )
    destination: str = Field(
        pattern=r"^[A-Z]{3}$", description="Where it went: IATA airport code.", examples=["LIS"]
    )
    flight_date: date | None = Field(
        default=None, description="The day of departure, local.", examples=["2026-11-02"]
    )
    claim_url: WebUrl | None = Field(
        default=None,
        description="Where the passenger sees the claim; messages link to it.",
        examples=["https://claims.example.com/CLM-2041"],
    )


class ClaimSubmitted(
    _ClaimEvent, type="claim.submitted", channels=("in_app", "email", "sms", "webhook")
):
    """A claim was received."""


class ClaimUnderReview(
    _ClaimEvent, type="claim.under_review", channels=("in_app", "email", "webhook")
):
    """Someone began to examine the claim."""

    due_date: date | None = Field(
        default=None, description="When a decision is expected.", examples=["2026-12-15"]
    )


class ClaimApproved(
    _ClaimEvent,
    type="claim.approved",
    channels=("in_app", "email", "sms", "webhook"),
    priority="high",
):
    """The claim was found justified."""

    amount: Money = Field(
        description="What will be paid.", examples=[{"amount": "250.00", "currency": "EUR"}]
    )
    due_date: date | None = Field(
        default=None, description="When it will be paid at the latest.", examples=["2026-12-01"]
    )


class ClaimRejected(_ClaimEvent, type="claim.rejected", channels=("in_app", "email", "webhook")):
    """The claim was found not justified."""

    reason: str = Field(
        min_length=1,
        max_length=2000,
        description="Why, in words for the passenger, in their language.",
        examples=["The airline has shown that a storm closed the airport."],
    )
    due_date: date | None = Field(
        default=None, description="The last day to object.", examples=["2026-12-31"]
    )


class ClaimPaid(
    _ClaimEvent,
    type="claim.paid",
    channels=("in_app", "email", "sms", "webhook"),
    priority="high",
):
    """The compensation was sent."""

    amount: Money = Field(
        description="What was paid.", examples=[{"amount": "250.00", "currency": "EUR"}]
    )
    paid_on: date | None = Field(
        default=None, description="The day of the transfer.", examples=["2026-11-30"]
    )
    payment_reference: Line | None = Field(
        default=None, description="What the bank statement shows.", examples=["CN-88123"]
    )


class DocumentKind(StrEnum):
    """The kinds of document a claim needs."""

    BOARDING_PASS = "boarding_pass"  # noqa: S105  # a document, not a secret
    BOOKING_CONFIRMATION = "booking_confirmation"
    IDENTITY_DOCUMENT = "identity_document"
    POWER_OF_ATTORNEY = "power_of_attorney"
    BANK_DETAILS = "bank_details"
    RECEIPT = "receipt"
    OTHER = "other"


class DocumentRejected(
    _ClaimEvent,
    type="document.rejected",
    category="documents",
    channels=("in_app", "email", "sms", "webhook"),
    priority="high",
):
    """A document of the claim cannot be used and is needed again."""

    document_kind: DocumentKind = Field(description="Which document.", examples=["boarding_pass"])
    reason: str = Field(
        min_length=1,
        max_length=2000,
        description="Why, in words for the passenger, in their language.",
        examples=["The photo is too dark to read."],
    )
    due_date: date | None = Field(
        default=None, description="Until when it is needed.", examples=["2026-12-05"]
    )
    upload_url: WebUrl | None = Field(
        default=None,
        description="Where to upload it again; `claim_url` unless given.",
        examples=["https://claims.example.com/CLM-2041/documents"],
    )
