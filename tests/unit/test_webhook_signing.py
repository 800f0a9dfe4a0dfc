"""Signing and verifying agree with the published vectors and libraries, and fail in one way only."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from types import MappingProxyType
from typing import Any

import django.http.request
import httpx
import pytest
import standardwebhooks
import starlette.datastructures
import svix.webhooks
import werkzeug.datastructures
from hypothesis import example, given
from hypothesis import strategies as st

from claimnotify.errors import InvalidInput
from claimnotify.webhooks import (
    EmptyWebhookSecretError,
    Webhook,
    WebhookVerificationError,
    generate_secret,
    hmac_data,
    signed_headers,
)

PUBLISHED = json.loads(
    (Path(__file__).parent.parent / "vectors" / "standard_webhooks.json").read_text()
)
VECTORS = PUBLISHED["vectors"]
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
BODY = b'{"type":"claim.approved","data":{"name":"J\xc3\xb6rg"}}'


ASYMMETRIC = generate_secret(kind="v1a")


def webhook(secret: str | bytes = SECRET, **options: Any) -> Webhook:
    return Webhook(secret, **{"clock": lambda: NOW, **options})


def headers(
    at: datetime = NOW, body: bytes = BODY, secrets: tuple[str, ...] = (SECRET,)
) -> dict[str, str]:
    return signed_headers(secrets, "msg_1", at, body)


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["signature"])
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
    if "public_key" in vector:
        verifier = Webhook(vector["public_key"], clock=lambda: at)
        assert verifier.verify(vector["body"], received) == json.loads(vector["body"])


@pytest.mark.parametrize("vector", PUBLISHED["long_bodies"], ids=lambda vector: vector["length"])
def test_known_answers_hold_for_long_bodies(vector: dict[str, Any]) -> None:
    at = datetime.fromtimestamp(vector["timestamp"], UTC)
    body = vector["letter"] * vector["length"]
    signer = Webhook(vector["secret"], clock=lambda: at)
    assert signer.sign(vector["id"], at, body) == vector["signature"]
    received = {
        "webhook-id": vector["id"],
        "webhook-timestamp": str(vector["timestamp"]),
        "webhook-signature": vector["signature"],
    }
    signer.verify(body, received, json_parse=False)


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


def test_headers_are_taken_as_frameworks_have_them() -> None:
    received = headers()
    environ = {f"HTTP_{name.upper().replace('-', '_')}": text for name, text in received.items()}
    for each in (
        starlette.datastructures.Headers(received),
        werkzeug.datastructures.EnvironHeaders(environ),
        werkzeug.datastructures.Headers(received),
        django.http.request.HttpHeaders(environ),
        httpx.Headers(received),
        MappingProxyType(received),
        {name.upper().encode(): text.encode() for name, text in received.items()},
        {**received, 7: "a name that is no text", None: None},
    ):
        webhook().verify(BODY, each)  # type: ignore[arg-type]


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


@pytest.mark.parametrize("entry", ["v1,AAAA", "x", "", "v1a," + "A" * 86 + "=="])
def test_a_great_many_signatures_cost_no_time_and_are_not_looked_at(entry: str) -> None:
    """Past the first 64 even a valid one is not seen."""
    received = headers()
    valid = received["webhook-signature"]
    received["webhook-signature"] = " ".join([entry] * 63 + [valid])
    webhook().verify(BODY, received)
    received["webhook-signature"] = " ".join([entry] * 100_000 + [valid])
    for secret in (SECRET, generate_secret(kind="v1a")):
        began = time.process_time()
        with pytest.raises(WebhookVerificationError, match="no signature"):
            webhook(secret).verify(BODY, received)
        assert time.process_time() - began < 0.5


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
        {"webhook-id": "msg_1."},
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


@given(st.data())
def test_no_bit_of_what_was_signed_may_change(data: st.DataObject) -> None:
    secret = data.draw(st.sampled_from([SECRET, ASYMMETRIC]))
    received = {**headers(secrets=(secret,)), "body": BODY.decode("latin-1")}
    name = data.draw(st.sampled_from(sorted(received)))
    text = bytearray(received[name].encode("latin-1"))
    position = data.draw(st.integers(0, 8 * len(text) - 1))
    text[position // 8] ^= 1 << position % 8
    received[name] = text.decode("latin-1")
    body = received.pop("body").encode("latin-1")
    with pytest.raises(WebhookVerificationError):
        webhook(secret).verify(body, received)


def test_a_part_of_one_messages_id_cannot_pass_for_anothers_timestamp() -> None:
    """Of `a.1.2` nobody could say whether it is message a at 1 with body 2 or a.1 at 2."""
    number = b"%d.5" % NOW.timestamp()
    signed = signed_headers([SECRET], "msg_1", NOW, number)
    moved = {
        **signed,
        "webhook-id": f"msg_1.{signed['webhook-timestamp']}",
        "webhook-timestamp": number.decode().partition(".")[0],
    }
    with pytest.raises(WebhookVerificationError, match="full stop"):
        webhook().verify(b"5", moved)
    for malformed in ("msg.1", "", None, 7, b"msg_1"):
        with pytest.raises(InvalidInput, match="msg_id"):
            webhook().sign(malformed, NOW, BODY)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "message_id",
    ["a\r\nx-more: y", "a\n", "\na", "a\r", "a\0", "a\x1f", "a\x7f", "a b", " ", "ä", "\ud800"],
)
def test_an_id_that_is_no_header_value_is_not_signed(message_id: str) -> None:
    """A line break would begin another header; others arrive changed or not at all."""
    with pytest.raises(InvalidInput, match="msg_id"):
        webhook().sign(message_id, NOW, BODY)
    with pytest.raises(InvalidInput, match="msg_id"):
        signed_headers([SECRET], message_id, NOW, BODY)


def test_all_of_printable_ascii_but_the_full_stop_may_be_in_an_id() -> None:
    message_id = "".join(map(chr, range(0x21, 0x7F))).replace(".", "")
    webhook().verify(BODY, signed_headers([SECRET], message_id, NOW, BODY))


def test_a_time_before_1970_is_not_signed() -> None:
    """No verifier takes a timestamp with a sign."""
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    assert signed_headers([SECRET], "msg_1", epoch, BODY)["webhook-timestamp"] == "0"
    for before in (epoch - timedelta(microseconds=1), datetime.min):
        with pytest.raises(InvalidInput, match="timestamp"):
            signed_headers([SECRET], "msg_1", before, BODY)
        with pytest.raises(InvalidInput, match="timestamp"):
            webhook().sign("msg_1", before, BODY)


@pytest.mark.parametrize(
    "tolerance", [timedelta(seconds=-1), timedelta.min, 300, None, "5 minutes"]
)
def test_a_tolerance_that_is_none_is_refused_at_once(tolerance: Any) -> None:
    with pytest.raises(InvalidInput, match="tolerance"):
        Webhook(SECRET, tolerance=tolerance)


def test_the_largest_and_the_smallest_tolerance_work() -> None:
    webhook(tolerance=timedelta.max).verify(BODY, headers(datetime(1970, 1, 2, tzinfo=UTC)))
    webhook(tolerance=timedelta(0)).verify(BODY, headers(NOW))
    with pytest.raises(WebhookVerificationError, match="new"):
        webhook(tolerance=timedelta(0)).verify(BODY, headers(NOW + timedelta(seconds=1)))


@pytest.mark.parametrize("secret", ["", "whsec_", b"", "=="])
def test_an_empty_secret_has_an_error_of_its_own(secret: str | bytes) -> None:
    with pytest.raises(EmptyWebhookSecretError):
        Webhook(secret)


@pytest.mark.parametrize(
    "secret",
    [
        "whsec_***",
        SECRET + "A",
        "whsec_" + "-_" * 20,  # the alphabet for URLs
        SECRET[:20] + "=" + SECRET[21:],
        SECRET + "===",
        SECRET + "\n",
        "whsec_ " + SECRET[6:],
        "whsec_" + SECRET,
        "WHSEC_" + SECRET[6:],
        "ü" * 32,
        None,
        7,
        bytearray(32),
    ],
)
def test_a_malformed_secret_is_the_documented_error(secret: Any) -> None:
    with pytest.raises(WebhookVerificationError, match=r"base64|neither"):
        Webhook(secret)


@pytest.mark.parametrize("length", [1, 23, 24, 25, 64, 65, 1000])
def test_a_symmetric_key_has_24_to_64_bytes(length: int) -> None:
    key = b"k" * length
    text = "whsec_" + base64.b64encode(key).decode()
    for secret in (key, text):
        if 24 <= length <= 64:
            Webhook(secret)
        else:
            with pytest.raises(WebhookVerificationError, match=f"{length} bytes and not 24 to 64"):
                Webhook(secret)


def test_without_its_prefix_a_secret_may_be_one_byte_short_as_in_the_references_tests() -> None:
    Webhook(base64.b64encode(b"k" * 23).decode().rstrip("="))
    for length in (22, 65):
        with pytest.raises(WebhookVerificationError, match="24 to 64"):
            Webhook(base64.b64encode(b"k" * length).decode())


@pytest.mark.parametrize(
    "text", [SECRET, generate_secret(kind="v1a")], ids=["symmetric", "private"]
)
def test_the_text_of_a_key_given_as_bytes_is_refused(text: str) -> None:
    """Else everybody who has a public key could sign with its text."""
    for each in (text, text.replace("whsk_", "whpk_")):
        with pytest.raises(WebhookVerificationError, match="give the text"):
            Webhook(each.encode())


def test_prefix_and_padding_of_a_secret_may_be_missing_and_bytes_are_the_key_itself() -> None:
    key = bytes(range(32))
    padded = base64.b64encode(key).decode()
    spellings: list[str | bytes] = [f"whsec_{padded}", padded, padded.rstrip("="), key]
    assert len({webhook(each).sign("msg_1", NOW, BODY) for each in spellings}) == 1


def test_sign_says_so_when_it_is_given_what_cannot_be_encoded() -> None:
    with pytest.raises(InvalidInput):
        webhook().sign("msg_1", NOW, "\ud800")
    for malformed in (None, 7, ["{}"]):
        with pytest.raises(InvalidInput, match="data"):
            webhook().sign("msg_1", NOW, malformed)
    with pytest.raises(InvalidInput, match="timestamp"):
        webhook().sign("msg_1", 1614265330, BODY)  # type: ignore[arg-type]


@pytest.mark.parametrize("secrets", [[], (), SECRET, SECRET.encode()])
def test_headers_are_signed_with_one_secret_at_least(secrets: Any) -> None:
    with pytest.raises(InvalidInput, match="secrets"):
        signed_headers(secrets, "msg_1", NOW, BODY)


def test_a_signature_is_hmac_sha256_over_id_timestamp_and_body() -> None:
    to_sign = b"msg_1.%d.%s" % (NOW.timestamp(), BODY)
    key = base64.b64decode(SECRET.removeprefix("whsec_"))
    expected = "v1," + base64.b64encode(hmac_data(key, to_sign)).decode()
    assert webhook().sign("msg_1", NOW, BODY) == expected


@given(st.binary(min_size=24, max_size=64), st.binary())
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
