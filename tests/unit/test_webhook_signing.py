"""Signing and verifying agree with the published vectors and libraries, and fail in one way only."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import standardwebhooks
import svix.webhooks
from hypothesis import example, given
from hypothesis import strategies as st

from claimnotify.errors import InvalidInput
from claimnotify.webhooks import (
    EmptyWebhookSecretError,
    Webhook,
    WebhookVerificationError,
    hmac_data,
    signed_headers,
)

VECTORS = json.loads(
    (Path(__file__).parent.parent / "vectors" / "standard_webhooks.json").read_text()
)["vectors"]
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
BODY = b'{"type":"claim.approved","data":{"name":"J\xc3\xb6rg"}}'


def webhook(secret: str | bytes = SECRET, **options: Any) -> Webhook:
    return Webhook(secret, **{"clock": lambda: NOW, **options})


def headers(
    at: datetime = NOW, body: bytes = BODY, secrets: tuple[str, ...] = (SECRET,)
) -> dict[str, str]:
    return signed_headers(secrets, "msg_1", at, body)


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["id"])
def test_known_answers_hold_both_ways(vector: dict[str, Any]) -> None:
    at = datetime.fromtimestamp(vector["timestamp"], UTC)
    signer = Webhook(vector["secret"], clock=lambda: at)
    assert signer.sign(vector["id"], at, vector["body"]) == vector["signature"]
    received = {
        "webhook-id": vector["id"],
        "webhook-timestamp": str(vector["timestamp"]),
        "webhook-signature": vector["signature"],
    }
    assert signer.verify(vector["body"], received) == json.loads(vector["body"])


messages = st.tuples(
    st.binary(min_size=24, max_size=64),
    st.text("abcdefghijklmnopqrstuvwxyz0123456789_", min_size=1),
    st.dictionaries(st.text(), st.integers()),
)


@given(messages)
def test_the_published_packages_accept_what_we_sign_and_we_what_they_sign(
    message: tuple[bytes, str, dict[str, int]],
) -> None:
    key, message_id, payload = message
    now = datetime.now(UTC)
    secret = "whsec_" + base64.b64encode(key).decode()
    body = json.dumps(payload)
    ours = signed_headers([secret], message_id, now, body.encode())
    for package in (standardwebhooks.Webhook(secret), svix.webhooks.Webhook(secret)):
        package.verify(body, ours)
        theirs = {**ours, "webhook-signature": package.sign(message_id, now, body)}
        assert theirs == ours
        assert Webhook(secret).verify(body.encode(), theirs) == payload


def test_verify_returns_the_parsed_body_or_none() -> None:
    assert webhook().verify(BODY, headers())["data"]["name"] == "Jörg"
    assert webhook().verify(BODY.decode(), headers())["data"]["name"] == "Jörg"
    assert webhook().verify(BODY, headers(), json_parse=False) is None


def test_a_body_is_signed_as_bytes_whatever_it_holds() -> None:
    for body in (b"", b"\xff\xfe\x00", b"\r\n"):
        webhook().verify(body, headers(body=body), json_parse=False)


def test_the_case_of_header_names_does_not_matter() -> None:
    received = {name.title(): value for name, value in headers().items()}
    webhook().verify(BODY, received)


def test_any_of_several_secrets_verifies_during_a_rotation() -> None:
    received = headers(secrets=(SECRET, OTHER))
    assert received["webhook-signature"].count("v1,") == 2
    webhook(SECRET).verify(BODY, received)
    webhook(OTHER).verify(BODY, received)


@pytest.mark.parametrize(
    "noise",
    ["nonsense", "v1", "v1,", "v1,***", "v1,AAA", "v2,abc", ",", "", "v1a,x", "v1,ü", "\x00"],
)
def test_a_malformed_entry_before_a_valid_one_is_skipped(noise: str) -> None:
    received = headers()
    received["webhook-signature"] = f"{noise} {received['webhook-signature']}"
    webhook().verify(BODY, received)


def test_equal_instants_sign_equally_in_every_zone() -> None:
    zones = [UTC, timezone(timedelta(hours=9)), timezone(timedelta(hours=-7, minutes=-30))]
    signatures = {webhook().sign("msg_1", NOW.astimezone(zone), BODY) for zone in zones}
    signatures.add(webhook().sign("msg_1", NOW.replace(tzinfo=None), BODY))
    assert len(signatures) == 1


def test_parts_of_a_second_are_cut_off() -> None:
    later = NOW + timedelta(microseconds=999_999)
    assert webhook().sign("msg_1", later, BODY) == webhook().sign("msg_1", NOW, BODY)
    assert headers(later) == headers(NOW)


@pytest.mark.parametrize(
    ("age", "tolerance", "passes"),
    [
        (timedelta(minutes=5), None, True),
        (timedelta(minutes=5, seconds=1), None, False),
        (timedelta(minutes=-5), None, True),
        (timedelta(minutes=-5, seconds=-1), None, False),
        (timedelta(hours=1), timedelta(hours=1), True),
        (timedelta(seconds=11), timedelta(seconds=10), False),
    ],
)
def test_a_timestamp_may_be_off_by_the_tolerance(
    age: timedelta, tolerance: timedelta | None, passes: bool
) -> None:
    options = {} if tolerance is None else {"tolerance": tolerance}
    if passes:
        webhook(**options).verify(BODY, headers(NOW - age))
    else:
        with pytest.raises(WebhookVerificationError, match="timestamp"):
            webhook(**options).verify(BODY, headers(NOW - age))


def test_without_a_clock_the_hosts_is_used() -> None:
    Webhook(SECRET).verify(BODY, headers(datetime.now(UTC)))
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(BODY, headers(datetime.now(UTC) - timedelta(minutes=6)))


@pytest.mark.parametrize("missing", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_every_header_is_required(missing: str) -> None:
    received = headers()
    del received[missing]
    with pytest.raises(WebhookVerificationError):
        webhook().verify(BODY, received)
    with pytest.raises(WebhookVerificationError):
        webhook().verify(BODY, {**received, missing: ""})


@pytest.mark.parametrize(
    "timestamp",
    ["hello", "NaN", "nan", "inf", "1e9", "-1", "+1", " 1", "1_0", "0x1", "1.0", "١", "9" * 5000],
)
def test_a_timestamp_that_is_no_number_of_seconds_is_refused(timestamp: str) -> None:
    with pytest.raises(WebhookVerificationError):
        webhook().verify(BODY, {**headers(), "webhook-timestamp": timestamp})


@pytest.mark.parametrize(
    "change",
    [
        {"webhook-id": "msg_2"},
        {"webhook-timestamp": str(int(NOW.timestamp()) + 1)},
        {"webhook-signature": "v1,"},
        {"webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="},
        {"webhook-signature": headers()["webhook-signature"][:-1]},
        {"webhook-signature": headers()["webhook-signature"].replace("v1,", "v1a,")},
        {"webhook-signature": headers(secrets=(OTHER,))["webhook-signature"]},
    ],
)
def test_whatever_was_signed_must_not_change(change: dict[str, str]) -> None:
    with pytest.raises(WebhookVerificationError):
        webhook().verify(BODY, {**headers(), **change})
    with pytest.raises(WebhookVerificationError):
        webhook().verify(BODY + b" ", headers())


@pytest.mark.parametrize(
    "body", [b"", b"{", b"\xff", b"[" * 100_000, b"1" * 10_000, b"\xef\xbb\xbf1"]
)
def test_a_signed_body_that_is_no_json_is_the_same_error(body: bytes) -> None:
    with pytest.raises(WebhookVerificationError, match="JSON"):
        webhook().verify(body, headers(body=body))


anything = st.one_of(
    st.none(), st.text(), st.binary(), st.integers(), st.floats(), st.lists(st.text())
)


@given(
    data=anything,
    received=st.one_of(
        anything,
        st.fixed_dictionaries(dict.fromkeys(headers(), anything)),
        st.dictionaries(st.one_of(st.text(), st.integers(), st.binary()), anything),
        st.fixed_dictionaries(
            {
                "webhook-id": st.text(min_size=1),
                "webhook-timestamp": st.just(headers()["webhook-timestamp"]),
                "webhook-signature": st.text(min_size=1),
            }
        ),
    ),
)
@example(data="\ud800", received=headers())
@example(data=b"", received={**headers(), "webhook-signature": "v1,\ud800"})
@example(data=b"", received={**headers(), "webhook-id": "\udfff"})
def test_verify_raises_nothing_but_its_one_error(data: Any, received: Any) -> None:
    with pytest.raises(WebhookVerificationError):
        webhook().verify(data, received)


@pytest.mark.parametrize("secret", ["", "whsec_", b"", "=="])
def test_an_empty_secret_has_an_error_of_its_own(secret: str | bytes) -> None:
    with pytest.raises(EmptyWebhookSecretError):
        Webhook(secret)


@pytest.mark.parametrize(
    "secret", ["whsec_***", "whsec_A", "whsec_AAAA-_8=", "whsec_AA=A", "ü", "whsec_ AAAA", None, 7]
)
def test_a_malformed_secret_is_the_documented_error(secret: Any) -> None:
    with pytest.raises(WebhookVerificationError):
        Webhook(secret)


def test_prefix_and_padding_of_a_secret_may_be_missing_and_bytes_are_the_key_itself() -> None:
    key = bytes(range(32))
    padded = base64.b64encode(key).decode()
    spellings: list[str | bytes] = [f"whsec_{padded}", padded, padded.rstrip("="), key]
    assert len({webhook(each).sign("msg_1", NOW, BODY) for each in spellings}) == 1


def test_sign_says_so_when_it_is_given_what_cannot_be_encoded() -> None:
    with pytest.raises(InvalidInput):
        webhook().sign("\ud800", NOW, BODY)
    with pytest.raises(InvalidInput):
        webhook().sign("msg_1", NOW, "\ud800")


def test_a_signature_is_hmac_sha256_over_id_timestamp_and_body() -> None:
    to_sign = b"msg_1.%d.%s" % (NOW.timestamp(), BODY)
    key = base64.b64decode(SECRET.removeprefix("whsec_"))
    expected = "v1," + base64.b64encode(hmac_data(key, to_sign)).decode()
    assert webhook().sign("msg_1", NOW, BODY) == expected


@given(st.binary(min_size=1, max_size=200), st.binary())
def test_keys_of_every_length_give_what_hmac_gives(key: bytes, body: bytes) -> None:
    expected = hmac_data(key, b"msg_1.%d.%b" % (NOW.timestamp(), body))
    assert webhook(key).sign("msg_1", NOW, body) == "v1," + base64.b64encode(expected).decode()


def test_a_repr_does_not_show_the_secret() -> None:
    assert SECRET[6:] not in repr(webhook())


def test_importing_webhook_loads_the_standard_library_and_our_errors_only() -> None:
    script = (
        "import sys; before = set(sys.modules); from claimnotify.webhooks import Webhook; "
        "new = {m.partition('.')[0] for m in set(sys.modules) - before} - sys.stdlib_module_names; "
        "ours = sorted(m for m in sys.modules if m.startswith('claimnotify.')); "
        "print(sorted(new), ours)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == str(["claimnotify"]) + " " + str(
        ["claimnotify.errors", "claimnotify.webhooks", "claimnotify.webhooks.signing"]
    )
