"""What we sign the published libraries accept, and we what they sign: from PyPI and from npm.

No published library verifies Ed25519; there Node's own cryptography answers for the others.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest
import standardwebhooks
import svix.webhooks

from claimnotify import Event, Notifier
from claimnotify.model.events import catalogue
from claimnotify.testing import WebhookReceiver
from claimnotify.webhooks import (
    Webhook,
    WebhookVerificationError,
    generate_secret,
    public_key,
    signed_headers,
)
from tests.javascript import Delivery

Ask = Callable[[list[Delivery]], list[dict[str, dict[str, Any]]]]
NPM = Path(__file__).parents[1] / "npm"
PYTHON = (standardwebhooks.Webhook, svix.webhooks.Webhook)
BODIES = [
    b"{}",
    b'{"type":"seat.upgraded","data":{"seat":"12A"}}',
    '{"name":"Jörg 😀 \u2028"}'.encode(),
    b'  [1, 2.50, null, "\\u00e9"] \r\n',
    b'"' + b"x" * 100_000 + b'"',
]


def some_secrets() -> list[str]:
    """Symmetric secrets of every allowed length."""
    random = Random(7)
    keys = [random.randbytes(length) for length in range(24, 65)]
    return ["whsec_" + base64.b64encode(key).decode() for key in keys]


def delivery(secret: str, headers: dict[str, str], body: bytes) -> Delivery:
    return Delivery(secret, body, headers)


def test_the_python_libraries_agree_both_ways() -> None:
    now = datetime.now(UTC)
    for number, secret in enumerate(some_secrets()):
        body = BODIES[number % len(BODIES)]
        ours = signed_headers([secret], f"msg_{number}", now, body)
        for library in PYTHON:
            package = library(secret)
            package.verify(body, ours)
            assert package.sign(f"msg_{number}", now, body.decode()) == ours["webhook-signature"]
        assert Webhook(secret).verify(body, ours) == json.loads(body)


def test_the_javascript_libraries_agree_both_ways(verdicts_in_javascript: Ask) -> None:
    now = datetime.now(UTC)
    deliveries = [
        delivery(secret, signed_headers([secret], f"msg_{number}", now, body), body)
        for number, secret in enumerate(some_secrets())
        for body in [BODIES[number % len(BODIES)]]
    ]
    for sent, verdict in zip(deliveries, verdicts_in_javascript(deliveries), strict=True):
        assert set(verdict) == {"standardwebhooks", "svix"}
        for told in verdict.values():
            assert told["verified"]
            theirs = {**sent.headers, "webhook-signature": told["signature"]}
            assert theirs == sent.headers
            Webhook(sent.secret).verify(sent.body, theirs)


def test_during_a_rotation_each_library_finds_its_signature(verdicts_in_javascript: Ask) -> None:
    """Four keys, two of each kind; each library knows one key."""
    secrets = [generate_secret(kind=kind) for kind in ("v1", "v1a", "v1a", "v1")]  # type: ignore[arg-type]
    body = BODIES[2]
    headers = signed_headers(secrets, "msg_1", datetime.now(UTC), body)
    symmetric = [secret for secret in secrets if secret.startswith("whsec_")]
    asymmetric = [secret for secret in secrets if secret.startswith("whsk_")]
    for secret in symmetric:
        for library in PYTHON:
            library(secret).verify(body, headers)
    known = [*symmetric, *asymmetric, *map(public_key, asymmetric)]
    found = verdicts_in_javascript([delivery(secret, headers, body) for secret in known])
    assert len(found) == 6
    for verdict in found:
        assert all(told["verified"] for told in verdict.values()), verdict


def test_ed25519_agrees_with_node_both_ways(verdicts_in_javascript: Ask) -> None:
    now = datetime.now(UTC)
    secrets = [generate_secret(kind="v1a") for _ in range(10)]
    deliveries = [
        delivery(secret, signed_headers([secret], "msg_1", now, body), body)
        for secret in secrets
        for body in BODIES
    ]
    for sent, verdict in zip(deliveries, verdicts_in_javascript(deliveries), strict=True):
        told = verdict["node:crypto"]
        assert told["verified"]
        assert told["signature"] == sent.headers["webhook-signature"]
        theirs = {**sent.headers, "webhook-signature": told["signature"]}
        Webhook(public_key(sent.secret)).verify(sent.body, theirs)


@pytest.mark.parametrize("kind", ["v1", "v1a"])
def test_everybody_refuses_what_was_changed(verdicts_in_javascript: Ask, kind: Any) -> None:
    secret, other = generate_secret(kind=kind), generate_secret(kind=kind)
    now = datetime.now(UTC)
    body = BODIES[1]
    headers = signed_headers([secret], "msg_1", now, body)
    wrong = [
        delivery(secret, headers, body + b" "),
        delivery(secret, {**headers, "webhook-id": "msg_2"}, body),
        delivery(secret, {**headers, "webhook-timestamp": str(int(now.timestamp()) + 1)}, body),
        delivery(other, headers, body),
    ]
    if kind == "v1":  # Node's cryptography looks at no time
        late = signed_headers([secret], "msg_1", now - timedelta(minutes=6), body)
        wrong.append(delivery(secret, late, body))
    for sent, verdict in zip(wrong, verdicts_in_javascript(wrong), strict=True):
        assert not any(told["verified"] for told in verdict.values()), sent
        with pytest.raises(WebhookVerificationError):
            Webhook(sent.secret).verify(sent.body, sent.headers)
        if kind == "v1":
            for library in PYTHON:
                with pytest.raises(standardwebhooks.webhooks.WebhookVerificationError):
                    library(sent.secret).verify(sent.body, dict(sent.headers))


class SeatSold(Event, type="seat.sold", channels=("webhook",)):
    seat: str


catalogue.remove(SeatSold)  # neither accepting nor delivering needs it there


@contextmanager
def worker_process(settings: dict[str, str]) -> Iterator[None]:
    """A worker in a process of its own, ended when the block ends."""
    environment = {f"CLAIMNOTIFY_{name.upper()}": value for name, value in settings.items()}
    worker = subprocess.Popen(
        [sys.executable, "-m", "claimnotify.worker"],
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        worker.terminate()
        try:
            worker.wait(30)
        finally:
            worker.kill()


@pytest.mark.parametrize("by", ["drain", "worker"])
def test_every_library_accepts_what_arrives_over_a_socket(
    verdicts_in_javascript: Ask, sqlite_url: str, tmp_path: Path, by: str
) -> None:
    """Accepted, leased, rendered and posted as always, with two secrets in rotation."""
    settings = {
        "database_url": sqlite_url,
        "queue_url": f"sqlite:///{tmp_path / 'queue.db'}",
        "secret_keys": "a-key-for-tests-of-thirty-two-characters",
        "webhook_allow_networks": "127.0.0.0/8",
        "webhook_allow_http": "true",
    }
    with (
        WebhookReceiver() as receiver,
        Notifier.from_settings(**settings) as notifier,
    ):
        endpoint, old = notifier.endpoints.register(receiver.url, owner="cus_7")
        new = notifier.endpoints.rotate(endpoint.id, grace=timedelta(hours=1))
        for seat in ("12A", "14Ä", "15\u2028C"):
            notifier.publish(SeatSold(seat=seat), owner="cus_7")
        if by == "drain":
            notifier.drain()
            arrived = receiver.wait_for(3)
        else:
            with worker_process(settings):
                arrived = receiver.wait_for(3, timeout=60)
    for received in arrived:
        assert received.headers["webhook-signature"].count("v1,") == 2
        for secret in (old, new):
            for library in PYTHON:
                library(secret).verify(received.body, dict(received.headers))
    deliveries = [
        delivery(secret, dict(received.headers), received.body)
        for received in arrived
        for secret in (old, new)
    ]
    found = verdicts_in_javascript(deliveries)
    assert len(found) == 6
    for verdict in found:
        assert [told["verified"] for told in verdict.values()] == [True, True]


def test_what_npm_is_told_names_no_registry() -> None:
    locked = json.loads((NPM / "package-lock.json").read_text())["packages"]
    assert {"node_modules/standardwebhooks", "node_modules/svix"} <= set(locked)
    assert all("integrity" in each for name, each in locked.items() if name)
    assert "omit-lockfile-registry-resolved=true" in (NPM / ".npmrc").read_text().split()
    for name in ("package.json", "package-lock.json", ".npmrc"):
        text = (NPM / name).read_text()
        assert "://" not in text
        assert '"resolved"' not in text
