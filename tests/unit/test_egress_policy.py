"""The egress guard refuses hostile URLs and addresses and lets the ordinary ones beside them pass."""

from __future__ import annotations

import contextlib
import ipaddress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from claimnotify.errors import ConfigurationError, ForbiddenDestination
from claimnotify.http.egress import EgressPolicy

HOSTILE_URLS = [
    # loopback, private and link-local, as they are
    "https://127.0.0.1/",
    "https://127.255.255.254/",
    "https://10.0.0.1/",
    "https://172.16.0.1/",
    "https://172.31.255.255/",
    "https://192.168.1.1/",
    "https://169.254.169.254/latest/meta-data/",
    "https://0.0.0.0/",
    "https://100.100.100.200/",
    "https://192.0.0.192/",
    "https://168.63.129.16/",
    "https://255.255.255.255/",
    "https://224.0.0.1/",
    "https://[::1]/",
    "https://[::]/",
    "https://[fe80::1]/",
    "https://[fc00::1]/",
    "https://[fd00:ec2::254]/",
    "https://[ff02::1]/",
    "https://[fec0::1]/",
    # IPv4 in other spellings
    "https://2130706433/",
    "https://017700000001/",
    "https://0x7f000001/",
    "https://0x7f.0.0.1/",
    "https://0177.0.0.1/",
    "https://127.1/",
    "https://127.0.1/",
    "https://127.0.0.1./",
    "https://127.0.0.01/",
    "https://127.0.0.0x1/",
    "https://127.0.0.1.1/",
    "https://1.2.3.4.5/",
    "https://256.256.256.256/",
    "https://134744072/",  # 8.8.8.8, public, but spelt so that parsers disagree
    "https://0/",
    "https://１２７.０.０.１/",
    "https://①②⑦.0.0.1/",
    "https://127。0。0。1/",
    "https://127．0．0．1/",
    "https://127｡0｡0｡1/",
    "https://%31%32%37.0.0.1/",
    "https://127%2e0%2e0%2e1/",
    # IPv4 inside IPv6
    "https://[::ffff:127.0.0.1]/",
    "https://[::ffff:7f00:1]/",
    "https://[0:0:0:0:0:ffff:a9fe:a9fe]/",
    "https://[::ffff:100.64.0.1]/",
    "https://[::127.0.0.1]/",
    "https://[::8.8.8.8]/",
    "https://[64:ff9b::127.0.0.1]/",
    "https://[64:ff9b::a9fe:a9fe]/",
    "https://[64:ff9b:1::8.8.8.8]/",
    "https://[2002:7f00:1::]/",
    "https://[2001:0:4136:e378:8000:63bf:3fff:fdd2]/",
    "https://[fe80::1%25eth0]/",
    "https://[fe80::1%eth0]/",
    "https://[2606:4700::1111%25eth0]/",
    "https://[v1.fe80::1]/",
    "https://[127.0.0.1]/",
    "https://[]/",
    "https://[::1/",
    # names
    "https://localhost/",
    "https://LOCALHOST/",
    "https://ｌocalhost/",
    "https://localhost./",
    "https://app.localhost/",
    "https://intranet/",
    "https://printer.local/",
    "https://db.internal/",
    "https://nas.lan/",
    "https://router.home.arpa/",
    "https://wiki.corp/",
    "https://redis.default.svc.cluster.local/",
    "https://1.0.0.127.in-addr.arpa/",
    "https://hidden.onion/",
    "https://metadata.google.internal/computeMetadata/v1/",
    "https://metadata/",
    "https://metadata.goog/",
    "https://instance-data/",
    "https://127.0.0.1.nip.io/",
    "https://localtest.me/",
    "https://example.com./",
    "https://example..com/",
    "https://.example.com/",
    "https://-example.com/",
    "https://exa mple.com/",
    "https://exam\u00adple.com/",
    "https://exam\u200bple.com/",
    "https://" + "a" * 64 + ".com/",
    "https://" + "a." * 130 + "com/",
    "https:///",
    "https://",
    "https://*.example.com/",
    # who is the host?
    "https://example.com@127.0.0.1/",
    "https://user:password@example.com/",
    "https://@example.com/",
    "https://example.com:443@127.0.0.1/",
    "https://example.com\\@127.0.0.1/",
    "https://127.0.0.1\\.example.com/",
    "https:\\\\example.com/",
    "https://example.com#@127.0.0.1/",
    "https://example.com?@127.0.0.1/",
    "https://example.com:80:443/",
    "https:/example.com/",
    "https:example.com",
    "//example.com/",
    "example.com",
    "/hook",
    "",
    " https://example.com/",
    "https://example.com/ ",
    "https://example.com/\r\nX-Injected: 1",
    "https://exam\tple.com/",
    "https://example.com/\x00",
    "\thttps://example.com/",
    # schemes and ports
    "http://example.com/",
    "ftp://example.com/",
    "file:///etc/passwd",
    "gopher://127.0.0.1:6379/_FLUSHALL",
    "javascript:alert(1)",
    "data:text/plain,x",
    "https://example.com:22/",
    "https://example.com:80/",
    "https://example.com:0/",
    "https://example.com:65536/",
    "https://example.com:443443/",
    "https://example.com:0443/",
    "https://example.com:/",
    "https://example.com:+443/",
    "https://example.com:４４３/",
    "https://8.8.8.8:6379/",
    "https://example.com/" + "a" * 2048,
]

