"""Makes signing secrets, and encrypts them for the database under the application's key ring."""

from __future__ import annotations

import base64
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from claimnotify.errors import ConfigurationError, InvalidInput

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

__all__ = ["KeyRing", "generate_secret"]

_SHORTEST = 32
_SECRET_BYTES = 32
_NONCE_BYTES = 12
_FORMAT = "v1"
_REMEDY = "Set CLAIMNOTIFY_SECRET_KEYS; the first key encrypts, all decrypt."


def generate_secret(*, kind: Literal["v1", "v1a"] = "v1") -> str:
    """Return a new signing secret.

    Args:
        kind: The version of the signatures it makes.

    Returns:
        For `v1`, `whsec_` and 32 random bytes in base64. For `v1a`, `whsk_` and an Ed25519 key
        pair, 64 bytes in base64; `public_key` gives the half that verifies.

    Raises:
        InvalidInput: The kind is another.
    """
    if kind == "v1":
        return "whsec_" + base64.b64encode(os.urandom(_SECRET_BYTES)).decode()
    if kind == "v1a":
        from claimnotify.webhooks.asymmetric import generate_private_key

        return generate_private_key()
    raise InvalidInput("kind", "is neither v1 nor v1a", "v1 is symmetric, v1a asymmetric.")


class KeyRing:
    """Encrypts with its first key and decrypts with any (AES-256-GCM). See `claimnotify.ports.Cipher`.

    A ciphertext is `v1.<key id>.<nonce and ciphertext in URL-safe base64>`; the key id is derived
    from the key and tells nothing about it. The context goes in as associated data, so that a
    ciphertext moved to another row cannot be read there.

    Args:
        keys: Texts of 32 characters or more; each is stretched through HKDF-SHA256 (RFC 5869).

    Raises:
        ConfigurationError: There is no key, or one is too short.
    """

    def __init__(self, keys: Sequence[str]) -> None:
        if isinstance(keys, str) or not keys:
            raise ConfigurationError("secret_keys", "holds no key", _REMEDY)
        if any(not isinstance(key, str) or len(key) < _SHORTEST for key in keys):
            raise ConfigurationError(
                "secret_keys", f"a key is shorter than {_SHORTEST} characters", _REMEDY
            )
        self._keys = tuple(keys)
        self._ciphers: dict[str, AESGCM] | None = None

    def __repr__(self) -> str:
        return f"KeyRing({len(self._keys)} keys)"

    def encrypt(self, plaintext: bytes, *, context: str) -> str:
        """Return a text that only `decrypt` with the same `context` can read."""
        key_id, cipher = next(iter(self._loaded().items()))
        nonce = os.urandom(_NONCE_BYTES)
        sealed = nonce + cipher.encrypt(nonce, plaintext, context.encode())
        return f"{_FORMAT}.{key_id}.{base64.urlsafe_b64encode(sealed).decode()}"

    def is_current(self, ciphertext: str) -> bool:
        """Return whether it was encrypted with the first key."""
        return ciphertext.startswith(f"{_FORMAT}.{next(iter(self._loaded()))}.")

    def decrypt(self, ciphertext: str, *, context: str) -> bytes:
        """Return the plaintext.

        Raises:
            ConfigurationError: No key of ours fits, `context` is another, or it was altered.
        """
        from cryptography.exceptions import InvalidTag

        version, _, rest = ciphertext.partition(".")
        key_id, _, encoded = rest.partition(".")
        cipher = self._loaded().get(key_id)
        if version != _FORMAT or cipher is None:
            raise ConfigurationError(
                "secret_keys",
                "no key fits what is stored",
                "Add the key it was encrypted with to CLAIMNOTIFY_SECRET_KEYS.",
            )
        try:
            sealed = base64.b64decode(encoded, altchars=b"-_", validate=True)
            return cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], context.encode())
        except (ValueError, InvalidTag):
            raise ConfigurationError(
                "secret_keys",
                "what is stored was altered, or belongs to another row",
                "Restore the row, or rotate the endpoint's key.",
            ) from None

    def _loaded(self) -> dict[str, AESGCM]:
        """Return the ciphers by key id, the encrypting one first."""
        if self._ciphers is None:
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM

            self._ciphers = {
                _derive(key, b"id", 6).hex(): AESGCM(_derive(key, b"aes-256-gcm", 32))
                for key in self._keys
            }
        return self._ciphers


def _derive(key: str, purpose: bytes, length: int) -> bytes:
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    stretch = HKDF(algorithm=SHA256(), length=length, salt=b"claimnotify", info=purpose)
    return stretch.derive(key.encode())
