"""What the audit keeps of a webhook's headers and answer: without secrets, and not more than a little."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from itertools import islice

from claimnotify.model.texts import storable

__all__ = ["blanked", "received_headers", "secrets_of", "sent_headers"]

_REDACTED = "[redacted]"
_MOST, _LONGEST, _LONGEST_KNOWN = 32, 256, 64
_SHORTEST_SECRET = 8
_SECRET = re.compile(
    r"auth|cookie|token|secret|session|passw|credential|api-?key|signature|csrf|xsrf|jwt|nonce"
)
"""What the names of headers contain that may carry a secret, of ours or the receiver's."""


def sent_headers(headers: Mapping[str, str], own: Collection[str]) -> dict[str, str]:
    """Return what was sent; of signatures their versions, and of the endpoint's `own` the names."""
    kept = dict(headers)
    signatures = headers.get("webhook-signature", "")
    versions = (entry.partition(",")[0] for entry in signatures.split(" "))
    kept["webhook-signature"] = " ".join([f"{version},{_REDACTED}" for version in versions])
    for name in own:
        kept[name] = _REDACTED
    return kept


def secrets_of(headers: Mapping[str, str], own: Mapping[str, str]) -> Sequence[str]:
    """Return what was sent and is to be kept nowhere, should the receiver send it back.

    Those are the signatures, the values of the endpoint's `own` headers, and the longer words in
    them: of `Bearer abc…` a receiver may repeat but the token.
    """
    signatures = headers.get("webhook-signature", "").split(" ")
    found = {entry.partition(",")[2] for entry in signatures}
    for value in own.values():
        found |= {value, *(word for word in value.split(" ") if len(word) >= _SHORTEST_SECRET)}
    return sorted(filter(None, found), key=len, reverse=True)


def blanked(text: str, secrets: Sequence[str]) -> str:
    """Return a text of the receiver's without what it repeats of ours."""
    for secret in secrets:
        if secret in text:
            text = text.replace(secret, _REDACTED)
    return text


def received_headers(headers: Mapping[str, str], secrets: Sequence[str] = ()) -> dict[str, str]:
    """Return what came back, which anybody may have written: few, short and storable.

    Args:
        headers: The response's.
        secrets: What of ours is to be blanked in them.
    """
    kept: dict[str, str] = {}
    for name, value in islice(headers.items(), _MOST):
        # Names are anybody's: long ones are judged anew each time rather than kept.
        kept_name, secret = _known(name) if len(name) <= _LONGEST_KNOWN else _judged(name)
        if name == "location":
            target, query, _ = value.partition("?")
            value = f"{target}?{_REDACTED}" if query else value
        kept[kept_name] = _REDACTED if secret else storable(blanked(value, secrets), _LONGEST)
    return kept


def _judged(name: str) -> tuple[str, bool]:
    """Return a header's name as it is kept, and whether it may carry a secret."""
    return storable(name, _LONGEST), _SECRET.search(name) is not None


_known = lru_cache(maxsize=1024)(_judged)
