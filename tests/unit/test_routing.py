"""Routing: which deliveries an event gives, and which it says it does not, with the reason."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claimnotify.errors import InvalidInput, UnknownChannel
from claimnotify.model.endpoints import Endpoint, check_event_types, matches
from claimnotify.model.events import EventSpec
from claimnotify.model.recipients import Recipient
from claimnotify.model.states import Reason
from claimnotify.policy.routing import Route, by_endpoint, channels_of, route

ANA = Recipient(id="cus_7", email="ana@example.com")


class Medium:
    def __init__(self, name: str, *addresses: str) -> None:
        self.name = name
        self._addresses = addresses

    def addresses(self, recipient: Recipient) -> Sequence[str]:
        return self._addresses


class Hooks(Medium):
    by_endpoint = True


def _endpoint(id: str, *event_types: str, enabled: bool = True) -> Endpoint:
    return Endpoint(
        id=id,
        tenant="default",
        owner="cus_7",
        url=f"https://example.com/{id}",
        event_types=event_types or ("*",),
        enabled=enabled,
        created_at=datetime(2026, 3, 1, tzinfo=UTC),
    )


def test_one_delivery_for_each_address_in_the_order_of_the_channels() -> None:
    channels = [Medium("sms", "+491"), Medium("email", "a@x", "b@x")]
    assert route("claim.paid", ANA, channels, []) == [
        Route("sms", "+491"),
        Route("email", "a@x"),
        Route("email", "b@x"),
    ]


def test_nowhere_to_reach_is_said_and_not_left_out() -> None:
    assert route("claim.paid", ANA, [Medium("sms")], []) == [Route("sms", skip=Reason.NO_ADDRESS)]


def test_one_delivery_for_each_endpoint_that_wants_it() -> None:
    endpoints = [
        _endpoint("a", "claim.*"),
        _endpoint("b", "seat.*"),
        _endpoint("c", "claim.paid", "seat.*"),
        _endpoint("d", enabled=False),
    ]
    assert route("claim.paid", ANA, [Hooks("webhook")], endpoints) == [
        Route("webhook", "https://example.com/a", "a"),
        Route("webhook", "https://example.com/c", "c"),
    ]


@pytest.mark.parametrize(
    "endpoints", [[], [_endpoint("a", enabled=False)], [_endpoint("b", "x.y")]]
)
def test_no_endpoint_is_said_and_not_left_out(endpoints: list[Endpoint]) -> None:
    assert route("claim.paid", ANA, [Hooks("webhook")], endpoints) == [
        Route("webhook", skip=Reason.NO_ENDPOINT)
    ]


def test_what_is_published_goes_to_endpoints_alone() -> None:
    channels = [Medium("email", "a@x"), Hooks("webhook")]
    assert route("claim.paid", None, channels, [_endpoint("a")]) == [
        Route("webhook", "https://example.com/a", "a")
    ]


@given(st.lists(st.sampled_from(["email", "sms", "in_app", "webhook"]), unique=True, min_size=1))
def test_every_channel_gives_a_delivery_or_a_reason(names: list[str]) -> None:
    channels = [Hooks(name) if name == "webhook" else Medium(name) for name in names]
    assert [each.channel for each in route("claim.paid", ANA, channels, [])] == names


def test_channels_are_found_in_the_order_of_the_event() -> None:
    installed = {"email": Medium("email"), "sms": Medium("sms"), "webhook": Hooks("webhook")}
    spec = EventSpec(type="claim.paid", channels=("webhook", "email"))
    found = channels_of(spec, installed)
    assert [each.name for each in found] == ["webhook", "email"]
    assert [by_endpoint(each) for each in found] == [True, False]


def test_a_channel_that_is_not_installed_is_named_with_those_that_are() -> None:
    spec = EventSpec(type="claim.paid", channels=("email", "pigeon"))
    with pytest.raises(UnknownChannel, match=r"claim\.paid.*'pigeon'.*email, sms"):
        channels_of(spec, {"sms": Medium("sms"), "email": Medium("email")})


@pytest.mark.parametrize(
    ("pattern", "type", "covered"),
    [
        ("*", "claim.paid", True),
        ("claim.*", "claim.paid", True),
        ("claim.*", "claim.document.rejected", True),
        ("claim.*", "claim", False),
        ("claim.*", "claims.paid", False),
        ("claim.paid", "claim.paid", True),
        ("claim.paid", "claim.paid.late", False),
        ("claim.paid", "claimxpaid", False),
    ],
)
def test_patterns_cover_whole_words(pattern: str, type: str, covered: bool) -> None:
    assert matches(pattern, type) is covered


@pytest.mark.parametrize(
    "patterns", [[], "claim.*", ["*.paid"], ["claim*"], ["Claim.paid"], ["claim.**"], [""], [5]]
)
def test_a_pattern_that_would_never_match_is_refused(patterns: list[str]) -> None:
    with pytest.raises(InvalidInput, match="event_types"):
        check_event_types(patterns)


def test_patterns_given_twice_are_kept_once() -> None:
    assert check_event_types(["claim.*", "*", "claim.*"]) == ("claim.*", "*")
