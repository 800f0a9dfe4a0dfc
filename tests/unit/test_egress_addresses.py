"""Special networks are refused from their first address to their last, and no address beside them."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claimnotify.errors import ForbiddenDestination
from claimnotify.http.egress import EgressPolicy

# Networks of the IANA special-purpose registries and the clouds; whether what comes before and after
# is public.
IPV4 = [
    ("0.0.0.0/8", None, True),
    ("10.0.0.0/8", True, True),
    ("100.64.0.0/10", True, True),
    ("127.0.0.0/8", True, True),
    ("168.63.129.16/32", True, True),
    ("169.254.0.0/16", True, True),
    ("172.16.0.0/12", True, True),
    ("192.0.0.0/24", True, True),
    ("192.0.2.0/24", True, True),
    ("192.31.196.0/24", True, True),
    ("192.52.193.0/24", True, True),
    ("192.88.99.0/24", True, True),
    ("192.168.0.0/16", True, True),
    ("192.175.48.0/24", True, True),
    ("198.18.0.0/15", True, True),
    ("198.51.100.0/24", True, True),
    ("203.0.113.0/24", True, True),
    ("224.0.0.0/4", True, False),
    ("240.0.0.0/4", False, None),
]
IPV6 = [
    ("2001::/23", True, True),
    ("2001:db8::/32", True, True),
    ("2002::/16", True, True),
    ("2620:4f:8000::/48", True, True),
    ("3ffe::/16", True, False),
    ("3fff::/20", False, True),
    # all that is outside 2000::/3, but for the well-known NAT64 prefix and mapped addresses
    ("::/128", None, False),
    ("::1/128", False, False),
    ("::2/127", False, False),
    ("::fffe:0:0/96", False, None),
    ("::1:0:0:0/80", None, False),
    ("64:ff9b:0:0:0:1::/96", None, False),
    ("64:ff9b:1::/48", False, False),
    ("100::/64", False, False),
    ("100:0:0:1::/64", False, False),
    ("200::/7", False, False),
    ("1fff::/16", False, True),
    ("4000::/16", True, False),
    ("5f00::/16", False, False),
    ("fc00::/7", False, False),
    ("fe80::/10", False, False),
    ("fec0::/10", False, False),
    ("ff00::/8", False, None),
]


def passes(address: object) -> bool:
    try:
        EgressPolicy().check_address(address)  # type: ignore[arg-type]
    except ForbiddenDestination:
        return False
    return True


@pytest.mark.parametrize(("text", "before", "after"), [*IPV4, *IPV6])
def test_a_special_network_is_refused_and_its_neighbours_are_not(
    text: str, before: bool | None, after: bool | None
) -> None:
    network = ipaddress.ip_network(text)
    first, last = network[0], network[-1]
    middle = network[network.num_addresses // 2]
    for inside in (first, middle, last):
        assert not passes(inside), inside
        assert not passes(str(inside)), inside
    for neighbour, expected in ((int(first) - 1, before), (int(last) + 1, after)):
        if expected is not None:
            outside = type(first)(neighbour)
            assert passes(outside) == passes(str(outside)) == expected, outside


@pytest.mark.parametrize(("text", "before", "after"), IPV4)
def test_a_boundary_of_ipv4_is_the_same_where_ipv6_wraps_it(
    text: str, before: bool | None, after: bool | None
) -> None:
    network = ipaddress.ip_network(text)
    numbers = (int(network[0]), int(network[-1]), int(network[0]) - 1, int(network[-1]) + 1)
    for number in numbers:
        if 0 <= number < 2**32:
            bare = ipaddress.IPv4Address(number)
            verdict = passes(bare)
            assert passes(f"::ffff:{bare}") == passes(f"64:ff9b::{bare}") == verdict
            assert passes(f"2606:4700::5efe:{bare}") == verdict
            assert not passes(f"::{bare}")
            assert not passes(f"::ffff:0:{bare}")
            assert not passes(f"64:ff9b:1::{bare}")


@given(st.ip_addresses(v=4))
def test_ipv4_inside_ipv6_is_decoded_or_refused(address: ipaddress.IPv4Address) -> None:
    """Mapped, NAT64 and ISATAP are judged by what they embed; the other wrappings are refused."""
    verdict = passes(address)
    octets = f"{int(address) >> 16:x}:{int(address) & 0xFFFF:x}"
    flipped = f"{(int(address) >> 16) ^ 0xFFFF:x}:{(int(address) & 0xFFFF) ^ 0xFFFF:x}"
    for decoded in (
        f"::ffff:{octets}",
        f"64:ff9b::{octets}",
        f"2606:4700::5efe:{octets}",
        f"2606:4700::200:5efe:{octets}",
    ):
        assert passes(decoded) == verdict, decoded
    for refused in (
        f"::{octets}",
        f"::ffff:0:{octets}",
        f"64:ff9b:1::{octets}",
        f"2002:{octets}::1",
        f"2001:0:{octets}:0:0:{flipped}",
        f"fe80::5efe:{octets}",
    ):
        assert not passes(refused), refused


GLOBAL_TO_THE_STANDARD_LIBRARY = [
    "224.0.0.1",
    "192.88.99.1",
    "168.63.129.16",
    "::127.0.0.1",
    "::ffff:100.64.0.1",
    "::ffff:224.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "fec0::1",
    "2002:7f00:1::",
    "ff0e::1",
    "4000::1",
]


@pytest.mark.parametrize("text", GLOBAL_TO_THE_STANDARD_LIBRARY)
def test_the_standard_library_is_not_asked(text: str) -> None:
    """`is_global` says yes to all of these in some version of Python."""
    assert not passes(text)


def test_the_standard_library_is_wrong_about_some() -> None:
    wrong = [
        each for each in GLOBAL_TO_THE_STANDARD_LIBRARY if ipaddress.ip_address(each).is_global
    ]
    assert len(wrong) > 3


@given(st.ip_addresses())
def test_nothing_passes_that_the_standard_library_knows_to_be_private(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    """Its judgement is too mild, but where it says private it is right, wrapped IPv4 apart."""
    wrapped = address.version == 6 and any(
        address in ipaddress.ip_network(each) for each in ("::ffff:0:0/96", "64:ff9b::/96")
    )
    special = (
        address.is_private or address.is_multicast or address.is_reserved or address.is_link_local
    )
    assert wrapped or not special or not passes(address)


@given(st.ip_addresses(v=6))
def test_ipv6_passes_inside_2000_3_only(address: ipaddress.IPv6Address) -> None:
    if address.ipv4_mapped is None and address not in ipaddress.ip_network("64:ff9b::/96"):
        assert not passes(address) or int(address) >> 125 == 1


@pytest.mark.parametrize(
    "address",
    [
        ipaddress.ip_address("2606:4700::1111%eth0"),
        ipaddress.ip_address("::ffff:8.8.8.8%eth0"),
        ipaddress.ip_address("64:ff9b::8.8.8.8%eth0"),
        "2606:4700::1111%eth0",
        "::ffff:8.8.8.8%eth0",
        "fe80::1%eth0",
    ],
    ids=str,
)
def test_an_address_with_a_zone_is_refused_whatever_it_embeds(address: object) -> None:
    assert not passes(address)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "example.com",
        "127.1",
        "134744072",
        "0x8.8.8.8",
        "010.8.8.8",
        "8.8.8.08",
        "8.8.8.8 ",
        " 8.8.8.8",
        "8.8.8.8\n",
        "8.8.8.8.",
        "8.8.8.8/32",
        "8.8.8.8:443",
        "[2606:4700::1111]",
        "2606:4700::1111/128",
        "2606:4700:::1111",
        "８.8.8.8",
        "8。8。8。8",
        "8.8.8.8\x00",
        "\ud800",
        "1" * 5000,
    ],
    ids=lambda text: ascii(text)[:40],
)
def test_what_is_no_address_in_its_ordinary_spelling_is_refused(text: str) -> None:
    assert not passes(text)


@pytest.mark.parametrize("value", [None, 134744072, b"\x08\x08\x08\x08", True, 8.8, ["8.8.8.8"]])
def test_what_is_neither_text_nor_an_address_is_refused(value: object) -> None:
    assert not passes(value)


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "1.1.1.1"])
def test_a_public_address_passes_as_text_and_as_an_object(address: str) -> None:
    assert passes(address)
    assert passes(ipaddress.ip_address(address))
