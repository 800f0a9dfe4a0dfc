"""The claims pack's events: what they accept, how they travel, what their schema tells."""

from __future__ import annotations

import subprocess
import sys
from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

from claimnotify import claims
from claimnotify.claims import events
from claimnotify.model.events import Event, catalogue, spec_of

EVENTS: list[type[Event]] = [
    events.ClaimSubmitted,
    events.ClaimUnderReview,
    events.ClaimApproved,
    events.ClaimRejected,
    events.ClaimPaid,
    events.DocumentRejected,
]
CATALOGUED = [catalogue.get(spec_of(each).type, spec_of(each).version) for each in EVENTS]
"""What was found when they had been imported; during the tests the catalogue is without them."""


def from_examples(event: type[Event]) -> dict[str, Any]:
    """Return a payload made of the first example of every field."""
    return {name: field.examples[0] for name, field in event.model_fields.items() if field.examples}


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.__name__)
def test_the_examples_make_an_event_that_survives_json(event: type[Event]) -> None:
    payload = from_examples(event)
    assert set(payload) == set(event.model_fields), "a field has no example"
    one = event(**payload)
    assert event.model_validate_json(one.model_dump_json()) == one
    assert one.model_dump(mode="json") == payload


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.__name__)
def test_every_field_is_described_and_the_subject_is_the_claim(event: type[Event]) -> None:
    spec = spec_of(event)
    assert event in CATALOGUED
    assert spec.subject == "claim_id"
    assert spec.category == ("documents" if spec.type.startswith("document") else "status_updates")
    properties = event.model_json_schema(mode="serialization")["properties"]
    for name, schema in properties.items():
        assert schema.get("description"), name


def test_an_sms_goes_out_only_where_it_matters() -> None:
    with_sms = {spec_of(event).type for event in EVENTS if "sms" in spec_of(event).channels}
    assert with_sms == {"claim.submitted", "claim.approved", "claim.paid", "document.rejected"}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("claim_id", ""),
        ("claim_id", "CLM\r\nBcc: x@example.com"),
        ("passenger_name", "x" * 201),
        ("flight_number", "1"),
        ("flight_number", "LH 1234\n"),
        ("origin", "Berlin"),
        ("destination", "lis"),
        ("flight_date", "2026-13-01"),
        ("claim_url", "javascript:alert(1)"),
        ("claim_url", "https://[::1"),
        ("claim_url", "https://example.com/\x01"),
        ("amount", {"amount": "-1", "currency": "EUR"}),
        ("amount", {"amount": "NaN", "currency": "EUR"}),
        ("amount", {"amount": "1", "currency": "euro"}),
        ("amount", {"amount": "1"}),
        ("amont", 1),
    ],
)
def test_a_bad_field_is_refused_by_name_without_its_value(field: str, value: Any) -> None:
    with pytest.raises(ValidationError) as caught:
        events.ClaimApproved(**from_examples(events.ClaimApproved) | {field: value})
    assert caught.value.errors()[0]["loc"][0] == field
    assert "input_value" not in str(caught.value)


def test_money_keeps_every_digit() -> None:
    money = claims.Money(amount=Decimal("250.00"), currency="EUR")
    assert str(money) == "250.00 EUR"
    assert money.model_dump(mode="json") == {"amount": "250.00", "currency": "EUR"}
    assert hash(money) == hash(claims.Money(amount=Decimal("250.00"), currency="EUR"))
    with pytest.raises(ValidationError):
        money.amount = Decimal(1)  # type: ignore[misc]  # it is frozen


def test_the_pack_exports_its_events_lazily() -> None:
    assert sorted(claims.__all__) == sorted(events.__all__) == dir(claims)
    for name in claims.__all__:
        assert getattr(claims, name) is getattr(events, name)
    with pytest.raises(AttributeError, match="Claims"):
        _ = claims.Claims
    code = "import sys, claimnotify.claims; sys.exit('pydantic' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