ORDINARY_URLS = [
    "https://example.com",
    "https://example.com/",
    "HTTPS://Example.COM/Hook",
    "https://example.com:443/hook",
    "https://example.com:8443/hook",
    "https://example.com/hook?to=ana@example.com&x=%20#part",
    "https://example.com/@team/hook",
    "https://hooks.eu-west-1.partner.example.com/v1/%E2%82%AC",
    "https://my_app.example.com/",
    "https://127.0.0.1.example.com/",  # a name like any other: connecting decides
    "https://10.example.com/",
    "https://localhost.example.com/",
    "https://local.example.org/",
    "https://internal.dev/",
    "https://metadata.example.com/",
    "https://nip.io.example.com/",
    "https://xn--bcher-kva.de/",
    "https://bücher.de/",
    "https://例え.jp/",
    "https://a.co/",
    # the addresses next to each boundary
    "https://1.0.0.0/",
    "https://9.255.255.255/",
    "https://11.0.0.0/",
    "https://100.63.255.255/",
    "https://100.128.0.0/",
    "https://126.255.255.255/",
    "https://128.0.0.0/",
    "https://168.63.129.15/",
    "https://168.63.129.17/",
    "https://169.253.255.255/",
    "https://169.255.0.0/",
    "https://172.15.255.255/",
    "https://172.32.0.0/",
    "https://191.255.255.255/",
    "https://192.0.1.0/",
    "https://192.0.3.0/",
    "https://192.88.98.255/",
    "https://192.88.100.0/",
    "https://192.167.255.255/",
    "https://192.169.0.0/",
    "https://198.17.255.255/",
    "https://198.20.0.0/",
    "https://198.51.99.255/",
    "https://198.51.101.0/",
    "https://203.0.112.255/",
    "https://203.0.114.0/",
    "https://223.255.255.255/",
    "https://[2000::1]/",
    "https://[2001:200::1]/",
    "https://[2001:db7:ffff::1]/",
    "https://[2001:db9::1]/",
    "https://[2003::1]/",
    "https://[2606:4700::1111]/",
    "https://[2606:4700::1111]:8443/",
    "https://[3fff:1000::1]/",
    "https://[::ffff:8.8.8.8]/",
    "https://[64:ff9b::8.8.8.8]/",  # how DNS64 writes 8.8.8.8 on a network without IPv4
]

