"""A customer's webhook endpoint: its URL, what it wants to hear, and how its patterns match."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from claimnotify.errors import InvalidInput
from claimnotify.model.checks import is_series

__all__ = ["Endpoint", "EndpointKey", "check_event_types", "matches"]

_PATTERN = re.compile(r"\*|[a-z][a-z0-9_]*(?:\.[a-z0-9_]+)*(?:\.\*)?", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointKey:
    """One signing key of an endpoint, as it is stored: encrypted.

    Args:
        id: 32 hexadecimal digits.
        endpoint_id: The endpoint it signs for.
        ciphertext: The encrypted secret.
        created_at: When it was made.
        expires_at: When it stops signing, or None for the current key.
    """

    id: str
    endpoint_id: str
    ciphertext: str = field(repr=False)
    created_at: datetime
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A URL that an owner registered to be told about events.

    Args:
        id: 32 hexadecimal digits.
        tenant: The tenant it belongs to.
        owner: A recipient's id or a partner's.
        url: Where to post.
        event_types: Patterns of types it wants: `claim.approved`, `claim.*` or `*`.
        description: Free text.
        enabled: Whether anything is sent to it.
        disabled_reason: Why not, or empty.
        rate_limit: How often it may be sent to, such as `100/minute`, or empty for no limit.
        created_at: When it was registered.
    """

    id: str
    tenant: str
    owner: str
    url: str
    event_types: Sequence[str] = ("*",)
    description: str = ""
    enabled: bool = True
    disabled_reason: str = ""
    rate_limit: str = ""
    created_at: datetime

    def wants(self, event_type: str) -> bool:
        """Return whether the endpoint is enabled and subscribed to `event_type`."""
        return self.enabled and any(matches(pattern, event_type) for pattern in self.event_types)


def matches(pattern: str, event_type: str) -> bool:
    """Return whether `pattern` (`*`, a prefix ending in `.*`, or a whole type) covers the type."""
    if pattern == "*":
        return True
    if pattern.endswith(".*"):
        return event_type.startswith(pattern[:-1])
    return pattern == event_type


def check_event_types(patterns: Sequence[str]) -> tuple[str, ...]:
    """Return `patterns` as a tuple if each is a type, a prefix such as `claim.*`, or `*`.

    Raises:
        InvalidInput: If one is not, or there is none.
    """
    remedy = "Give types such as claim.approved, prefixes such as claim.*, or *."
    if not is_series(patterns) or not (patterns := tuple(patterns)):
        raise InvalidInput("event_types", "is not a list of event types", remedy)
    for pattern in patterns:
        if not isinstance(pattern, str) or len(pattern) > 128 or not _PATTERN.fullmatch(pattern):
            raise InvalidInput(
                "event_types", f"{str(pattern)[:128]!r} is not an event type", remedy
            )
    return tuple(dict.fromkeys(patterns))
