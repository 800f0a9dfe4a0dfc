"""`claimnotify endpoints …` does what `notifier.endpoints` does, and shows a secret once."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest

from claimnotify import Event, Notifier
from claimnotify.testing import RecordingDispatcher, WebhookReceiver
from claimnotify.webhooks import generate_secret
from tests.acceptance.conftest import KEY, Claimnotify

URL = "https://example.com/hook"


class BagSold(Event, type="endpoints_command.bag_sold", channels=("webhook",)):
    bag: str


@pytest.fixture
def notifier(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Notifier]:
    monkeypatch.setenv("CLAIMNOTIFY_WEBHOOK_ALLOW_NETWORKS", "127.0.0.0/8")
    monkeypatch.setenv("CLAIMNOTIFY_WEBHOOK_ALLOW_HTTP", "true")
    with Notifier.from_settings(
        database_url=sqlite_url, dispatcher=RecordingDispatcher(), secret_keys=KEY
    ) as made:
        yield made


@contextmanager
def _standard_input(file: IO[bytes]) -> Iterator[None]:
    """Has this process read `file` from its standard input."""
    kept = os.dup(0)
    os.dup2(file.fileno(), 0)
    try:
        yield
    finally:
        os.dup2(kept, 0)
        os.close(kept)


def _added(claimnotify: Claimnotify, *options: str) -> tuple[str, str]:
    said = claimnotify("endpoints", "add", *(options or (URL, "--owner", "cus_7")))
    assert said.code == 0, said
    lines = dict(line.split(": ", 1) for line in said.out.splitlines())
    return lines.pop("id"), *lines.values()


def test_an_endpoint_is_added_shown_changed_switched_and_deleted(
    claimnotify: Claimnotify, notifier: Notifier
) -> None:
    endpoint_id, secret = _added(
        claimnotify,
        *(URL, "--owner", "cus_7", "--event-type", "claim.*", "--event-type", "bag.found"),
        *("--tag", "eu", "--description", "Accounting", "--metadata", "crm=42"),
        *("--header", "Authorization: Bearer s3cret:x", "--rate-limit", "10/second"),
        *("--timeout", "2.5", "--ordering", "fifo"),
    )
    assert secret.startswith("whsec_")
    listed = claimnotify("endpoints", "list", "--owner", "cus_7")
    assert all(word in listed.out for word in (endpoint_id, URL, "claim.*, bag.found", "enabled"))
    shown = claimnotify("endpoints", "show", endpoint_id).out.splitlines()
    for line in (
        "event types: claim.*, bag.found",
        "tags: eu",
        "metadata: crm=42",
        "headers: authorization",
        "rate limit: 10/second",
        "timeout: 2.5 s",
        "ordering: fifo",
        "key: v1",
    ):
        assert line in shown
    assert secret not in "\n".join(shown)
    assert "s3cret" not in "\n".join(shown)
    claimnotify("endpoints", "update", endpoint_id, "--url", f"{URL}/2", "--clear", "tags")
    claimnotify("endpoints", "update", endpoint_id, "--clear", "timeout", "--clear", "headers")
    claimnotify("endpoints", "disable", endpoint_id, "--reason", "asked")
    shown = claimnotify("endpoints", "show", endpoint_id).out.splitlines()
    for line in (f"url: {URL}/2", "tags:", "timeout:", "headers:", "state: disabled (asked)"):
        assert line in shown
    assert "description: Accounting" in shown
    claimnotify("endpoints", "enable", endpoint_id)
    assert notifier.endpoints.get(endpoint_id).enabled
    assert claimnotify("endpoints", "delete", endpoint_id).code == 0
    assert list(notifier.endpoints.list()) == []


def test_headers_come_from_a_file_or_standard_input_too(
    claimnotify: Claimnotify, notifier: Notifier, tmp_path: Path
) -> None:
    file = tmp_path / "headers"
    file.write_text("Authorization: Bearer s3cret:x\n\n  X-Team :  Lisbon\n", encoding="utf-8")
    later = tmp_path / "later"
    later.write_bytes(b"X-Later: 1\r\n")
    with WebhookReceiver() as receiver, later.open("rb") as piped, _standard_input(piped):
        endpoint_id, secret = _added(
            claimnotify,
            *(receiver.url, "--owner", "cus_7", "--header", "X-First: yes"),
            *("--header", f"@{file}", "--header", "@-"),
        )
        said = claimnotify("endpoints", "update", endpoint_id, "--header", "@-")
        assert (said.code, said.err) == (2, "error: header: @- holds none. Give one a line.\n")
        receiver.add_secret(secret)
        notifier.endpoints.ping(endpoint_id)
        notifier.drain()
        (got,) = receiver.received
    assert got.headers["authorization"] == "Bearer s3cret:x"
    assert [got.headers[name] for name in ("x-first", "x-later")] == ["yes", "1"]
    (shown,) = [
        line
        for line in claimnotify("endpoints", "show", endpoint_id).out.splitlines()
        if line.startswith("headers: ")
    ]
    assert shown == "headers: x-first, authorization, x-team, x-later"


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "No such file"),
        (b"\xff\xfe", "not UTF-8"),
        (b"s3cret", "not of the form"),
        (b"A: s3cret\nA: s3cret", "given twice"),
        (b" \n", "holds none"),
        (b"@other", "not of the form"),
        (b"A: s3cret" * 10_000, "no list of headers"),
    ],
)
def test_a_file_of_headers_that_is_none_is_one_line_that_repeats_no_secret(
    claimnotify: Claimnotify, notifier: Notifier, tmp_path: Path, content: bytes | None, why: str
) -> None:
    file = tmp_path / "headers"
    if content is not None:
        file.write_bytes(content)
    said = claimnotify("endpoints", "add", URL, "--owner", "cus_7", "--header", f"@{file}")
    assert (said.code, said.out, said.err.count("\n")) == (2, "", 1), said
    assert why in said.err
    assert "s3cret" not in said.err
    assert list(notifier.endpoints.list()) == []


def test_keys_are_rotated_and_a_public_one_is_shown_again(
    claimnotify: Claimnotify, notifier: Notifier
) -> None:
    own = generate_secret()
    endpoint_id, shown = _added(claimnotify, URL, "--owner", "cus_7", "--secret", own)
    assert shown == own
    said = claimnotify("endpoints", "rotate", endpoint_id, "--key", "v1a", "--grace-hours", "1")
    public = said.out.removeprefix("public key: ").strip()
    assert public.startswith("whpk_")
    lines = claimnotify("endpoints", "show", endpoint_id).out.splitlines()
    assert f"key: v1a {public}" in lines
    assert any(line.startswith("key: v1 until ") for line in lines)
    assert claimnotify("endpoints", "rotate", endpoint_id, "--grace-hours", "0").code == 0
    assert [each.kind for each in notifier.endpoints.keys(endpoint_id)] == ["v1"]
    assert claimnotify("db", "reencrypt").out == "encrypted anew: 0, unreadable: 0\n"


def test_ping_and_example_say_what_came_of_the_first_attempt(
    claimnotify: Claimnotify, notifier: Notifier
) -> None:
    with WebhookReceiver() as receiver:
        endpoint_id, secret = _added(claimnotify, receiver.url, "--owner", "cus_7")
        receiver.add_secret(secret)
        stop = threading.Event()

        def deliver() -> None:
            while not stop.wait(0.05):
                notifier.drain()

        worker = threading.Thread(target=deliver)
        worker.start()
        try:
            said = claimnotify("endpoints", "ping", endpoint_id)
            assert (said.code, "delivered: 200 after" in said.out) == (0, True), said
            said = claimnotify("endpoints", "example", endpoint_id, "endpoints_command.bag_sold")
            assert (said.code, "delivered: 200 after" in said.out) == (0, True), said
            receiver.respond(500)
            said = claimnotify("endpoints", "ping", endpoint_id)
            assert (said.code, "pending: 500 after" in said.out) == (1, True), said
        finally:
            stop.set()
            worker.join()
        types = [each.type for each in receiver.received]
        assert types == ["endpoint.ping", "endpoints_command.bag_sold", "endpoint.ping"]
        said = claimnotify("endpoints", "ping", endpoint_id, "--wait", "0.3")
        assert (said.code, "not sent yet, pending: queued" in said.out) == (1, True), said


def test_what_failed_and_what_was_missed_is_sent_again(
    claimnotify: Claimnotify, notifier: Notifier
) -> None:
    bag = BagSold(bag="B-1")
    missed = notifier.publish(bag, owner="cus_7")
    with WebhookReceiver() as receiver:
        endpoint_id, secret = _added(claimnotify, receiver.url, "--owner", "cus_7")
        receiver.add_secret(secret)
        receiver.respond(410)
        failed = notifier.publish(bag, owner="cus_7")
        notifier.drain()
        shown = claimnotify("endpoints", "show", endpoint_id).out
        assert "state: disabled (endpoint_gone)" in shown
        log = claimnotify("endpoints", "attempts", endpoint_id)
        assert all(word in log.out for word in ("endpoints_command.bag_sold", "410", "failed")), log
        said = claimnotify("endpoints", "recover", endpoint_id, "--since", "1h")
        assert (said.code, "Enable it first" in said.err) == (2, True), said
        claimnotify("endpoints", "enable", endpoint_id)
        said = claimnotify("endpoints", "recover", endpoint_id, "--since", "1h")
        assert said.out == "sent again: 1\n"
        said = claimnotify("endpoints", "recover", endpoint_id, "--since", "2020-01-01")
        assert said.out == "sent again: 0\n", "once is enough"
        said = claimnotify(
            "endpoints", "replay-missing", endpoint_id, "--since", "1h", "--limit", "1"
        )
        assert said.out == "sent again: 1\n"
        notifier.drain()
        assert sorted(each.id for each in receiver.accepted) == sorted([failed.id, missed.id])
        (delivery,) = notifier.history(notification_id=failed.id)[0].deliveries[1:]
        said = claimnotify("deliveries", "replay", delivery.id)
        assert f"a replay of {delivery.id}" in said.out
        log = claimnotify("endpoints", "attempts", endpoint_id, "--status", "delivered")
        assert "410" not in log.out
        assert log.out.count("delivered") >= 2


@pytest.mark.parametrize(
    "arguments",
    [
        ("add", "http://10.0.0.1/", "--owner", "cus_7"),
        ("add", URL, "--owner", ""),
        ("add", URL, "--owner", "cus_7", "--header", "s3cret"),
        ("add", URL, "--owner", "cus_7", "--header", "Host: s3cret"),
        ("add", URL, "--owner", "cus_7", "Authorization: s3cret"),
        ("update", "0" * 32, "--tag", "eu", "--clear", "tags"),
        ("add", URL, "--owner", "cus_7", "--metadata", "a=1", "--metadata", "a=2"),
        ("add", URL, "--owner", "cus_7", "--timeout", "nan"),
        ("add", URL, "--owner", "cus_7", "--timeout", "inf"),
        ("add", URL, "--owner", "cus_7", "--timeout", "1e300"),
        ("add", URL, "--owner", "cus_7", "--ordering", "lifo"),
        ("add", URL, "--owner", "cus_7", "--key", "v2"),
        ("add", URL, "--owner", "cus_7", "--secret", "whsec_s3cret"),
        ("update", "0" * 32, "--url", URL),
        ("update", "0" * 32, "--clear", "url"),
        ("rotate", "0" * 32),
        ("rotate", "0" * 32, "--grace-hours", "nan"),
        ("rotate", "0" * 32, "--grace-hours", "-1"),
        ("show", "0" * 32),
        ("ping", "0" * 32),
        ("example", "0" * 32, "claim.paid"),
        ("delete", "nonsense"),
        ("list", "--limit", "0"),
        ("attempts", "0" * 32, "--status", "lost"),
        ("attempts", "0" * 32, "--limit", "0"),
        ("recover", "0" * 32, "--since", "1h"),
        ("recover", "0" * 32, "--since", "yesterday"),
        ("recover", "0" * 32, "--since", "99999999999999d"),
        ("recover", "0" * 32, "--since", "1h", "--until", "2020-01-01"),
        ("replay-missing", "0" * 32, "--since", ""),
    ],
)
def test_what_is_wrong_is_one_line_that_repeats_no_secret(
    claimnotify: Claimnotify, notifier: Notifier, arguments: tuple[str, ...]
) -> None:
    said = claimnotify("endpoints", *arguments)
    assert (said.code, said.out, said.err.count("\n")) == (2, "", 1), said
    assert said.err.startswith("error: ")
    assert "s3cret" not in said.err
    assert list(notifier.endpoints.list()) == []
