"""The guard raises its one error whatever it is given, and reads what passes as other parsers do."""

from __future__ import annotations

import contextlib
import ipaddress
import re
from urllib.parse import urlsplit

import httpx
import pytest
import yarl
from hypothesis import example, given
from hypothesis import strategies as st

from claimnotify.errors import ForbiddenDestination
from claimnotify.http.destinations import Destination
from claimnotify.http.egress import EgressPolicy
from tests.hostile_urls import BOUNDARY_URLS, HOSTILE_URLS, ORDINARY_URLS

_PORTS = {"https": 443, "http": 80}
POLICIES = (
    EgressPolicy(),
    EgressPolicy(allow_http=True, allow_ports=tuple(range(1, 65536))),
    EgressPolicy(allow_networks=("10.0.0.0/8", "fd00::/8"), allow_http=True),
    EgressPolicy.unrestricted(),
)

_LABELS = st.one_of(
    st.from_regex(r"[a-z0-9_-]{1,12}", fullmatch=True),
    st.text(st.characters(categories=["L", "M", "N"]), min_size=1, max_size=8),
    st.sampled_from(
        ["xn--bcher-kva", "0x7f", "127", "com", "local", "１", "ß", "ς", "ß", "İ", "K"]
    ),
)
_HOSTS = st.one_of(
    st.lists(_LABELS, min_size=1, max_size=4).map(".".join),
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).map(lambda address: f"[{address.exploded}]"),
    st.ip_addresses(v=6).map(lambda address: f"[{address}]"),
    st.integers(0, 2**33).map(str),
    st.integers(0, 2**33).map(hex),
)
_REST = st.text(st.characters(exclude_categories=["C", "Z"]), max_size=20)
URLS = st.one_of(
    st.text(),
    st.text().map("https://{}".format),
    st.from_regex(r"https?://[^/]{0,30}(/.*)?"),
    st.builds(
        "{}{}{}{}{}".format,
        st.sampled_from(["https://", "http://", "HTTPS://", "https:/", "https:\\\\"]),
        st.sampled_from(["", "", "", "user@", "@", "a:b@"]),
        _HOSTS,
        st.sampled_from(["", "", ":443", ":8443", ":80", ":0", ":65535", ":65536", ":", ":٤٤٣"]),
        st.one_of(st.just(""), st.builds("{}{}".format, st.sampled_from(["/", "?", "#"]), _REST)),
    ),
    st.sampled_from([*HOSTILE_URLS, *ORDINARY_URLS, *BOUNDARY_URLS]),
)


def _destination(policy: EgressPolicy, url: str) -> Destination | None:
    try:
        return policy.destination(url)
    except ForbiddenDestination:
        return None


@given(st.one_of(URLS, st.none(), st.binary(), st.integers()))
@example("https://" + "\u0fff" * 10)
@example("https://xn--a.com")
@example("https://a\u0300.com")
@example("https://\u2488com")
@example("https://\ud800.com")
@example("https://" + "é" * 2000)
def test_check_url_raises_nothing_but_its_one_error(url: object) -> None:
    for policy in POLICIES:
        with contextlib.suppress(ForbiddenDestination):
            policy.check_url(url)  # type: ignore[arg-type]


@given(
    st.one_of(
        st.text(),
        st.from_regex(r"[0-9a-f:.%\[\]]{0,45}"),
        st.ip_addresses().map(str),
        st.ip_addresses(),
        st.none(),
        st.binary(),
        st.integers(),
    )
)
def test_check_address_raises_nothing_but_its_one_error(address: object) -> None:
    for policy in POLICIES:
        with contextlib.suppress(ForbiddenDestination):
            policy.check_address(address)  # type: ignore[arg-type]


@given(URLS)
def test_where_a_url_with_a_literal_address_passes_so_does_its_address(url: str) -> None:
    for policy in POLICIES:
        where = _destination(policy, url)
        if where is not None and where.address is not None:
            policy.check_address(where.address)
            policy.check_address(where.host)
            assert ipaddress.ip_address(where.host) == where.address


@given(st.ip_addresses())
def test_a_literal_address_passes_as_a_url_if_and_only_if_it_passes_alone(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    host = str(address) if address.version == 4 else f"[{address}]"
    for policy in POLICIES:
        try:
            policy.check_address(address)
        except ForbiddenDestination:
            alone = False
        else:
            alone = True
        assert (_destination(policy, f"https://{host}/") is not None) == alone


@given(URLS)
@example("https://straße.de/")
@example("https://example.com:443#@x")
@example("https://a.b?/@c")
def test_what_passes_has_the_same_host_and_port_to_every_parser(url: str) -> None:
    for policy in POLICIES:
        where = _destination(policy, url)
        if where is not None:
            _reads_alike(url, where)


@pytest.mark.parametrize("url", [*ORDINARY_URLS, *BOUNDARY_URLS], ids=lambda url: ascii(url)[:60])
def test_every_parser_reads_an_ordinary_url(url: str) -> None:
    where = EgressPolicy().destination(url)
    _reads_alike(url, where)
    assert _same(httpx.URL(url).raw_host.decode(), where)
    assert _same(yarl.URL(url).raw_host, where)


def _reads_alike(url: str, where: Destination) -> None:
    """Compare with three parsers; one that cannot read the URL at all cannot be tricked by it."""
    standard = urlsplit(url)
    assert standard.hostname is not None
    assert standard.username is None
    assert (standard.port or _PORTS[where.scheme]) == where.port
    if standard.hostname.isascii():
        assert _same(standard.hostname, where)
    with contextlib.suppress(httpx.InvalidURL):
        read = httpx.URL(url)
        assert _same(read.raw_host.decode(), where)
        assert (read.port or _PORTS[read.scheme], read.userinfo) == (where.port, b"")
    with contextlib.suppress(ValueError):
        other = yarl.URL(url)
        assert _same(other.raw_host, where)
        assert (other.port, other.user) == (where.port, None)
    sent = httpx.URL(f"{where.scheme}://{where.authority}{where.target}")
    assert sent.raw_host.decode() == where.host
    assert re.fullmatch(r"/[!-~]*", where.target)


def _same(host: str | None, where: Destination) -> bool:
    assert host is not None
    if where.address is None:
        return host == where.host
    return ipaddress.ip_address(host) == where.address
