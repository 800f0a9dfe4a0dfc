"""What can be chosen for an endpoint, and what is refused; no value of a header is ever repeated."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from claimnotify.errors import InvalidInput
from claimnotify.model.endpoint_options import checked_options
from claimnotify.model.endpoints import Endpoint

LONGEST = timedelta(seconds=15)


def checked(**options: Any) -> dict[str, Any]:
    return checked_options(options, longest=LONGEST, check_rate=str)


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        ({"tags": ["eu", "vip", "eu"]}, {"tags": ("eu", "vip")}),
        ({"tags": []}, {"tags": ()}),
        ({"metadata": {"crm.id": "ü" * 500}}, {"metadata": {"crm.id": "ü" * 500}}),
        (
            {"headers": {"Authorization": "Bearer a b"}},
            {"headers": {"authorization": "Bearer a b"}},
        ),
        ({"headers": {}}, {"headers": {}}),
        ({"headers": {"X-Api-Key": "~!"}}, {"headers": {"x-api-key": "~!"}}),
        ({"timeout": timedelta(seconds=1)}, {"timeout": timedelta(seconds=1)}),
        ({"timeout": LONGEST}, {"timeout": LONGEST}),
        ({"timeout": None}, {"timeout": None}),
        ({"ordering": "fifo"}, {"ordering": "fifo"}),
        ({"description": "x" * 255}, {"description": "x" * 255}),
        ({}, {}),
    ],
)
def test_what_is_in_order_is_kept(options: dict[str, Any], kept: dict[str, Any]) -> None:
    assert checked(**options) == kept


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"tags": "eu"}, "tags"),
        ({"tags": None}, "tags"),
        ({"tags": ["a b"]}, "tags"),
        ({"tags": [""]}, "tags"),
        ({"tags": [7]}, "tags"),
        ({"tags": ["x" * 65]}, "tags"),
        ({"tags": [str(n) for n in range(11)]}, "tags"),
        ({"metadata": None}, "metadata"),
        ({"metadata": [("a", "b")]}, "metadata"),
        ({"metadata": {"a b": "c"}}, "metadata"),
        ({"metadata": {7: "c"}}, "metadata"),
        ({"metadata": {"a": 7}}, "metadata['a']"),
        ({"metadata": {"a": "x" * 501}}, "metadata['a']"),
        ({"metadata": {"a": "\ud800"}}, "metadata['a']"),
        ({"metadata": {"a": "\x00"}}, "metadata['a']"),
        ({"metadata": {str(n): "" for n in range(51)}}, "metadata"),
        ({"headers": None}, "headers"),
        ({"headers": {"a:b": "c"}}, "headers"),
        ({"headers": {"": "c"}}, "headers"),
        ({"headers": {"a\r\nb": "c"}}, "headers"),
        ({"headers": {f"x-{n}": "c" for n in range(21)}}, "headers"),
        ({"headers": {"x-a": "1", "X-A": "2"}}, "headers['X-A']"),
        ({"headers": {"x-a": "1", "x_a": "2"}}, "headers['x_a']"),
        ({"tags": [["a"]]}, "tags"),
        ({"tags": iter(str(n) for n in range(10**9))}, "tags"),
        ({"event_types": [f"a.b{n}" for n in range(501)]}, "event_types"),
        ({"event_types": iter(lambda: "a.b", None)}, "event_types"),
        ({"timeout": 5}, "timeout"),
        ({"timeout": timedelta(milliseconds=999)}, "timeout"),
        ({"timeout": LONGEST + timedelta(microseconds=1)}, "timeout"),
        ({"timeout": timedelta.max}, "timeout"),
        ({"ordering": "FIFO"}, "ordering"),
        ({"ordering": None}, "ordering"),
        ({"ordering": []}, "ordering"),
        ({"description": "x" * 256}, "description"),
        ({"description": None}, "description"),
        ({"event_types": []}, "event_types"),
    ],
)
def test_what_is_malformed_is_refused_by_its_name(options: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        checked(**options)
    assert refused.value.field == field
    assert refused.value.remedy


@pytest.mark.parametrize(
    "name",
    [
        "Host",
        "Content-Length",
        "Content-Type",
        "Content-Encoding",
        "Transfer-Encoding",
        "Connection",
        "Keep-Alive",
        "TE",
        "Trailer",
        "Upgrade",
        "Expect",
        "Accept-Encoding",
        "User-Agent",
        "Proxy-Authorization",
        "Proxy-Connection",
        "Sec-Fetch-Site",
        "Webhook-Id",
        "webhook-signature",
        "Webhook-Anything",
        "Svix-Signature",
        "X-Forwarded-For",
        "X-Forwarded-Host",
        "Forwarded",
        "X-Real-IP",
        "True-Client-IP",
        "Via",
        "Metadata-Flavor",
        "Metadata",
        "X-aws-ec2-metadata-token",
        "X-aws-ec2-metadata-token-ttl-seconds",
        "X-Google-Metadata-Request",
        "X_Forwarded_For",
        "webhook_signature",
        "content_length",
        "X-Forwarded",
        "X-Original-Host",
        "X-Host",
        "Remote-User",
        "X-Remote-User",
        "X-HTTP-Method-Override",
        "x-aliyun-ecs-metadata-token",
    ],
)
def test_headers_that_are_ours_or_open_doors_are_denied(name: str) -> None:
    with pytest.raises(InvalidInput, match="may be chosen"):
        checked(headers={name: "value"})


@pytest.mark.parametrize(
    "value",
    ["", " a", "a ", "a\r\nX-Evil: b", "a\tb", "ü", "\x7f", "s3cret\n", "x" * 1025, 7, None],
)
def test_values_of_headers_are_printable_and_never_repeated(value: Any) -> None:
    with pytest.raises(InvalidInput) as refused:
        checked(headers={"X-Key": value})
    assert "s3cret" not in str(refused.value)
    assert "xxxx" not in str(refused.value)


def test_an_option_that_does_not_exist_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="no option 'colour'"):
        checked(colour="red")


@pytest.mark.parametrize(
    ("patterns", "tags", "event_type", "event_tags", "wanted"),
    [
        (["*"], [], "claim.paid", [], True),
        (["claim.*"], [], "claim.paid", ["eu"], True),
        (["claim.*"], [], "claimed.paid", [], False),
        (["claim.*"], ["eu"], "claim.paid", ["eu", "vip"], True),
        (["claim.*"], ["eu"], "claim.paid", ["us"], False),
        (["claim.*"], ["eu"], "claim.paid", [], False),
        # What is about endpoints themselves goes to those who name it only.
        (["*"], [], "endpoint.disabled", [], False),
        (["endpoint.*"], [], "endpoint.disabled", [], True),
        (["*", "endpoint.disabled"], [], "endpoint.disabled", [], True),
    ],
)
def test_an_endpoint_gets_what_its_patterns_and_tags_cover(
    patterns: list[str], tags: list[str], event_type: str, event_tags: list[str], wanted: bool
) -> None:
    endpoint = Endpoint(
        id="0" * 32,
        tenant="t",
        owner="o",
        url="https://example.com",
        event_types=patterns,
        tags=tags,
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
    )
    assert endpoint.wants(event_type, event_tags) is wanted
