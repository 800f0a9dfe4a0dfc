"""An application may define an event of a type that the package supplies templates for."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from claimnotify.errors import TemplateError
from claimnotify.model.events import Event, catalogue
from claimnotify.model.messages import EmailMessage
from claimnotify.model.notifications import Notification
from claimnotify.model.recipients import Recipient
from claimnotify.templates.renderer import JinjaRenderer


@pytest.fixture
def own_event() -> Iterator[type[Event]]:
    class ClaimApproved(
        Event, type="claim.approved", version=7, subject="claim_id", channels=("email", "sms")
    ):
        claim_id: str

    yield ClaimApproved
    catalogue.remove(ClaimApproved)


def accepted() -> Notification:
    return Notification(
        id="0" * 32,
        tenant="default",
        event_type="claim.approved",
        event_version=7,
        category="general",
        owner="cus_7",
        recipient=Recipient(id="cus_7", email="ana@example.com"),
        payload={"claim_id": "CLM-1"},
        payload_json='{"claim_id":"CLM-1"}',
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
    )


def test_it_is_rendered_by_the_generic_templates(own_event: type[Event]) -> None:
    renderer = JinjaRenderer()
    renderer.check([own_event])
    message = renderer.render(accepted(), "email")
    assert isinstance(message, EmailMessage)
    assert message.subject == "Claim approved"
    assert "CLM-1" in message.text


def test_a_template_of_the_application_is_still_held_to_the_event(
    own_event: type[Event], tmp_path: Path
) -> None:
    (tmp_path / "claim.approved").mkdir()
    (tmp_path / "claim.approved" / "sms.txt").write_text("{{ flight_number }}")
    renderer = JinjaRenderer(template_dir=tmp_path)
    with pytest.raises(TemplateError, match="flight_number"):
        renderer.check([own_event])
    with pytest.raises(TemplateError, match="flight_number"):
        renderer.render(accepted(), "sms")
