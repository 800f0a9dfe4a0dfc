"""Ed25519 keys sign and verify `v1a`, are never taken for symmetric ones, and fail in one way."""

from __future__ import annotations

import base64
import subprocess
import sys
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from claimnotify.errors import (
    EmptyWebhookSecretError,
    InvalidInput,
    WebhookVerificationError,
)
from claimnotify.webhooks import Webhook, generate_secret, public_key, signed_headers

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
BODY = b'{"type":"claim.approved"}'
SECRET = generate_secret()
PRIVATE = generate_secret(kind="v1a")
PUBLIC = public_key(PRIVATE)
OTHER = generate_secret(kind="v1a")


def verify(secret: str | bytes, headers: dict[str, str]) -> Any:
    return Webhook(secret, clock=lambda: NOW).verify(BODY, headers)


def headers(*secrets: str) -> dict[str, str]:
    return signed_headers(secrets, "msg_1", NOW, BODY)


def key(text: str) -> bytes:
    return base64.b64decode(text[5:])


def text(prefix: str, key: bytes) -> str:
    return prefix + base64.b64encode(key).decode()


def test_the_private_key_signs_and_both_halves_verify() -> None:
    received = headers(PRIVATE)
    assert received["webhook-signature"].startswith("v1a,")
    assert received["webhook-signature"] == Webhook(PRIVATE).sign("msg_1", NOW, BODY)
    for secret in (PRIVATE, PUBLIC):
        assert verify(secret, received) == {"type": "claim.approved"}
    for stranger in (OTHER, public_key(OTHER)):
        with pytest.raises(WebhookVerificationError, match="no signature"):
            verify(stranger, received)


@given(st.binary(min_size=32, max_size=32), st.binary())
def test_a_signature_is_ed25519_over_id_timestamp_and_body(seed: bytes, body: bytes) -> None:
    signature = Webhook(text("whsk_", seed)).sign("msg_1", NOW, body)
    to_sign = b"msg_1.%d.%b" % (NOW.timestamp(), body)
    expected = Ed25519PrivateKey.from_private_bytes(seed).sign(to_sign)
    assert signature == text("v1a,", expected)


def test_a_mix_of_keys_gives_a_signature_each_and_every_one_of_them_verifies() -> None:
    received = headers(SECRET, PRIVATE, OTHER)
    versions = [each.partition(",")[0] for each in received["webhook-signature"].split(" ")]
    assert versions == ["v1", "v1a", "v1a"]
    for secret in (SECRET, PRIVATE, PUBLIC, OTHER):
        verify(secret, received)
    kept = signed_headers([Webhook(SECRET), PRIVATE, Webhook(OTHER)], "msg_1", NOW, BODY)
    assert kept == received


def test_from_hmac_to_ed25519_and_back_gives_one_v1a_and_two_v1() -> None:
    received = headers(generate_secret(), PRIVATE, SECRET)
    assert received["webhook-signature"].count("v1,") == 2
    assert received["webhook-signature"].count("v1a,") == 1
    verify(SECRET, received)
    verify(PUBLIC, received)


def test_a_key_verifies_signatures_of_its_own_version_only() -> None:
    """Whoever has the public key must not be able to sign, by no trick with versions or spellings."""
    forged: list[tuple[str, str]] = []
    for secret in (key(PUBLIC), key(PRIVATE)):
        signed = Webhook(secret).sign("msg_1", NOW, BODY)
        forged += [(PUBLIC, signed), (PUBLIC, signed.replace("v1,", "v1a,"))]
        forged += [(PRIVATE, signed), (PRIVATE, signed.replace("v1,", "v1a,"))]
    ours = headers(PRIVATE)["webhook-signature"]
    forged += [(PUBLIC, ours.replace("v1a,", "v1,")), (SECRET, ours.replace("v1a,", "v1,"))]
    theirs = headers(SECRET)["webhook-signature"]
    forged += [(SECRET, theirs.replace("v1,", "v1a,")), (PUBLIC, theirs), (SECRET, ours)]
    for secret_text, signature in forged:
        with pytest.raises(WebhookVerificationError, match="no signature"):
            verify(secret_text, {**headers(SECRET), "webhook-signature": signature})


@pytest.mark.parametrize(
    "noise",
    [
        "v1a",
        "v1a,",
        "v1a,***",
        "v1a,AAAA",
        "v2,abc",
        "v1b,x",
        "v1a," + "A" * 88,
        "v1a,ü",
        "v1a,=",
        "",
    ],
)
def test_a_malformed_or_unknown_entry_before_a_valid_one_is_skipped(noise: str) -> None:
    received = headers(PRIVATE)
    received["webhook-signature"] = f"{noise} {received['webhook-signature']}"
    verify(PUBLIC, received)


