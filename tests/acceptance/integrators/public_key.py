"""The private half of the public key that the page shows, and what it signs."""

from __future__ import annotations

import base64
from collections.abc import Mapping

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

__all__ = ["PRIVATE_KEY", "PUBLIC_KEY", "sign"]

# RFC 8032 section 7.1, test 1.
_SEED = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
_PRIVATE = Ed25519PrivateKey.from_private_bytes(_SEED)

PRIVATE_KEY = "whsk_" + base64.b64encode(_SEED + _PRIVATE.public_key().public_bytes_raw()).decode()
PUBLIC_KEY = "whpk_" + base64.b64encode(_PRIVATE.public_key().public_bytes_raw()).decode()


def sign(headers: Mapping[str, str], body: bytes) -> str:
    """Return the request's signature, as Standard Webhooks writes it."""
    content = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    return "v1a," + base64.b64encode(_PRIVATE.sign(content)).decode()
