"""What an answer of Twilio's other than "created", or none at all, means for the delivery. Pure."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from claimnotify.errors import (
    ConnectFailed,
    DeadlineExceeded,
    DeliveryError,
    ForbiddenDestination,
    HttpEngineError,
    PermanentDeliveryError,
    TransientDeliveryError,
    UnknownOutcome,
)
from claimnotify.model.http import HttpResponse

__all__ = ["refusal", "unreachable"]

_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]+")

_REASONS = {
    21211: "invalid_number",  # not a phone number
    21217: "invalid_number",  # not a phone number, voice and text
    21610: "unsubscribed",  # the recipient answered STOP
    21614: "invalid_number",  # cannot receive texts
}
"""Reason codes for the refusals that are about the recipient."""

_ACCOUNT_CODES = {
    20003: "check TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN",
    20005: "the account is not active",
    20404: "check TWILIO_ACCOUNT_SID",
    21212: "check TWILIO_FROM_NUMBER",
    21603: "check TWILIO_FROM_NUMBER",
    21606: "check TWILIO_FROM_NUMBER: it is not a number of this account that can send texts",
    21659: "check TWILIO_FROM_NUMBER: it is not a number of Twilio's",
    21660: "check TWILIO_FROM_NUMBER: it is not a number of this account",
    21703: "the messaging service has no number",
    21705: "check TWILIO_FROM_NUMBER: there is no such messaging service",
    30002: "the account is suspended",
}
"""Refusals that are about our settings, which later texts need not suffer from."""

_LONGEST_WAIT = timedelta(hours=24)
_BUSY = frozenset({429, 500, 503})
_AMBIGUOUS = frozenset({502, 504})
"""A gateway lost sight of the request: it may have been carried out."""


def refusal(answer: HttpResponse | None, *, now: datetime) -> DeliveryError:
    """Return what `answer`, which was not a success, means.

    Args:
        answer: The response, or None if the client refused to ask.
        now: The time, from which a Retry-After date counts.

    Source: Twilio's error dictionary; RFC 9110 section 10.2.3 for Retry-After.
    """
    if answer is None:
        return TransientDeliveryError("the twilio client made no request; check TWILIO_… settings")
    status = answer.status
    code, text = _told(answer)
    excerpt = f"{code}: {text}"[:500] if code is not None else text[:500]
    named = f"Twilio answered {status}" + (f" with code {code}" if code is not None else "")
    if status in _AMBIGUOUS:
        return UnknownOutcome(
            f"{named}: a gateway lost the request", status_code=status, excerpt=excerpt
        )
    advice = _ACCOUNT_CODES.get(code) if code is not None else None
    if status in (401, 403, 404) and advice is None:
        advice = "check TWILIO_ACCOUNT_SID, TWILIO_AUTH_TOKEN and what the account may do"
    if advice is not None:
        return TransientDeliveryError(f"{named}: {advice}", status_code=status, excerpt=excerpt)
    if 400 <= status < 500 and status not in _BUSY and code != 20429:
        return PermanentDeliveryError(
            named, reason=_REASONS.get(code or 0), status_code=status, excerpt=excerpt
        )
    return TransientDeliveryError(
        named, retry_after=_retry_after(answer, now), status_code=status, excerpt=excerpt
    )


def unreachable(error: HttpEngineError | ForbiddenDestination) -> DeliveryError:
    """Return what a request without an answer means."""
    if isinstance(error, ForbiddenDestination):
        return TransientDeliveryError(f"{error.problem}; check TWILIO_API_URL")
    if isinstance(error, ConnectFailed) or (isinstance(error, DeadlineExceeded) and not error.sent):
        return TransientDeliveryError(f"Twilio could not be reached: {error.problem}")
    return UnknownOutcome(f"Twilio's answer was lost: {error.problem}; the text may have gone")


def _told(answer: HttpResponse) -> tuple[int | None, str]:
    """Return Twilio's own code, if there is one, and its words."""
    text = answer.body.decode("utf-8", "replace")
    try:
        values = json.loads(text)
        code, text = values["code"], str(values.get("message") or values.get("title") or "")
    except (ValueError, TypeError, KeyError, AttributeError):
        code = None
    return code if isinstance(code, int) else None, _UNPRINTABLE.sub(" ", text)


def _retry_after(answer: HttpResponse, now: datetime) -> timedelta | None:
    value = answer.headers.get("retry-after", "").strip()
    if value.isascii() and value.isdigit() and len(value) < 8:
        return min(timedelta(seconds=int(value)), _LONGEST_WAIT)
    try:
        until = parsedate_to_datetime(value)
    except ValueError:
        return None
    wait = (until if until.tzinfo else until.replace(tzinfo=UTC)) - now
    return min(max(wait, timedelta(0)), _LONGEST_WAIT)
