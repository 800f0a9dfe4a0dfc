"""Makes a connection to an address that the guard has checked: the one place where engines connect.

Has no timeout of its own for the whole: whoever awaits sets the deadline.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import ssl
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TypeVar

from claimnotify.errors import ConnectFailed, ForbiddenDestination
from claimnotify.http.addresses import parse_address
from claimnotify.http.egress import EgressPolicy
from claimnotify.http.resolving import NoPlace, Resolver

__all__ = ["Connector", "failure_text"]

P = TypeVar("P", bound=asyncio.BaseProtocol)

_log = logging.getLogger("claimnotify.egress")

_SECONDS_PER_ADDRESS = 3.0
"""How long one of several addresses may take to answer before the next is tried."""
_MOST_TRIED = 8
"""How many addresses are tried: a name with a thousand must not make us knock at a thousand doors."""


class Connector:
    """Connects within a policy, for all the connections of one engine.

    Args:
        policy: Judges all addresses of a host before the first is connected to.
        resolver: Returns the addresses of (host, port).
        ssl_context: Whom to trust; certifi's list, or SSL_CERT_FILE, unless given. TLS older than
            1.2 is switched off in it.
    """

    def __init__(
        self, policy: EgressPolicy, resolver: Resolver, ssl_context: ssl.SSLContext | None
    ) -> None:
        self._policy = policy
        self._resolver = resolver
        self._given_context = ssl_context

    async def connect(self, host: str, port: int, protocol: Callable[[], P], *, secure: bool) -> P:
        """Connect to `host`, at an address that the policy allows; a name is resolved exactly once.

        Args:
            host: A name or a literal address; it is also what the certificate must be for.
            port: The port.
            protocol: Makes asyncio's protocol for the connection.
            secure: Whether to speak TLS from the first byte.

        Raises:
            ForbiddenDestination: The policy refuses the host, the port or one of the addresses.
            ConnectFailed: The name does not resolve, it was not looked up as too many look-ups are
                under way (then `our_fault` is set), or no address accepts the connection.
        """
        addresses = await self._addresses(host, port)
        try:
            self._policy.check_connection(host, port, addresses)
        except ForbiddenDestination as error:
            _log.info("refused to connect to %s: %s", host, error.__cause__ or error)
            raise error from None
        loop = asyncio.get_running_loop()
        context, name = (self.ssl_context, host) if secure else (None, None)
        failure = "no address answered in time"
        tried = addresses[:_MOST_TRIED]
        for number, address in enumerate(tried, 1):
            seconds = None if number == len(tried) else _SECONDS_PER_ADDRESS
            try:
                async with asyncio.timeout(seconds):
                    # A literal address: asyncio looks nothing up.
                    _, connection = await loop.create_connection(
                        protocol, address, port, ssl=context, server_hostname=name
                    )
                return connection
            except TimeoutError:
                continue
            except OSError as error:
                failure = failure_text(error)
        raise ConnectFailed(f"no connection came about: {failure}")

    @cached_property
    def ssl_context(self) -> ssl.SSLContext:
        """The one TLS context: making another costs as much as twenty handshakes."""
        context = self._given_context or _make_ssl_context()
        context.minimum_version = max(context.minimum_version, ssl.TLSVersion.TLSv1_2)
        context.set_alpn_protocols(["http/1.1"])
        return context

    async def _addresses(self, host: str, port: int) -> Sequence[str]:
        """Return at least one address; a literal one is its own, and judged as any other."""
        if parse_address(host) is not None:
            return [host]
        try:
            addresses = await self._resolver(host, port)
        except NoPlace as error:
            problem = f"the name was not looked up: {error.strerror}"
            raise ConnectFailed(problem, our_fault=True) from None
        except (OSError, UnicodeError) as error:
            raise ConnectFailed(f"the name does not resolve: {failure_text(error)}") from None
        if not addresses:
            raise ConnectFailed("the name has no address")
        return addresses


def _make_ssl_context() -> ssl.SSLContext:
    """Return a context that verifies certificates: SSL_CERT_FILE or SSL_CERT_DIR, else certifi's."""
    import certifi

    file, directory = os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")
    if file:
        return ssl.create_default_context(cafile=file)
    if directory:
        return ssl.create_default_context(capath=directory)
    return ssl.create_default_context(cafile=certifi.where())


def failure_text(error: BaseException) -> str:
    """Return what went wrong in words that name neither addresses nor secrets.

    Of errors that the system does not raise only the kind is told: their texts repeat what they read.
    """
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"TLS: {error.reason or type(error).__name__}"
    if isinstance(error, socket.gaierror):
        return error.strerror or type(error).__name__
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno)  # asyncio's own text names the address
    text = error.strerror if isinstance(error, OSError) else None
    return text or type(error).__name__
