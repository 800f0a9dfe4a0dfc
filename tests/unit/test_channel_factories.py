"""What the channels' factories make of the settings, without opening a connection."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest

from claimnotify.channels import email, in_app, sms
from claimnotify.errors import ConfigurationError, DeliverySkipped
from claimnotify.http import make_engine
from claimnotify.model.messages import EmailMessage, InAppMessage, SmsMessage
from claimnotify.model.notifications import Delivery
from claimnotify.model.recipients import Recipient
from claimnotify.model.states import DeliveryStatus
from claimnotify.ports import ChannelContext
from claimnotify.settings import Settings

SMTP = {"smtp_host": "mail.example", "smtp_from_email": "no-reply@claims.example"}
TWILIO = {
    "twilio_account_sid": "AC" + "0" * 32,
    "twilio_auth_token": "t0ken",
    "twilio_from_number": "+15005550006",
}


class _FixedClock:
    def now(self) -> datetime:
        return datetime(2026, 3, 1, tzinfo=UTC)


class _NoEndpoints:
    def load(self, deliveries: object) -> None:
        raise AssertionError("not asked for")

    def get(self, tenant: str, endpoint_id: str) -> None:
        raise AssertionError("not asked for")


def _context(**settings: Any) -> ChannelContext:
    return ChannelContext(
        settings=Settings.load(**settings),
        http=make_engine,
        endpoints=_NoEndpoints(),
        random=Random(7),
        clock=_FixedClock(),
    )


def _delivery(channel: str, address: str) -> Delivery:
    return Delivery(
        id="d" * 32,
        notification_id="a" * 32,
        tenant="default",
        channel=channel,
        address=address,
        status=DeliveryStatus.SENDING,
        reason="leased",
        created_at=datetime(2026, 3, 1, tzinfo=UTC),
    )


def test_channels_without_settings_are_not_ready() -> None:
    """Their deliveries are skipped; the inbox needs no settings."""
    context = _context()
    assert not email.factory(context).ready
    assert not sms.factory(context).ready
    assert in_app.factory(context).ready


def test_channels_with_settings_are_ready() -> None:
    """Nothing is connected to yet."""
    context = _context(**SMTP, **TWILIO)
    assert email.factory(context).ready
    assert sms.factory(context).ready


async def test_a_channel_that_is_not_ready_skips() -> None:
    """Should it be asked all the same, the reason is the one the audit knows."""
    context = _context()
    with pytest.raises(DeliverySkipped) as caught:
        await email.factory(context).send(
            EmailMessage(subject="s", text="t"), _delivery("email", "ana@example.com")
        )
    assert caught.value.reason == "channel_not_configured"
    with pytest.raises(DeliverySkipped) as caught:
        await sms.factory(context).send(SmsMessage(text="t"), _delivery("sms", "+4915112345678"))
    assert caught.value.reason == "channel_not_configured"


@pytest.mark.parametrize(
    ("make", "settings", "field"),
    [
        # the password would travel in clear
        (
            email.factory,
            {**SMTP, "smtp_username": "u", "smtp_password": "p", "smtp_security": "none"},
            "smtp_security",
        ),
        # the same, said the older way
        (
            email.factory,
            {**SMTP, "smtp_username": "u", "smtp_password": "p", "smtp_use_tls": False},
            "smtp_security",
        ),
        (email.factory, {**SMTP, "smtp_ca_file": "/nowhere/ca.pem"}, "smtp_ca_file"),
        (sms.factory, {**TWILIO, "twilio_api_url": "ftp://example.com"}, "twilio_api_url"),
        (sms.factory, {**TWILIO, "twilio_api_url": "example.com"}, "twilio_api_url"),
    ],
)
def test_wrong_settings_are_found_at_start_up(
    make: Callable[[ChannelContext], object], settings: dict[str, Any], field: str
) -> None:
    """The error names the setting."""
    with pytest.raises(ConfigurationError, match=field):
        make(_context(**settings))


def test_a_missing_twilio_package_is_found_at_start_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the extra; without Twilio's settings nobody misses the package."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match=r"claimnotify\[twilio\]"):
        sms.factory(_context(**TWILIO))
    assert not sms.factory(_context()).ready


def test_what_happens_to_an_unknown_outcome_is_the_channels_to_say() -> None:
    """Mail has a Message-ID that tells a repeat; a text has none, so the operator decides."""
    assert email.factory(_context()).on_unknown == "retry"
    assert in_app.factory(_context()).on_unknown == "retry"
    assert sms.factory(_context()).on_unknown == "retry"
    assert sms.factory(_context(sms_on_unknown="fail")).on_unknown == "fail"


def test_the_deadline_is_the_settings() -> None:
    """One setting for every channel."""
    context = _context(**SMTP, **TWILIO, attempt_deadline_seconds=7)
    for make in (email.factory, sms.factory, in_app.factory):
        assert make(context).attempt_deadline == timedelta(seconds=7)


def test_addresses_come_from_the_recipient() -> None:
    """Each channel from its own field."""
    ana = Recipient(id="cus_7", email="ana@example.com", phone="+4915112345678")
    assert email.factory(_context()).addresses(ana) == ("ana@example.com",)
    assert sms.factory(_context()).addresses(ana) == ("+4915112345678",)
    assert in_app.factory(_context()).addresses(ana) == ("cus_7",)


async def test_an_inbox_item_goes_with_the_receipt() -> None:
    """Whoever records the outcome writes the item in the same transaction."""
    item = InAppMessage(title="Paid", body="250 EUR")
    receipt = await in_app.factory(_context()).send(item, _delivery("in_app", "cus_7"))
    assert receipt.status == DeliveryStatus.DELIVERED
    assert receipt.inbox_item is item