FORBIDDEN_ADDRESSES = [
    "0.0.0.0",
    "0.255.255.255",
    "10.255.255.255",
    "100.64.0.0",
    "100.127.255.255",
    "127.0.0.1",
    "168.63.129.16",
    "169.254.0.0",
    "169.254.255.255",
    "172.16.0.0",
    "172.31.255.255",
    "192.0.0.0",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.255.255",
    "198.18.0.0",
    "198.19.255.255",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.0",
    "239.255.255.255",
    "240.0.0.0",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:192.88.99.1",
    "::ffff:0:127.0.0.1",
    "64:ff9b::10.0.0.1",
    "64:ff9b:1::1",
    "100::1",
    "1fff:ffff::1",
    "2001::1",
    "2001:1ff:ffff::1",
    "2001:db8::1",
    "2002:a00:1::1",
    "2002:808:808::1",
    "3ffe::1",
    "3fff::1",
    "4000::1",
    "5f00::1",
    "fc00::1",
    "fdff::1",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff00::1",
    "ff0e::1",
    # no addresses in their ordinary spelling
    "",
    "example.com",
    "127.1",
    "0x7f.0.0.1",
    "010.8.8.8",
    "8.8.8.8 ",
    "8.8.8.8/32",
    "[2606:4700::1111]",
    "８.8.8.8",
]


def test_the_table_is_as_long_as_promised() -> None:
    assert len(set(HOSTILE_URLS)) == len(HOSTILE_URLS) >= 95


@pytest.mark.parametrize("url", HOSTILE_URLS)
def test_a_hostile_url_is_refused(url: str) -> None:
    with pytest.raises(ForbiddenDestination):
        EgressPolicy().check_url(url)


@pytest.mark.parametrize("url", ORDINARY_URLS)
def test_an_ordinary_url_passes(url: str) -> None:
    EgressPolicy().check_url(url)


@pytest.mark.parametrize("address", FORBIDDEN_ADDRESSES)
def test_a_forbidden_address_is_refused(address: str) -> None:
    with pytest.raises(ForbiddenDestination):
        EgressPolicy().check_address(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "1.1.1.1"])
def test_a_public_address_passes_as_text_and_as_an_object(address: str) -> None:
    EgressPolicy().check_address(address)
    EgressPolicy().check_address(ipaddress.ip_address(address))


@given(st.one_of(st.text(), st.from_regex(r"https?://[^/]{0,30}(/.*)?"), st.none(), st.binary()))
@example("https://" + "\u0fff" * 10)
@example("https://xn--a.com")
@example("https://a\u0300.com")
@example("https://\u2488com")
def test_check_url_raises_nothing_but_its_one_error(url: object) -> None:
    for policy in (EgressPolicy(), EgressPolicy.unrestricted()):
        with contextlib.suppress(ForbiddenDestination):
            policy.check_url(url)  # type: ignore[arg-type]


@given(st.one_of(st.text(), st.ip_addresses().map(str), st.none(), st.integers()))
def test_check_address_raises_nothing_but_its_one_error(address: object) -> None:
    with contextlib.suppress(ForbiddenDestination):
        EgressPolicy().check_address(address)  # type: ignore[arg-type]


