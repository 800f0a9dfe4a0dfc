"""Signs with the private half of the public key that the page shows."""

from __future__ import annotations

import base64
from collections.abc import Mapping

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

__all__ = ["PUBLIC_KEY", "sign", "with_v1a"]

# RFC 8032 section 7.1, test 1.
_SEED = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
_PRIVATE = Ed25519PrivateKey.from_private_bytes(_SEED)

PUBLIC_KEY = "whpk_" + base64.b64encode(_PRIVATE.public_key().public_bytes_raw()).decode()


def sign(headers: Mapping[str, str], body: bytes) -> str:
    """Return the request's signature, as Standard Webhooks writes it."""
    content = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    return "v1a," + base64.b64encode(_PRIVATE.sign(content)).decode()


def with_v1a(headers: Mapping[str, str], body: bytes) -> dict[str, str]:
    """Return the headers with that signature before the others."""
    signatures = f"{sign(headers, body)} {headers['webhook-signature']}"
    return {**headers, "webhook-signature": signatures}
