"""What every `HttpEngine` must do, as a suite to subclass; runs against real sockets on loopback.

Needs pytest with pytest-asyncio, and trustme.
"""

from __future__ import annotations

from claimnotify.testing.http_contract.connections import ConnectionContract
from claimnotify.testing.http_contract.exchange import ExchangeContract
from claimnotify.testing.http_contract.failures import FailureContract
from claimnotify.testing.http_contract.framing import FramingContract
from claimnotify.testing.http_contract.guard import GuardContract
from claimnotify.testing.http_contract.tls import TlsContract

__all__ = ["HttpEngineContract"]


class HttpEngineContract(
    ExchangeContract,
    FramingContract,
    ConnectionContract,
    GuardContract,
    TlsContract,
    FailureContract,
):
    """Subclass it and define `make_engine`."""
