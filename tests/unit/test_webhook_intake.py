"""The intake answers for the handler where it can, and forgets nothing that could be played back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claimnotify.errors import EmptyWebhookSecretError, InvalidInput, WebhookVerificationError
from claimnotify.webhooks import generate_secret, signed_headers
from claimnotify.webhooks.receiving import (
    Admitted,
    Answer,
    Claim,
    Intake,
    MemorySeenIds,
    SeenIds,
)

SECRET = generate_secret()
NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
TOLERANCE = timedelta(minutes=5)
BODY = b'{"type":"claim.approved"}'


def status(found: Admitted | Answer) -> int:
    return found.status if isinstance(found, Answer) else 0


@given(st.integers(-300, 300), st.integers(0, 700), st.integers(0, 2000))
def test_what_was_handled_cannot_be_played_back_at_any_time(
    ahead: int, handled_after: int, played_after: int
) -> None:
    """However wrong the sender's clock is within the tolerance, and however late the attack."""
    now = NOW
    seen = MemorySeenIds(keep=2 * TOLERANCE, monotonic=lambda: (now - NOW).total_seconds() + 1000.0)
    intake = Intake(SECRET, seen=seen, clock=lambda: now)
    headers = signed_headers([SECRET], "msg_1", NOW + timedelta(seconds=ahead), BODY)
    now = NOW + timedelta(seconds=handled_after)
    first = intake.admit(BODY, headers)
    if isinstance(first, Answer):
        assert first.status == 400
        return
    intake.settle(first, succeeded=True)
    now += timedelta(seconds=played_after)
    assert status(intake.admit(BODY, headers)) in (200, 400)


@pytest.mark.parametrize(
    ("keep", "tolerance", "fits"),
    [
        (timedelta(minutes=10), timedelta(minutes=5), True),
        (timedelta(minutes=10) - timedelta(seconds=1), timedelta(minutes=5), False),
        (timedelta(minutes=10), timedelta(hours=1), False),
        (timedelta(hours=2), timedelta(hours=1), True),
        (timedelta(hours=2) - timedelta(microseconds=1), timedelta(hours=1), False),
        (timedelta(days=4), timedelta.max, False),
        (timedelta.max, timedelta.max // 2, True),
    ],
)
def test_ids_are_remembered_for_twice_the_tolerance(
    keep: timedelta, tolerance: timedelta, fits: bool
) -> None:
    seen = MemorySeenIds(keep=keep)
    if fits:
        Intake(SECRET, seen=seen, tolerance=tolerance)
    else:
        with pytest.raises(InvalidInput, match="twice the tolerance"):
            Intake(SECRET, seen=seen, tolerance=tolerance)


def test_what_is_too_large_is_not_looked_at() -> None:
    intake = Intake(SECRET, seen=MemorySeenIds(), max_body=10)
    assert status(intake.admit(b"x" * 11, {})) == 413
    assert status(intake.admit(b"x" * 10, {})) == 400
    assert Intake(SECRET, seen=MemorySeenIds()).max_body == 1024 * 1024


@pytest.mark.parametrize("limit", ["x", None, float("nan"), 10.0, 0, -1, True])
def test_a_limit_that_is_none_is_refused_at_once(limit: Any) -> None:
    """Nothing is larger than NaN: it would let every body in."""
    with pytest.raises(InvalidInput, match="max_body"):
        Intake(SECRET, seen=MemorySeenIds(), max_body=limit)


@pytest.mark.parametrize("seen", [None, 5, set(), {}, MemorySeenIds])
def test_a_store_that_is_none_is_refused_at_once(seen: Any) -> None:
    with pytest.raises(InvalidInput, match="seen"):
        Intake(SECRET, seen=seen)


def test_headers_may_be_a_plain_mapping_in_any_case() -> None:
    intake = Intake(SECRET, seen=MemorySeenIds(), clock=lambda: NOW)
    headers = signed_headers([SECRET], "msg_1", NOW, BODY)
    found = intake.admit(BODY, {name.upper(): text for name, text in headers.items()})
    assert isinstance(found, Admitted)
    assert (found.webhook.id, found.webhook.sent_at) == ("msg_1", NOW)


anything = st.one_of(st.none(), st.text(), st.binary(), st.integers())


@given(
    st.binary(),
    st.dictionaries(
        st.sampled_from(["webhook-id", "webhook-timestamp", "Webhook-Signature", "x"]), anything
    ),
)
def test_whatever_is_received_there_is_an_answer(body: bytes, headers: dict[str, Any]) -> None:
    found = Intake(SECRET, seen=MemorySeenIds(), clock=lambda: NOW).admit(body, headers)
    assert isinstance(found, Answer)
    assert found.status == 400
    assert SECRET[6:] not in found.text


def test_without_a_secret_or_with_a_malformed_one_there_is_no_intake() -> None:
    for secrets, error in [
        ((), InvalidInput),
        (("",), EmptyWebhookSecretError),
        ((SECRET, "whsec_x"), WebhookVerificationError),
    ]:
        with pytest.raises(error):
            Intake(*secrets, seen=MemorySeenIds())


def test_while_the_store_is_away_nothing_is_admitted() -> None:
    class Away:
        keep = timedelta(days=1)

        def claim(self, message_id: str) -> Claim:
            raise ConnectionError("away")

        def done(self, claim: Claim) -> None: ...
        def forget(self, claim: Claim) -> None: ...

    seen: SeenIds = Away()
    intake = Intake(SECRET, seen=seen, clock=lambda: NOW)
    with pytest.raises(ConnectionError):
        intake.admit(BODY, signed_headers([SECRET], "msg_1", NOW, BODY))


def test_a_repr_shows_no_secret() -> None:
    assert repr(Intake(SECRET, SECRET, seen=MemorySeenIds())) == "Intake(2 secrets)"
