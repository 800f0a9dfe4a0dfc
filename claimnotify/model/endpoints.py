"""A customer's webhook endpoint: its URL, what it wants to hear, and how its patterns match."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice
from typing import Literal, TypeAlias

from claimnotify.errors import InvalidInput
from claimnotify.model.checks import is_series

__all__ = [
    "Endpoint",
    "EndpointKey",
    "KeyKind",
    "Ordering",
    "check_event_types",
    "headers_context",
    "matches",
    "secret_context",
]

KeyKind: TypeAlias = Literal["v1", "v1a"]
"""What an endpoint's key signs with: `v1` is HMAC-SHA256, `v1a` is Ed25519."""

Ordering: TypeAlias = Literal["none", "fifo", "strict"]
"""In which order an endpoint is sent to: `none`: as they come, several at once; `fifo`: one after
the other, but one that fails lets the next go while it waits; `strict`: it holds them up."""

OPERATIONAL = "endpoint."
"""What event types about endpoints themselves begin with. `*` does not cover them: who wants them
says so, and an endpoint in trouble is not told of it at the address that is in trouble."""

_MOST_PATTERNS = 500
_PATTERN = re.compile(r"\*|[a-z][a-z0-9_]*(?:\.[a-z0-9_]+)*(?:\.\*)?", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointKey:
    """One signing key of an endpoint, as it is stored: encrypted.

    Args:
        id: 32 hexadecimal digits.
        endpoint_id: The endpoint it signs for.
        kind: `v1` or `v1a`.
        ciphertext: The encrypted secret.
        public_key: For `v1a`, `whpk_` and what verifies its signatures; else empty.
        created_at: When it was made.
        expires_at: When it stops signing, or None for the current key.
    """

    id: str
    endpoint_id: str
    kind: KeyKind = "v1"
    ciphertext: str = field(repr=False)
    public_key: str = ""
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
        tags: If there are any, it gets only what has one of them.
        metadata: The application's own notes.
        header_names: The names of the headers of its own that are sent along.
        sealed_headers: Those headers, encrypted; empty if there are none.
        timeout: How long one attempt may take, or None for the channel's own deadline.
        ordering: `none`, `fifo` or `strict`.
        created_at: When it was registered.
        updated_at: When it was last changed, or None.
    """

    id: str
    tenant: str
    owner: str
    url: str = field(repr=False)
    event_types: Sequence[str] = ("*",)
    description: str = ""
    enabled: bool = True
    disabled_reason: str = ""
    rate_limit: str = ""
    tags: Sequence[str] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    header_names: Sequence[str] = ()
    sealed_headers: str = field(default="", repr=False)
    timeout: timedelta | None = None
    ordering: Ordering = "none"
    created_at: datetime
    updated_at: datetime | None = None

    def wants(self, event_type: str, tags: Collection[str] = ()) -> bool:
        """Return whether the endpoint is enabled and subscribed to `event_type` with these tags."""
        return self.enabled and self.subscribes_to(event_type, tags)

    def subscribes_to(self, event_type: str, tags: Collection[str] = ()) -> bool:
        """Return whether it would get `event_type` with these tags if it were enabled."""
        if self.tags and not any(tag in tags for tag in self.tags):
            return False
        return any(matches(pattern, event_type) for pattern in self.event_types)


def secret_context(key_id: str) -> str:
    """Return the context an endpoint key's secret is encrypted under: its table, row and column."""
    return f"endpoint_keys:{key_id}:secret"


def headers_context(endpoint_id: str) -> str:
    """Return the context an endpoint's own headers are encrypted under."""
    return f"endpoints:{endpoint_id}:headers"


def matches(pattern: str, event_type: str) -> bool:
    """Return whether `pattern` (`*`, a prefix ending in `.*`, or a whole type) covers the type."""
    if pattern == "*":
        return not event_type.startswith(OPERATIONAL)
    if pattern.endswith(".*"):
        return event_type.startswith(pattern[:-1])
    return pattern == event_type


def check_event_types(patterns: Sequence[str]) -> tuple[str, ...]:
    """Return `patterns` as a tuple if each is a type, a prefix such as `claim.*`, or `*`.

    Raises:
        InvalidInput: If one is not, or there is none.
    """
    remedy = "Give types such as claim.approved, prefixes such as claim.*, or *."
    if not is_series(patterns) or not (patterns := tuple(islice(patterns, _MOST_PATTERNS + 1))):
        raise InvalidInput("event_types", "is not a list of event types", remedy)
    if len(patterns) > _MOST_PATTERNS:
        raise InvalidInput(
            "event_types", f"are more than {_MOST_PATTERNS}", "Use prefixes such as claim.*."
        )
    for pattern in patterns:
        if not isinstance(pattern, str) or len(pattern) > 128 or not _PATTERN.fullmatch(pattern):
            raise InvalidInput(
                "event_types", f"{str(pattern)[:128]!r} is not an event type", remedy
            )
    return tuple(dict.fromkeys(patterns))