@given(st.ip_addresses())
def test_nothing_passes_that_the_standard_library_knows_to_be_private(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    """Its judgement is too mild, but where it says private it is right."""
    if address.is_private or address.is_multicast or address.is_reserved or address.is_link_local:
        mapped = isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None
        nat64 = address in ipaddress.ip_network("64:ff9b::/96") if address.version == 6 else False
        if not mapped and not nat64:
            with pytest.raises(ForbiddenDestination):
                EgressPolicy().check_address(address)


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_is_judged_alike_in_ipv6(address: ipaddress.IPv4Address) -> None:
    def passes(each: str) -> bool:
        try:
            EgressPolicy().check_address(each)
        except ForbiddenDestination:
            return False
        return True

    assert passes(f"::ffff:{address}") == passes(f"64:ff9b::{address}") == passes(str(address))
    assert not passes(f"::{address}")


def test_an_allowed_network_may_use_any_port_and_no_other_network_does() -> None:
    policy = EgressPolicy(allow_networks=("127.0.0.0/8", "fd00::/8"), allow_http=True)
    for url in (
        "http://127.0.0.1:8025/",
        "https://127.9.9.9:1/",
        "http://[fd00::1]:9000/",
        "http://[::ffff:127.0.0.1]:9000/",
        "http://8.8.8.8/",
        "http://localhost:9000/",  # what it resolves to decides
        "http://erp:9000/",
    ):
        policy.check_url(url)
    for url in (
        "http://10.0.0.1/",
        "http://8.8.8.8:8025/",
        "http://[::1]:8025/",
        "http://2130706433:8025/",
        "http://metadata.google.internal/",
        "http://user@127.0.0.1/",
    ):
        with pytest.raises(ForbiddenDestination):
            policy.check_url(url)


def test_plain_http_needs_to_be_allowed_even_in_an_allowed_network() -> None:
    with pytest.raises(ForbiddenDestination):
        EgressPolicy(allow_networks=("127.0.0.0/8",)).check_url("http://127.0.0.1:8025/")
    EgressPolicy(allow_http=True).check_url("http://example.com/")


def test_ports_can_be_allowed() -> None:
    EgressPolicy(allow_ports=(9443,)).check_url("https://example.com:9443/")
    with pytest.raises(ForbiddenDestination, match="8443"):
        EgressPolicy(allow_ports=(9443,)).check_url("https://example.com:9444/")


@pytest.mark.parametrize(
    ("host", "port", "addresses", "passes"),
    [
        ("example.com", 443, ["8.8.8.8", "2606:4700::1111"], True),
        ("example.com", 443, ["8.8.8.8", "10.0.0.1"], True),
        ("example.com", 443, ["8.8.8.8", "192.168.0.1"], False),
        ("example.com", 9000, ["10.0.0.1", "10.9.9.9"], True),
        ("example.com", 9000, ["10.0.0.1", "8.8.8.8"], False),
        ("erp.corp", 443, ["10.0.0.1"], True),
        ("erp.corp", 443, ["8.8.8.8"], False),
        ("metadata.google.internal", 443, ["10.0.0.1"], False),
        ("8.8.8.8", 443, ["8.8.8.8"], True),
        ("8.8.8.8", 25, ["8.8.8.8"], False),
    ],
)
def test_every_address_of_a_connection_counts(
    host: str, port: int, addresses: list[str], passes: bool
) -> None:
    policy = EgressPolicy(allow_networks=("10.0.0.0/8",))
    if passes:
        policy.check_connection(host, port, addresses)
    else:
        with pytest.raises(ForbiddenDestination):
            policy.check_connection(host, port, addresses)


def test_the_unrestricted_policy_is_for_the_operators_own_hosts() -> None:
    policy = EgressPolicy.unrestricted()
    policy.check_url("http://localhost:9000/")
    policy.check_address("127.0.0.1")
    assert policy != EgressPolicy(allow_http=True)
    with pytest.raises(ForbiddenDestination):
        policy.check_url("file:///etc/passwd")


@pytest.mark.parametrize(
    "options",
    [
        {"allow_networks": "10.0.0.0/8"},
        {"allow_networks": ("10.0.0.1/8",)},
        {"allow_networks": ("nonsense",)},
        {"allow_ports": (0,)},
        {"allow_ports": ("443",)},
    ],
)
def test_a_malformed_policy_is_a_configuration_error(options: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError):
        EgressPolicy(**options)  # type: ignore[arg-type]


def test_a_policy_is_a_frozen_value() -> None:
    policy = EgressPolicy(allow_ports=[9000])
    assert policy == EgressPolicy(allow_ports=(9000,))
    assert hash(policy) == hash(EgressPolicy(allow_ports=(9000,)))
    with pytest.raises(AttributeError):
        policy.allow_http = True  # type: ignore[misc]


def test_a_refusal_does_not_repeat_the_url() -> None:
    with pytest.raises(ForbiddenDestination) as caught:
        EgressPolicy().check_url("https://user:hunter2@example.com/token-s3cret")
    assert "hunter2" not in str(caught.value)
    assert "s3cret" not in str(caught.value)
