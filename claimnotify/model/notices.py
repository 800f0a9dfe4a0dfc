"""Trouble with an endpoint that its owner and the operators are still to be told of."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, TypeAlias

__all__ = ["EndpointNotice", "NoticeKind"]

NoticeKind: TypeAlias = Literal["failing", "disabled"]
"""What is told: `failing`: nothing but failure comes from it; `disabled`: nothing more is sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointNotice:
    """One thing to tell of one endpoint, written in the transaction in which it came to light.

    Args:
        id: 32 hexadecimal digits; sorts by time.
        tenant: The tenant.
        endpoint_id: The endpoint.
        owner: Its owner.
        url: Where it was posted to.
        kind: `failing` or `disabled`.
        reason: Why: `exhausted`, `failing`, `endpoint_gone` or `our_fault`; see `Reason`.
        failing_since: Since when nothing but failure has come from it, or None.
        created_at: When it came to light.
    """

    id: str
    tenant: str
    endpoint_id: str
    owner: str
    url: str = field(repr=False)
    kind: NoticeKind
    reason: str
    failing_since: datetime | None = None
    created_at: datetime
