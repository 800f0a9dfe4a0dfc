"""An egress policy says what is allowed beyond public hosts over HTTPS, and judges every address."""

from __future__ import annotations

import pytest

from claimnotify.errors import ConfigurationError, ForbiddenDestination
from claimnotify.http.egress import EgressPolicy


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
    ("field", "value"),
    [
        ("allow_networks", "10.0.0.0/8"),
        ("allow_networks", ("10.0.0.1/8",)),
        ("allow_networks", ("nonsense",)),
        ("allow_networks", None),
        ("allow_networks", 5),
        ("allow_networks", [5]),
        ("allow_networks", [True]),
        ("allow_networks", [None]),
        ("allow_networks", b"10.0"),
        ("allow_networks", [b"\x7f\x00\x00\x01"]),
        ("allow_ports", (0,)),
        ("allow_ports", (65536,)),
        ("allow_ports", ("443",)),
        ("allow_ports", "443"),
        ("allow_ports", None),
        ("allow_ports", 5),
        ("allow_ports", [True]),
        ("allow_ports", [443.0]),
        ("allow_http", "no"),
        ("allow_http", 1),
        ("allow_http", None),
    ],
)
def test_a_malformed_policy_is_a_configuration_error_that_names_the_field(
    field: str, value: object
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        EgressPolicy(**{field: value})  # type: ignore[arg-type]
    assert caught.value.field == f"webhook_{field}"


def test_networks_may_come_from_any_iterable() -> None:
    policy = EgressPolicy(allow_networks=(text for text in ["10.0.0.0/8"]))  # type: ignore[arg-type]
    policy.check_address("10.0.0.1")
    assert policy == EgressPolicy(allow_networks=["10.0.0.0/8"])


def test_a_policy_is_a_frozen_value() -> None:
    policy = EgressPolicy(allow_ports=[9000])
    assert policy == EgressPolicy(allow_ports=(9000,))
    assert hash(policy) == hash(EgressPolicy(allow_ports=(9000,)))
    with pytest.raises(AttributeError):
        policy.allow_http = True  # type: ignore[misc]
