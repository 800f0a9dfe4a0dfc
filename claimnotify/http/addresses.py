"""Says which IP addresses are public, whatever they embed and however they are written. No I/O.

`ipaddress.is_global` is not asked: it holds multicast, 6to4 relays, NAT64 and others for global.
Sources: the IANA special-purpose address registries (RFC 6890, RFC 8190), RFC 4291, RFC 5214,
RFC 6052.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import TypeAlias

__all__ = ["Address", "Network", "parse_address", "unwrapped", "why_not_public", "within"]

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network

_SPECIAL_IPV4 = {
    IPv4Network(network): reason
    for network, reason in {
        "0.0.0.0/8": "is in this network, which has no host",
        "10.0.0.0/8": "is private",
        "100.64.0.0/10": "is shared by a carrier's customers",
        "127.0.0.0/8": "is this machine",
        "168.63.129.16/32": "is a cloud's platform service",
        "169.254.0.0/16": "is link-local, where clouds keep their metadata service",
        "172.16.0.0/12": "is private",
        "192.0.0.0/24": "is reserved for protocols",
        "192.0.2.0/24": "is for documentation",
        "192.31.196.0/24": "is an anycast sink of name servers",
        "192.52.193.0/24": "is an anycast relay",
        "192.88.99.0/24": "is a 6to4 relay",
        "192.168.0.0/16": "is private",
        "192.175.48.0/24": "is an anycast sink of name servers",
        "198.18.0.0/15": "is for benchmarks",
        "198.51.100.0/24": "is for documentation",
        "203.0.113.0/24": "is for documentation",
        "224.0.0.0/4": "is multicast",
        "240.0.0.0/4": "is reserved or broadcast",
    }.items()
}

_GLOBAL_UNICAST = IPv6Network("2000::/3")

_SPECIAL_IPV6 = {
    IPv6Network(network): reason
    for network, reason in {
        "2001::/23": "is reserved for protocols, Teredo among them",
        "2001:db8::/32": "is for documentation",
        "2002::/16": "is a 6to4 tunnel",
        "2620:4f:8000::/48": "is an anycast sink of name servers",
        "3fff::/20": "is for documentation",
        "3ffe::/16": "is of the former 6bone",
    }.items()
}

_NAT64 = IPv6Network("64:ff9b::/96")

_ISATAP = 0x5EFE
"""The upper half of an ISATAP interface identifier, but for its two flag bits; the lower half is an
IPv4 address."""
_ISATAP_FLAGS = 0x0300_0000


def parse_address(text: str) -> Address | None:
    """Return the address `text` spells in the ordinary way, or None; zone ids are refused."""
    if "%" in text:
        return None
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def unwrapped(address: Address) -> Address:
    """Return the IPv4 address that packets to `address` really go to, or `address` itself.

    That is so for IPv4-mapped addresses (RFC 4291 section 2.5.5.2) and for NAT64's well-known
    prefix (RFC 6052), which DNS64 puts in front of every IPv4 host on a network without IPv4.
    The other forms that embed one (compatible, 6to4, Teredo, NAT64's local prefixes) are never
    public, whatever they embed.
    """
    if isinstance(address, IPv6Address) and address.scope_id is None:
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address in _NAT64:
            return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address


def why_not_public(address: Address) -> str | None:
    """Return why `address` is not that of a public host, or None if it is."""
    target = unwrapped(address)
    if isinstance(target, IPv4Address):
        return next((why for network, why in _SPECIAL_IPV4.items() if target in network), None)
    if target.scope_id is not None:
        return "has a zone id"
    if target not in _GLOBAL_UNICAST:
        return "is not global unicast"
    special = next((why for network, why in _SPECIAL_IPV6.items() if target in network), None)
    return special or _why_no_tunnel(target)


def _why_no_tunnel(address: IPv6Address) -> str | None:
    """Return why the IPv4 address is not public at which an ISATAP tunnel ends (RFC 5214 section 6.1)."""
    upper, lower = (int(address) >> 32) & 0xFFFF_FFFF, int(address) & 0xFFFF_FFFF
    if upper & ~_ISATAP_FLAGS != _ISATAP:
        return None
    inner = why_not_public(IPv4Address(lower))
    return None if inner is None else f"is a tunnel to an address that {inner}"


def within(address: Address, networks: Iterable[Network]) -> bool:
    """Return whether `address`, or the IPv4 address it stands for, is in one of `networks`."""
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        return False
    target = unwrapped(address)
    return any(address in network or target in network for network in networks)