def test_a_signature_has_one_spelling() -> None:
    """Of the last letter before the padding four bits are spare."""
    received = headers(PRIVATE)
    signature = received["webhook-signature"].removesuffix("==")
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    number = alphabet.index(signature[-1])
    assert number % 16 == 0
    for spelling in (
        f"{signature[:-1]}{alphabet[number + 1]}==",
        signature,
        f"{signature}=",
        f"{signature}== ",
    ):
        received["webhook-signature"] = spelling
        if spelling.endswith(" "):
            verify(PUBLIC, received)
            continue
        with pytest.raises(WebhookVerificationError):
            verify(PUBLIC, received)


def test_a_public_key_does_not_sign() -> None:
    with pytest.raises(InvalidInput, match="public key, which verifies only"):
        Webhook(PUBLIC).sign("msg_1", NOW, BODY)
    with pytest.raises(InvalidInput, match="public key"):
        headers(SECRET, PUBLIC)


def test_a_private_key_may_be_given_without_its_public_half() -> None:
    """We write both, as libsodium and Svix do."""
    seed, public = key(PRIVATE)[:32], key(PRIVATE)[32:]
    assert (len(seed), public) == (32, key(PUBLIC))
    assert headers(text("whsk_", seed)) == headers(PRIVATE)
    assert public_key(text("whsk_", seed)) == PUBLIC
    assert headers(PRIVATE.rstrip("=")) == headers(PRIVATE)


@pytest.mark.parametrize(
    ("malformed", "told"),
    [
        (text("whsk_", key(PRIVATE)[:32] + key(OTHER)[32:]), "do not match"),
        (text("whsk_", key(PRIVATE)[:32] + bytes(32)), "do not match"),
        (text("whsk_", key(PRIVATE)[:31]), "31 bytes"),
        (text("whsk_", key(PRIVATE)[:63]), "63 bytes"),
        (text("whsk_", bytes(65)), "65 bytes"),
        (text("whpk_", bytes(31)), "31 bytes"),
        (text("whpk_", key(PRIVATE)), "64 bytes"),
        ("whsk_***", "base64"),
        ("whpk_" + "-_" * 22, "base64"),
        ("whsk_ü", "base64"),
    ],
    ids=[
        "other half",
        "empty half",
        "31 of a seed",
        "63 of a pair",
        "65",
        "31 of a public one",
        "64 of a public one",
        "no base64",
        "base64 for URLs",
        "no ASCII",
    ],
)
def test_a_malformed_key_is_the_documented_error(malformed: str, told: str) -> None:
    with pytest.raises(WebhookVerificationError, match=told) as caught:
        Webhook(malformed)
    assert malformed[5:20] not in str(caught.value)


@pytest.mark.parametrize("empty", ["whsk_", "whpk_", "whsk_=="])
def test_an_empty_key_has_an_error_of_its_own(empty: str) -> None:
    with pytest.raises(EmptyWebhookSecretError):
        Webhook(empty)


@pytest.mark.parametrize(
    "other",
    [SECRET, PUBLIC, "", None, key(PRIVATE)],
    ids=["secret", "public", "empty", "none", "bytes"],
)
def test_only_a_private_key_has_a_public_one(other: Any) -> None:
    with pytest.raises(InvalidInput, match="whsk_"):
        public_key(other)


def test_generated_pairs_differ_and_another_kind_is_refused() -> None:
    assert len({generate_secret(kind="v1a") for _ in range(20)}) == 20
    assert generate_secret(kind="v1").startswith("whsec_")
    with pytest.raises(InvalidInput, match="kind"):
        generate_secret(kind="v2")  # type: ignore[arg-type]


@given(st.text(), st.binary(), st.text())
def test_verify_raises_nothing_but_its_one_error(signature: str, body: bytes, entry: str) -> None:
    received = {**headers(PRIVATE), "webhook-signature": f"v1a,{signature} {entry}"}
    with pytest.raises(WebhookVerificationError):
        Webhook(PUBLIC, clock=lambda: NOW).verify(body, received)


def test_a_repr_shows_no_key() -> None:
    shown = repr(Webhook(PRIVATE)) + repr(Webhook(PRIVATE)._key)
    assert PRIVATE[5:20] not in shown


def test_cryptography_is_loaded_when_such_a_key_is_used() -> None:
    script = (
        "import sys; from claimnotify.webhooks import Webhook; Webhook('k' * 32); "
        "before = 'cryptography' in sys.modules; Webhook({!r}); "
        "print(before, 'cryptography' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script.format(PUBLIC)], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["False", "True"]
