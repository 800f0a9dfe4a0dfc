"""Webhooks: signing and verifying, the keys of endpoints, and the endpoints themselves.

Names are loaded when they are used: `from claimnotify.webhooks import Webhook` needs the standard
library only.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from claimnotify.errors import (
        EmptyWebhookSecretError,
        ForbiddenDestination,
        WebhookVerificationError,
    )
    from claimnotify.http.egress import EgressPolicy
    from claimnotify.webhooks.asymmetric import public_key
    from claimnotify.webhooks.directory import CachedEndpointDirectory
    from claimnotify.webhooks.endpoints import EndpointService
    from claimnotify.webhooks.keys import KeyRing, generate_secret
    from claimnotify.webhooks.signing import Webhook, hmac_data, signed_headers

__all__ = [
    # signing and verifying
    "EmptyWebhookSecretError",
    "Webhook",
    "WebhookVerificationError",
    "hmac_data",
    "signed_headers",
    # where webhooks may go
    "EgressPolicy",
    "ForbiddenDestination",
    # endpoints and their keys
    "CachedEndpointDirectory",
    "EndpointService",
    "KeyRing",
    "generate_secret",
    "public_key",
]

_HOMES = {
    "EmptyWebhookSecretError": "claimnotify.errors",
    "ForbiddenDestination": "claimnotify.errors",
    "WebhookVerificationError": "claimnotify.errors",
    "EgressPolicy": "claimnotify.http.egress",
    "CachedEndpointDirectory": "claimnotify.webhooks.directory",
    "EndpointService": "claimnotify.webhooks.endpoints",
    "KeyRing": "claimnotify.webhooks.keys",
    "generate_secret": "claimnotify.webhooks.keys",
    "public_key": "claimnotify.webhooks.asymmetric",
    "Webhook": "claimnotify.webhooks.signing",
    "hmac_data": "claimnotify.webhooks.signing",
    "signed_headers": "claimnotify.webhooks.signing",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
