"""The page's verifiers accept what we really sent and refuse everything else, in every language."""

from __future__ import annotations

import base64
import hmac
from datetime import UTC, datetime

import pytest

from claimnotify.webhooks import generate_secret
from tests.acceptance.integrators.answers import MISSING, NO_FIT, NO_NUMBER, NOISE, TOO_FAR
from tests.acceptance.integrators.languages import Program
from tests.acceptance.integrators.page import Vector, vectors
from tests.acceptance.integrators.public_key import PUBLIC_KEY
from tests.acceptance.integrators.sent import Sent, webhook_headers

HMAC_VECTORS = [each for each in vectors() if each.key.startswith("whsec_")]


def test_what_we_sent_is_accepted_by_the_real_clock(verify: Program, sent: Sent) -> None:
    received = sent.before
    assert "Zoë".encode() in received.body
    assert verify(sent.old, webhook_headers(received), received.body) == "verified"


def test_the_old_and_the_new_secret_fit_while_a_secret_is_replaced(
    verify: Program, sent: Sent
) -> None:
    received = sent.during
    headers = webhook_headers(received)
    assert headers["webhook-signature"].count("v1,") == 2
    for secret in (sent.old, sent.new):
        assert verify(secret, headers, received.body) == "verified"
    assert verify(sent.new, webhook_headers(sent.before), sent.before.body) == NO_FIT


def test_what_makes_no_sense_before_a_valid_signature_is_passed_over(
    verify: Program, sent: Sent
) -> None:
    received = sent.public
    headers = webhook_headers(received)
    noisy = {**headers, "webhook-signature": f"{' '.join(NOISE)} {headers['webhook-signature']}"}
    assert verify(sent.old, noisy, received.body) == "verified"
    alone = {**headers, "webhook-signature": " ".join(NOISE)}
    assert verify(sent.old, alone, received.body) == NO_FIT


def test_a_change_of_anything_that_is_signed_is_refused(verify: Program, sent: Sent) -> None:
    received = sent.before
    headers = webhook_headers(received)
    changed: list[tuple[str, dict[str, str], bytes]] = [
        (sent.old, {}, received.body + b"\n"),
        (sent.old, {}, received.body.replace("ë".encode(), b"\\u00eb")),
        (sent.old, {}, received.body.replace(b"250", b"950")),
        (sent.old, {}, b""),
        (sent.old, {"webhook-id": headers["webhook-id"][:-1] + "-"}, received.body),
        (sent.old, {"webhook-timestamp": str(received.timestamp + 1)}, received.body),
        (sent.old, {"webhook-timestamp": "0" + headers["webhook-timestamp"]}, received.body),
        (
            sent.old,
            {"webhook-signature": headers["webhook-signature"][:-5] + "AAAA="},
            received.body,
        ),
        (generate_secret(), {}, received.body),
    ]
    for secret, change, body in changed:
        assert verify(secret, {**headers, **change}, body) == NO_FIT, (change, body)


@pytest.mark.parametrize(
    ("seconds", "answer"),
    [(300, "verified"), (-300, "verified"), (301, TOO_FAR), (-301, TOO_FAR), (86_400, TOO_FAR)],
)
def test_what_is_more_than_five_minutes_away_is_refused(
    seconds: int, answer: str, verify: Program, sent: Sent
) -> None:
    received = sent.before
    now = received.timestamp + seconds
    assert verify(sent.old, webhook_headers(received), received.body, now=now) == answer


def test_a_missing_header_is_refused(verify: Program, sent: Sent) -> None:
    received = sent.before
    headers = webhook_headers(received)
    for name in headers:
        without = {key: value for key, value in headers.items() if key != name}
        assert verify(sent.old, without, received.body) == MISSING, name
        empty = verify(sent.old, {**headers, name: ""}, received.body)
        assert empty in (MISSING, NO_NUMBER, NO_FIT), name


@pytest.mark.parametrize("timestamp", ["soon", "NaN", "1e2", "-1", "12.5", "９", "9" * 30, "0x7f"])
def test_a_timestamp_that_is_none_is_refused_though_it_was_signed(
    timestamp: str, verify: Program
) -> None:
    secret = generate_secret()
    signed = f"msg_1.{timestamp}.{{}}".encode()
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signature = "v1," + base64.b64encode(hmac.digest(key, signed, "sha256")).decode()
    headers = {
        "webhook-id": "msg_1",
        "webhook-timestamp": timestamp,
        "webhook-signature": signature,
    }
    assert verify(secret, headers, b"{}", now=0) in (NO_NUMBER, TOO_FAR)


@pytest.mark.parametrize(
    ("secret", "keys"),
    [
        # a setting that is not there
        ("", [b""]),
        ("whsec_", [b""]),
        # too short to be one of ours
        ("whsec_" + base64.b64encode(b"k" * 16).decode(), [b"k" * 16]),
        # a public key, which everyone knows: as text, and however its base64 may be read
        (
            PUBLIC_KEY,
            [
                PUBLIC_KEY.encode(),
                base64.b64decode(PUBLIC_KEY),  # passes over the underscore
                base64.b64decode(PUBLIC_KEY.removeprefix("whpk_")),
                base64.urlsafe_b64decode(
                    PUBLIC_KEY.translate(str.maketrans("/+", "_-"))[:-1] + "==="
                ),
            ],
        ),
    ],
    ids=["nothing", "prefix", "short", "public"],
)
def test_a_secret_that_is_none_never_accepts_what_an_attacker_can_sign(
    secret: str, keys: list[bytes], verify: Program
) -> None:
    now = datetime(2026, 3, 1, tzinfo=UTC)
    seconds = int(now.timestamp())
    for key in keys:
        digest = hmac.digest(key, b"msg_1.%d.{}" % seconds, "sha256")
        headers = {
            "webhook-id": "msg_1",
            "webhook-timestamp": str(seconds),
            "webhook-signature": "v1," + base64.b64encode(digest).decode(),
        }
        result = verify.run(secret, headers, b"{}", now=seconds)
        assert result.returncode != 0
        assert b"verified" not in result.stdout


def _altered(vector: Vector) -> list[tuple[str, dict[str, str], bytes]]:
    """Return the vector with one character changed in the key, the id and the body."""
    body = vector.body.encode()
    place = len("whsec_") + 3
    other = "A" if vector.key[place] != "A" else "B"
    return [
        (vector.key[:place] + other + vector.key[place + 1 :], vector.headers, body),
        (vector.key, {**vector.headers, "webhook-id": vector.id[:-1] + "!"}, body),
        (vector.key, vector.headers, body[:-1] + b"]"),
    ]


@pytest.mark.parametrize("vector", HMAC_VECTORS, ids=lambda vector: vector.id)
def test_the_pages_vectors_hold_in_every_language(vector: Vector, verify: Program) -> None:
    now = int(vector.timestamp)
    assert verify(vector.key, vector.headers, vector.body.encode(), now=now) == "verified"
    for secret, headers, body in _altered(vector):
        assert verify(secret, headers, body, now=now) == NO_FIT
