"""Decides where our HTTP requests may go; engines ask it before connecting. No I/O.

A URL is checked when it is registered, and the addresses of its host each time we connect: what a
name resolves to is up to its owner, and may change between the two.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar

from claimnotify.errors import ConfigurationError, ForbiddenDestination
from claimnotify.http.addresses import Address, Network, parse_address, why_not_public, within
from claimnotify.http.destinations import (
    Destination,
    is_internal,
    is_treacherous,
    parse_destination,
    refusal,
)

__all__ = ["EgressPolicy"]

T = TypeVar("T")

_PORTS: Final = frozenset({443, 8443})
_HTTP_PORT: Final = 80


@dataclass(frozen=True, kw_only=True)
class EgressPolicy:
    """Which destinations are allowed: public hosts over HTTPS, and what is listed here.

    Args:
        allow_networks: Networks in CIDR notation that are allowed although they are not public.
            An address in one of them may use any port.
        allow_http: Whether `http` URLs are allowed, and with them port 80.
        allow_ports: Ports of public hosts that are allowed besides 443 and 8443.

    Raises:
        ConfigurationError: A network or a port is malformed, or `allow_http` is not a bool.
    """

    allow_networks: Sequence[str] = ()
    allow_http: bool = False
    allow_ports: Sequence[int] = ()
    _networks: tuple[Network, ...] = field(init=False, repr=False, compare=False)
    _ports: frozenset[int] = field(init=False, repr=False, compare=False)
    _open: bool = field(init=False, default=False, repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.allow_http, bool):
            raise ConfigurationError("webhook_allow_http", "is not a bool", "Give True or False.")
        # Tuples, so that a policy compares and hashes by what it allows.
        texts, networks = _networks(self.allow_networks)
        object.__setattr__(self, "_networks", networks)
        object.__setattr__(self, "allow_networks", texts)
        object.__setattr__(self, "allow_ports", _ports(self.allow_ports))
        http = {_HTTP_PORT} if self.allow_http else set()
        object.__setattr__(self, "_ports", _PORTS | http | set(self.allow_ports))

    @classmethod
    def unrestricted(cls) -> EgressPolicy:
        """Return the policy that allows everything, for hosts the operator names, not a customer."""
        policy = cls(allow_http=True)
        object.__setattr__(policy, "_open", True)
        return policy

    def check_url(self, url: str) -> None:
        """Check all that can be told without DNS: spelling, scheme, port, name, literal address.

        A name passes with any port, and an internal name passes, where networks are allowed: what
        it resolves to decides when we connect.

        Raises:
            ForbiddenDestination: The URL is not allowed. Nothing else is raised.
        """
        self.destination(url)

    def check_address(self, address: str | Address) -> None:
        """Check one address, as DNS gave it.

        Raises:
            ForbiddenDestination: It is not allowed, or not an address. Nothing else is raised.
        """
        self._judge(address)

    def destination(self, url: str) -> Destination:
        """Return where `url` leads, checked as by `check_url`.

        Raises:
            ForbiddenDestination: The URL is not allowed.
        """
        found = parse_destination(url)
        if self._open:
            return found
        if found.scheme != "https" and not self.allow_http:
            raise refusal("is not an https URL")
        if found.address is not None:
            self.check_connection(found.host, found.port, [found.host])
        elif is_treacherous(found.host):
            raise refusal("names a metadata service, or a host that stands for any address")
        elif not self._networks:
            self._check_public_name(found.host, found.port)
        return found

    def check_connection(self, host: str, port: int, addresses: Sequence[str]) -> None:
        """Check a connection that is about to be made; one forbidden address refuses them all.

        Args:
            host: The host's name, or its address.
            port: The port.
            addresses: Every address the host resolved to.

        Raises:
            ForbiddenDestination: The host, its port or one of its addresses is not allowed. The
                error may be shown to whoever chose the name: where it leads is only in its cause.
        """
        if self._open:
            return
        if is_treacherous(host):
            raise refusal("names a metadata service, or a host that stands for any address")
        is_name = parse_address(host) is None
        try:
            allowed = [self._judge(address) for address in addresses]
        except ForbiddenDestination as error:
            if not is_name:
                raise
            raise refusal("leads to an address that is not allowed") from error
        if all(allowed):
            return
        if is_name:
            self._check_public_name(host, port)
        else:
            self._check_port(port)

    def _judge(self, address: str | Address) -> bool:
        """Return whether the address is in an allowed network; raise if it is forbidden."""
        if self._open:
            return True
        parsed = parse_address(address) if isinstance(address, str) else address
        if not isinstance(parsed, ipaddress.IPv4Address | ipaddress.IPv6Address):
            raise _forbidden("is not an IP address in its ordinary spelling")
        if within(parsed, self._networks):
            return True
        reason = why_not_public(parsed)
        if reason is not None:
            raise _forbidden(f"{parsed} {reason}")
        return False

    def _check_public_name(self, host: str, port: int) -> None:
        if is_internal(host):
            raise refusal("names a host that only an internal network knows")
        self._check_port(port)

    def _check_port(self, port: int) -> None:
        if port not in self._ports:
            allowed = ", ".join(str(each) for each in sorted(self._ports))
            raise refusal(f"has port {port}", f"Use one of {allowed}.")


def _forbidden(problem: str) -> ForbiddenDestination:
    remedy = "To allow it all the same, list its network in CLAIMNOTIFY_WEBHOOK_ALLOW_NETWORKS."
    return ForbiddenDestination("address", problem, remedy)


def _networks(given: object) -> tuple[tuple[str, ...], tuple[Network, ...]]:
    remedy = "Give a list of networks such as 10.20.0.0/16."
    try:
        # Texts only: of a number, a flag or bytes, ipaddress makes a network that nobody meant.
        texts = _listed(given, str)
        return texts, tuple(ipaddress.ip_network(text) for text in texts)
    except (TypeError, ValueError) as error:
        raise ConfigurationError("webhook_allow_networks", str(error), remedy) from None


def _ports(ports: object) -> tuple[int, ...]:
    try:
        found = _listed(ports, int)
        if any(not 1 <= port <= 65535 for port in found):
            raise ValueError("a port is not between 1 and 65535")
    except (TypeError, ValueError) as error:
        remedy = "Give a list of ports."
        raise ConfigurationError("webhook_allow_ports", str(error), remedy) from None
    return found


def _listed(values: object, kind: type[T]) -> tuple[T, ...]:
    if isinstance(values, str | bytes) or not isinstance(values, Iterable):
        raise TypeError("is not a list")
    listed = tuple(values)
    for value in listed:
        if not isinstance(value, kind) or isinstance(value, bool):
            raise TypeError(f"{value!r} is not {'text' if kind is str else 'a whole number'}")
    return listed
