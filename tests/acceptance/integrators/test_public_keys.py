"""The page's check of Ed25519 signatures, put where the page says, does what the HMAC's does."""

from __future__ import annotations

import base64

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from claimnotify.webhooks import generate_secret
from tests.acceptance.integrators.answers import NO_FIT, NOISE
from tests.acceptance.integrators.languages import Program
from tests.acceptance.integrators.page import vectors
from tests.acceptance.integrators.public_key import PUBLIC_KEY, sign
from tests.acceptance.integrators.sent import Sent, webhook_headers

(VECTOR,) = [each for each in vectors() if each.key.startswith("whpk_")]


def test_the_pages_vector_is_what_the_private_key_signs() -> None:
    assert VECTOR.key == PUBLIC_KEY
    assert VECTOR.signature == sign(VECTOR.headers, VECTOR.body.encode())


def test_a_public_key_verifies_what_we_sent_beside_other_signatures(
    verify_public: Program, sent: Sent
) -> None:
    received = sent.public
    headers = webhook_headers(received)
    signatures = headers["webhook-signature"].split(" ")
    assert [each.partition(",")[0] for each in signatures] == ["v1a", "v1", "v1"]
    assert signatures[0] == sign(headers, received.body), "as by the other library"
    assert verify_public(PUBLIC_KEY, headers, received.body) == "verified"
    noisy = {**headers, "webhook-signature": f"{' '.join(NOISE)} {headers['webhook-signature']}"}
    assert verify_public(PUBLIC_KEY, noisy, received.body) == "verified"
    for changed, body in (
        (headers, received.body + b" "),
        ({**headers, "webhook-id": "msg_2"}, received.body),
        ({**headers, "webhook-signature": " ".join(signatures[1:])}, received.body),
        ({**headers, "webhook-signature": " ".join(NOISE)}, received.body),
    ):
        assert verify_public(PUBLIC_KEY, changed, body) == NO_FIT
    other = Ed25519PrivateKey.generate().public_key().public_bytes_raw()
    stranger = "whpk_" + base64.b64encode(other).decode()
    assert verify_public(stranger, headers, received.body) == NO_FIT


def test_the_vector_with_a_public_key_holds_and_a_secret_is_no_public_key(
    verify_public: Program,
) -> None:
    now = int(VECTOR.timestamp)
    body = VECTOR.body.encode()
    assert verify_public(VECTOR.key, VECTOR.headers, body, now=now) == "verified"
    for key in (generate_secret(), "whpk_", "", "whpk_AAAA"):
        result = verify_public.run(key, VECTOR.headers, body, now=now)
        assert result.returncode != 0
        assert b"verified" not in result.stdout
