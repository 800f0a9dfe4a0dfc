"""The receiver is a real server: it verifies, answers as told, and can be waited for."""

from __future__ import annotations

import contextlib
import socket
import threading
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from claimnotify.testing.webhook_receiver import WebhookReceiver
from claimnotify.webhooks import generate_secret, signed_headers

BODY = b'{"type":"claim.paid"}'


def signed(*secrets: str) -> dict[str, str]:
    return signed_headers(secrets, "msg_1", datetime.now(UTC), BODY)


def test_it_notes_what_arrives_and_whether_it_is_authentic() -> None:
    secret = generate_secret()
    with WebhookReceiver() as receiver, httpx.Client() as client:
        assert client.post(receiver.url, content=BODY, headers=signed(secret)).status_code == 200
        receiver.add_secret(secret)
        client.post(f"{receiver.url}/more?a=b", content=BODY, headers=signed(secret))
        client.post(receiver.url, content=b"not json")
        unknown, known, bare = receiver.wait_for(3)
    assert [each.verified for each in (unknown, known, bare)] == [False, True, False]
    assert (known.id, known.type, known.path) == ("msg_1", "claim.paid", "/webhooks/more?a=b")
    assert known.timestamp > 1_700_000_000
    assert (bare.id, bare.type, bare.timestamp, bare.body) == ("", "", 0, b"not json")
    assert receiver.accepted == [known]


def test_it_answers_as_told_and_then_with_200() -> None:
    with WebhookReceiver() as receiver, httpx.Client() as client:
        receiver.respond(503, 503, retry_after=7)
        receiver.respond(204)
        answers = [client.post(receiver.url, content=BODY) for _ in range(4)]
    assert [each.status_code for each in answers] == [503, 503, 204, 200]
    assert [each.headers.get("retry-after") for each in answers] == ["7", "7", None, None]
    assert [each.status for each in receiver.received] == [503, 503, 204, 200]


def test_it_waits_before_it_answers() -> None:
    with WebhookReceiver() as receiver:
        receiver.delay = timedelta(seconds=30)
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(receiver.url, content=BODY, timeout=0.2)


def test_waiting_for_what_does_not_come_says_how_many_did() -> None:
    with WebhookReceiver() as receiver:
        httpx.post(receiver.url, content=BODY)
        with pytest.raises(TimeoutError, match="1 of 2"):
            receiver.wait_for(2, timeout=0.05)


def test_a_port_in_use_is_an_error_and_leaves_no_thread() -> None:
    before = threading.active_count()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(OSError), WebhookReceiver(port=taken.getsockname()[1]):
            pass
    assert threading.active_count() <= before + 1


def test_it_survives_peers_that_speak_no_http() -> None:
    with WebhookReceiver() as receiver:
        for garbage in (
            b"\r\n\r\n",
            b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
            b"x" * 70_000,
        ):
            with socket.create_connection(
                ("127.0.0.1", int(receiver.url.split(":")[2][:-9]))
            ) as peer:
                peer.sendall(garbage)
                peer.shutdown(socket.SHUT_WR)
                peer.settimeout(5)
                with contextlib.suppress(ConnectionResetError):
                    assert peer.recv(100).startswith(b"HTTP/1.1 4")
        assert httpx.post(receiver.url, content=BODY).status_code == 200
        assert len(receiver.received) == 1
