"""What every `HttpEngine` must do, as a suite to subclass; runs against real sockets on loopback.

Needs pytest with pytest-asyncio, and trustme.
"""

from __future__ import annotations

from claimnotify.testing.http_contract.connections import ConnectionContract
from claimnotify.testing.http_contract.exchange import ExchangeContract
from claimnotify.testing.http_contract.failures import FailureContract
from claimnotify.testing.http_contract.guard import GuardContract

__all__ = ["HttpEngineContract"]


class HttpEngineContract(ExchangeContract, ConnectionContract, GuardContract, FailureContract):
    """Subclass it and define `make_engine`."""
