"""The key ring encrypts with its first key, decrypts with any, and ties a text to its row."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claimnotify.errors import ConfigurationError
from claimnotify.webhooks import KeyRing, Webhook, generate_secret

OLD, NEW = "old-" + "o" * 32, "new-" + "n" * 32


@given(st.binary(), st.text(st.characters(codec="utf-8")))
def test_what_was_encrypted_can_be_decrypted(plaintext: bytes, context: str) -> None:
    ring = KeyRing([NEW])
    assert ring.decrypt(ring.encrypt(plaintext, context=context), context=context) == plaintext


def test_the_first_key_encrypts_and_all_decrypt() -> None:
    stored = KeyRing([OLD]).encrypt(b"secret", context="row")
    both = KeyRing([NEW, OLD])
    assert both.decrypt(stored, context="row") == b"secret"
    renewed = both.encrypt(b"secret", context="row")
    assert KeyRing([NEW]).decrypt(renewed, context="row") == b"secret"
    with pytest.raises(ConfigurationError, match="no key fits"):
        KeyRing([OLD]).decrypt(renewed, context="row")


def test_a_text_moved_to_another_row_cannot_be_read() -> None:
    ring = KeyRing([NEW])
    stored = ring.encrypt(b"secret", context="endpoint_keys:1:secret")
    with pytest.raises(ConfigurationError):
        ring.decrypt(stored, context="endpoint_keys:2:secret")


def test_every_altered_byte_is_noticed() -> None:
    ring = KeyRing([NEW])
    head, _, encoded = ring.encrypt(b"secret", context="row").rpartition(".")
    sealed = base64.urlsafe_b64decode(encoded)
    for position in range(len(sealed)):
        changed = bytearray(sealed)
        changed[position] ^= 1
        text = f"{head}.{base64.urlsafe_b64encode(bytes(changed)).decode()}"
        with pytest.raises(ConfigurationError):
            ring.decrypt(text, context="row")


@given(st.text())
def test_nonsense_is_a_configuration_error(text: str) -> None:
    with pytest.raises(ConfigurationError):
        KeyRing([NEW]).decrypt(text, context="row")


def test_nonsense_after_our_own_key_id_is_one_too() -> None:
    ring = KeyRing([NEW])
    head = ring.encrypt(b"", context="row").rpartition(".")[0]
    for rest in ("", "!", "AAAA", "ü", "A"):
        with pytest.raises(ConfigurationError):
            ring.decrypt(f"{head}.{rest}", context="row")


def test_equal_texts_are_encrypted_differently_each_time() -> None:
    ring = KeyRing([NEW])
    assert len({ring.encrypt(b"secret", context="row") for _ in range(50)}) == 50


@pytest.mark.parametrize("keys", [[], "x" * 40, ["short"], [NEW, "short"], [b"x" * 40]])
def test_a_key_ring_without_a_usable_key_is_refused(keys: list[str]) -> None:
    with pytest.raises(ConfigurationError, match="secret_keys"):
        KeyRing(keys)


def test_neither_repr_nor_ciphertext_shows_a_key_or_the_plaintext() -> None:
    ring = KeyRing([NEW])
    for shown in (repr(ring), ring.encrypt(b"plaintext", context="row")):
        assert NEW not in shown
        assert "plaintext" not in shown


def test_generated_secrets_are_32_random_bytes_that_webhook_takes() -> None:
    secrets = {generate_secret() for _ in range(50)}
    assert len(secrets) == 50
    for secret in secrets:
        assert len(base64.b64decode(secret.removeprefix("whsec_"))) == 32
        Webhook(secret)
