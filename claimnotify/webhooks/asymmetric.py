"""Signs and verifies webhooks with Ed25519 (`v1a`); loaded when such a key is used.

A private key is `whsk_` and its 32-byte seed followed by its 32-byte public key, in base64: what
libsodium and Svix keep. The seed alone is understood as well. A public key is `whpk_` and 32 bytes.
"""

from __future__ import annotations

import base64
import binascii

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from claimnotify.errors import InvalidInput, WebhookVerificationError
from claimnotify.webhooks.signing import entries, key_bytes

__all__ = ["Ed25519Key", "generate_private_key", "public_key"]

_PRIVATE, _PUBLIC = "whsk_", "whpk_"
_VERSION = b"v1a,"
_KEY_BYTES = 32
_SIGNATURE_TEXT = len(_VERSION) + 88  # 64 bytes in base64


class Ed25519Key:
    """A key of version `v1a`: private, or public and then for verifying only (RFC 8032).

    Args:
        text: `whsk_…` or `whpk_…`.

    Raises:
        WebhookVerificationError: It is malformed, of another length, or a pair that does not match.
    """

    __slots__ = ("_private", "_public")

    def __init__(self, text: str) -> None:
        self._private: Ed25519PrivateKey | None = None
        if text.startswith(_PRIVATE):
            self._private = _private_key(text)
            self._public = self._private.public_key()
        else:
            key = key_bytes(text, _PUBLIC)
            if len(key) != _KEY_BYTES:
                raise WebhookVerificationError(f"the public key has {len(key)} bytes and not 32")
            self._public = Ed25519PublicKey.from_public_bytes(key)

    def __repr__(self) -> str:
        return "Ed25519Key()"

    def signature(self, to_sign: bytes) -> bytes:
        """Return `v1a,` and the signature in base64.

        Raises:
            InvalidInput: The key is public.
        """
        if self._private is None:
            raise InvalidInput(
                "whsecret", "is a public key, which verifies only", "Sign with the whsk_ key."
            )
        return _VERSION + binascii.b2a_base64(self._private.sign(to_sign), newline=False)

    def fits(self, to_sign: bytes, signatures: bytes) -> bool:
        """Return whether one of the space-delimited `signatures` is this key's."""
        return any(
            self._is_ours(entry, to_sign)
            for entry in entries(signatures)
            if len(entry) == _SIGNATURE_TEXT and entry.startswith(_VERSION)
        )

    def _is_ours(self, entry: bytes, to_sign: bytes) -> bool:
        encoded = entry.removeprefix(_VERSION)
        try:
            signature = binascii.a2b_base64(encoded, strict_mode=True)
            # Base64 has spare bits: without this a signature would have more than one spelling.
            if binascii.b2a_base64(signature, newline=False) != encoded:
                return False
            self._public.verify(signature, to_sign)
        except (binascii.Error, InvalidSignature):
            return False
        return True


def generate_private_key() -> str:
    """Return a new private key: `whsk_` and seed and public key, 64 bytes in base64."""
    private = Ed25519PrivateKey.generate()
    return _text(_PRIVATE, private.private_bytes_raw() + private.public_key().public_bytes_raw())


def public_key(secret: str) -> str:
    """Return the public key of a private one, for those who verify.

    Args:
        secret: `whsk_…`.

    Returns:
        `whpk_` and 32 bytes in base64.

    Raises:
        InvalidInput: It is no private key.
        WebhookVerificationError: It is a malformed one.
    """
    if not isinstance(secret, str) or not secret.startswith(_PRIVATE):
        raise InvalidInput("secret", "is no private key", "Give a key that begins with whsk_.")
    return _text(_PUBLIC, _private_key(secret).public_key().public_bytes_raw())


def _private_key(text: str) -> Ed25519PrivateKey:
    key = key_bytes(text, _PRIVATE)
    if len(key) not in (_KEY_BYTES, 2 * _KEY_BYTES):
        raise WebhookVerificationError(f"the private key has {len(key)} bytes and not 32 or 64")
    private = Ed25519PrivateKey.from_private_bytes(key[:_KEY_BYTES])
    if key[_KEY_BYTES:] not in (b"", private.public_key().public_bytes_raw()):
        raise WebhookVerificationError("the private and the public half of the key do not match")
    return private


def _text(prefix: str, key: bytes) -> str:
    return prefix + base64.b64encode(key).decode()
