"""What is kept of a webhook's headers in the audit: without secrets, and not more than a little."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from functools import lru_cache
from itertools import islice

from claimnotify.model.texts import storable

__all__ = ["received_headers", "sent_headers"]

_REDACTED = "[redacted]"
_MOST, _LONGEST, _LONGEST_KNOWN = 32, 256, 64
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


def received_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Return what came back, which anybody may have written: few, short and storable."""
    kept: dict[str, str] = {}
    for name, value in islice(headers.items(), _MOST):
        # Names are anybody's: long ones are judged anew each time rather than kept.
        kept_name, secret = _known(name) if len(name) <= _LONGEST_KNOWN else _judged(name)
        kept[kept_name] = _REDACTED if secret else storable(value, _LONGEST)
    return kept


def _judged(name: str) -> tuple[str, bool]:
    """Return a header's name as it is kept, and whether it may carry a secret."""
    return storable(name, _LONGEST), _SECRET.search(name) is not None


_known = lru_cache(maxsize=1024)(_judged)
