"""Makes a connection to an address that the guard has checked: the one place where engines connect.

Has no timeout of its own for the whole: whoever awaits sets the deadline.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Sequence
from typing import TypeVar

from claimnotify.errors import ConnectFailed
from claimnotify.http.addresses import parse_address
from claimnotify.http.egress import EgressPolicy
from claimnotify.http.resolving import Resolver

__all__ = ["connect", "failure_text", "make_ssl_context"]

P = TypeVar("P", bound=asyncio.BaseProtocol)

_SECONDS_PER_ADDRESS = 3.0
"""How long one of several addresses may take to answer before the next is tried."""


async def connect(
    host: str,
    port: int,
    *,
    policy: EgressPolicy,
    resolver: Resolver,
    protocol: Callable[[], P],
    ssl_context: ssl.SSLContext | None = None,
) -> P:
    """Connect to `host`, at an address that `policy` allows; the name is resolved exactly once.

    Args:
        host: A name or a literal address; names, the certificate's included, are this one's.
        port: The port.
        policy: Judges all addresses of the host before the first is connected to.
        resolver: Returns the addresses of (host, port).
        protocol: Makes asyncio's protocol for the connection.
        ssl_context: To speak TLS from the first byte.

    Raises:
        ForbiddenDestination: The policy refuses the host, the port or one of the addresses.
        ConnectFailed: The name does not resolve or no address accepts the connection.
    """
    if parse_address(host) is not None:
        addresses: Sequence[str] = [host]
    else:
        try:
            addresses = await resolver(host, port)
        except (OSError, UnicodeError) as error:
            raise ConnectFailed(f"the name does not resolve: {failure_text(error)}") from None
    if not addresses:
        raise ConnectFailed("the name has no address")
    policy.check_connection(host, port, addresses)
    loop = asyncio.get_running_loop()
    server_hostname = None if ssl_context is None else host
    failure = "no address answered in time"
    for number, address in enumerate(addresses, 1):
        seconds = None if number == len(addresses) else _SECONDS_PER_ADDRESS
        try:
            async with asyncio.timeout(seconds):
                # A literal address: asyncio looks nothing up.
                _, connection = await loop.create_connection(
                    protocol, address, port, ssl=ssl_context, server_hostname=server_hostname
                )
            return connection
        except TimeoutError:
            continue
        except OSError as error:
            failure = failure_text(error)
    raise ConnectFailed(f"no connection came about: {failure}")


def make_ssl_context() -> ssl.SSLContext:
    """Return a context that verifies certificates: SSL_CERT_FILE or SSL_CERT_DIR, else certifi's."""
    import os

    import certifi

    file, directory = os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")
    if file:
        return ssl.create_default_context(cafile=file)
    if directory:
        return ssl.create_default_context(capath=directory)
    return ssl.create_default_context(cafile=certifi.where())


def failure_text(error: BaseException) -> str:
    """Return what went wrong in words that name neither addresses nor secrets."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"TLS: {error.reason or type(error).__name__}"
    text = error.strerror if isinstance(error, OSError) else str(error)
    return text or type(error).__name__
