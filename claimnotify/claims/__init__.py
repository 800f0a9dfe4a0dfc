"""The claims pack: typed events of a compensation claim's life. Nothing outside knows of claims."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from claimnotify.claims.events import (
        ClaimApproved,
        ClaimPaid,
        ClaimRejected,
        ClaimSubmitted,
        ClaimUnderReview,
        DocumentKind,
        DocumentRejected,
        Money,
    )

__all__ = [
    "ClaimSubmitted",
    "ClaimUnderReview",
    "ClaimApproved",
    "ClaimRejected",
    "ClaimPaid",
    "DocumentRejected",
    "DocumentKind",
    "Money",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from claimnotify.claims import events

    return getattr(events, name)


def __dir__() -> list[str]:
    return sorted(__all__)
