"""Fuzzes the egress guard: it passes or raises its one error, and what passes has one reading.

Started by `make fuzz`. Anything else that is raised is a finding, and so is a URL that passes though
its literal address does not, or that `urllib` sends to another host or port.
"""

from __future__ import annotations

import ipaddress
import re
import sys
from urllib.parse import urlsplit

import atheris

with atheris.instrument_imports(include=["claimnotify", "idna"]):
    from claimnotify.errors import ForbiddenDestination
    from claimnotify.http.egress import EgressPolicy

_POLICIES = (
    EgressPolicy(),
    EgressPolicy(allow_http=True, allow_ports=range(1, 65536)),
    EgressPolicy(allow_networks=("10.0.0.0/8", "fd00::/8"), allow_http=True),
    EgressPolicy.unrestricted(),
)
_TARGET = re.compile(r"/[!-~]*")
_NAME = re.compile(r"[a-z0-9_.-]+")


@atheris.instrument_func
def check(data: bytes) -> None:
    """Check one URL, or one address, made of `data`."""
    if not data:
        return
    mode, text = data[0], data[1:].decode("utf-8", "surrogateescape")
    policy = _POLICIES[mode % 4]
    match mode // 4 % 6:
        case 0:
            _url(policy, text)
        case 1:
            _url(policy, f"https://{text}")
        case 2:
            _url(policy, f"http://{text}/hook")
        case 3:
            _url(policy, f"https://[{text}]/")
        case 4:
            _passes(policy, text)
        case _:
            _number(data[1:17])


def _url(policy: EgressPolicy, url: str) -> None:
    try:
        where = policy.destination(url)
    except ForbiddenDestination:
        return
    assert _TARGET.fullmatch(where.target)
    assert 1 <= where.port <= 65535
    read = urlsplit(url)
    assert (read.port or {"https": 443, "http": 80}[where.scheme]) == where.port
    if where.address is None:
        assert _NAME.fullmatch(where.host)
        assert not (read.hostname or "").isascii() or read.hostname == where.host
    else:
        assert _passes(policy, where.host), "the URL passed, and its address does not"
        assert ipaddress.ip_address(read.hostname or "") == where.address


def _number(data: bytes) -> None:
    """An address as a number; IPv4 in its three wrappings is judged as it is bare."""
    if len(data) == 16:
        _passes(_POLICIES[0], str(ipaddress.IPv6Address(data)))
    elif len(data) >= 4:
        bare = ipaddress.IPv4Address(data[:4])
        verdicts = {
            _passes(_POLICIES[0], text)
            for text in (f"{bare}", f"::ffff:{bare}", f"64:ff9b::{bare}")
        }
        assert len(verdicts) == 1


def _passes(policy: EgressPolicy, address: str) -> bool:
    try:
        policy.check_address(address)
    except ForbiddenDestination:
        return False
    return True


if __name__ == "__main__":
    atheris.Setup(sys.argv, check)
    atheris.Fuzz()
