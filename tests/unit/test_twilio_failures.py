"""What Twilio's answers mean for a delivery."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from claimnotify.channels.twilio_failures import refusal, unreachable
from claimnotify.errors import (
    ConnectFailed,
    DeadlineExceeded,
    DeliveryError,
    ForbiddenDestination,
    HttpEngineError,
    PermanentDeliveryError,
    ResponseBroken,
    TransientDeliveryError,
    UnknownOutcome,
)
from claimnotify.model.http import HttpResponse

NOW = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)


def _refusal(status: int, code: int | None = None, **headers: str) -> DeliveryError:
    body = {"code": code, "message": "words", "status": status} if code else {}
    response = HttpResponse(
        status=status,
        headers={name.replace("_", "-"): value for name, value in headers.items()},
        body=json.dumps(body).encode(),
    )
    return refusal(response, now=NOW)


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (400, 21211, PermanentDeliveryError),  # not a number
        (400, 21610, PermanentDeliveryError),  # answered STOP
        (400, 21617, PermanentDeliveryError),  # too long
        (400, None, PermanentDeliveryError),
        (400, 21606, TransientDeliveryError),  # our own number is wrong: no fault of this text
        (401, 20003, TransientDeliveryError),
        (403, None, TransientDeliveryError),
        (404, 20404, TransientDeliveryError),
        (400, 20429, TransientDeliveryError),
        (429, 20429, TransientDeliveryError),
        (500, 20500, TransientDeliveryError),
        (503, None, TransientDeliveryError),
        (302, None, TransientDeliveryError),  # nobody there who is Twilio
        (502, None, UnknownOutcome),  # a gateway cannot tell whether it was carried out
        (504, None, UnknownOutcome),
    ],
)
def test_a_refusal_by_status_and_code(
    status: int, code: int | None, expected: type[DeliveryError]
) -> None:
    """The status is kept; the excerpt begins with Twilio's own code."""
    error = _refusal(status, code)
    assert type(error) is expected
    assert error.status_code == status
    if code is not None:
        assert error.excerpt == f"{code}: words"


@pytest.mark.parametrize(
    ("code", "reason"),
    [(21211, "invalid_number"), (21614, "invalid_number"), (21610, "unsubscribed")],
)
def test_a_refusal_about_the_recipient_has_its_own_reason(code: int, reason: str) -> None:
    """So that a list of addresses not to be used can be kept."""
    assert _refusal(400, code).reason == reason
    assert _refusal(400, 21617).reason == "rejected"


def test_a_refusal_of_the_account_says_what_to_check() -> None:
    """A fault of the settings must not read like one of the text."""
    assert "TWILIO_AUTH_TOKEN" in str(_refusal(401, 20003))
    assert "TWILIO_FROM_NUMBER" in str(_refusal(400, 21606))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("30", timedelta(seconds=30)),
        ("Sun, 01 Mar 2026 09:31:00 GMT", timedelta(minutes=1)),
        ("Sun, 01 Mar 2026 09:29:00 GMT", timedelta(0)),  # past
        ("9999999", timedelta(hours=24)),  # no text should wait for months
        ("soon", None),
        ("-5", None),
        ("9" * 40, None),
        ("", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str, expected: timedelta | None) -> None:
    """RFC 9110 section 10.2.3; nonsense is as good as nothing."""
    error = _refusal(429, 20429, retry_after=value)
    assert isinstance(error, TransientDeliveryError)
    assert error.retry_after == expected


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"null", b'{"code": []}', b"\xff\x00"])
def test_an_answer_that_is_not_twilios_is_understood_by_its_status(body: bytes) -> None:
    """A proxy's page, say."""
    response = HttpResponse(status=503, headers={}, body=body)
    assert type(refusal(response, now=NOW)) is TransientDeliveryError


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ConnectFailed("refused"), TransientDeliveryError),
        (DeadlineExceeded("15 s", sent=False), TransientDeliveryError),
        (DeadlineExceeded("15 s", sent=True), UnknownOutcome),
        (ResponseBroken("closed"), UnknownOutcome),
        (ForbiddenDestination("url", "is not allowed"), TransientDeliveryError),
    ],
)
def test_no_answer_at_all(
    error: HttpEngineError | ForbiddenDestination, expected: type[DeliveryError]
) -> None:
    """It depends on whether the request may have reached Twilio."""
    assert type(unreachable(error)) is expected
