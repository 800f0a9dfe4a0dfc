"""The one way out over HTTP: engines behind the port `HttpEngine`, and the guard they obey."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from claimnotify.http.egress import EgressPolicy
    from claimnotify.ports import HttpEngine

__all__ = ["make_engine"]


def make_engine(policy: EgressPolicy | None = None) -> HttpEngine:
    """Return an engine that keeps to `policy`.

    Args:
        policy: Where requests may go. None allows everything and is for hosts that the operator
            names, such as a provider's API; never for a URL that a customer registered.
    """
    from claimnotify.http.egress import EgressPolicy
    from claimnotify.http.httpx_engine import HttpxEngine

    return HttpxEngine(EgressPolicy.unrestricted() if policy is None else policy)
