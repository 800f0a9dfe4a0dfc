"""What the audit keeps of headers: no secret, not much, and nothing that a database cannot store."""

from __future__ import annotations

import pytest

from claimnotify.channels.webhook_log import blanked, received_headers, secrets_of, sent_headers


def test_signatures_and_own_headers_are_redacted() -> None:
    headers = {
        "webhook-id": "msg_1",
        "webhook-signature": "v1,c2VjcmV0 v1a,c2VjcmV0",
        "x-team": "s3cret",
    }
    assert sent_headers(headers, {"x-team"}) == {
        "webhook-id": "msg_1",
        "webhook-signature": "v1,[redacted] v1a,[redacted]",
        "x-team": "[redacted]",
    }
    assert headers["x-team"] == "s3cret", "what is sent is left as it is"


@pytest.mark.parametrize(
    ("name", "redacted"),
    [
        ("set-cookie", True),
        ("authorization", True),
        ("www-authenticate", True),
        ("x-amz-security-token", True),
        ("x-api-key", True),
        ("x-apikey", True),
        ("x-session-id", True),
        ("webhook-signature", True),
        ("x-csrf-token", True),
        ("content-type", False),
        ("retry-after", False),
        ("location", False),
        ("x-request-id", False),
        ("cf-ray", False),
    ],
)
def test_what_may_be_a_secret_is_told_by_its_name(name: str, redacted: bool) -> None:
    for _ in range(2):  # the second time it is known
        assert received_headers({name: "value"}) == {name: "[redacted]" if redacted else "value"}


def test_what_the_receiver_repeats_of_ours_is_blanked() -> None:
    own = {"authorization": "Bearer t0psecret", "x-key": "short"}
    headers = {**own, "webhook-signature": "v1,c2lnbmF0dXJl"}
    secrets = secrets_of(headers, own)
    echo = "you sent Bearer t0psecret, t0psecret, short and v1,c2lnbmF0dXJl; a Bearer"
    told = "you sent [redacted], [redacted], [redacted] and v1,[redacted]; a Bearer"
    assert blanked(echo, secrets) == told
    assert received_headers({"x-debug": echo}, secrets) == {"x-debug": told}
    assert secrets_of({}, {}) == []


def test_the_query_of_a_redirect_may_be_a_token() -> None:
    kept = received_headers({"location": "https://h.example/a?access_token=t"})
    assert kept == {"location": "https://h.example/a?[redacted]"}


def test_only_a_little_is_kept_and_only_what_can_be_stored() -> None:
    flood = {f"x-{number}": "y" * 10_000 for number in range(100)}
    kept = received_headers(flood)
    assert (len(kept), {len(value) for value in kept.values()}) == (32, {256})
    long = received_headers({"a" * 30_000: "b"})
    assert [len(name) for name in long] == [256]
    assert received_headers({"x": "a\x00b\ud800"}) == {"x": "a\\x00b\\ud800"}
