"""What senders of webhooks are asked for most, each over a real socket through the public face."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from claimnotify import Event, Notifier, RetrySchedule
from claimnotify.model.notifications import Delivery
from claimnotify.testing import RecordingDispatcher, WebhookReceiver
from claimnotify.testing.raw_server import RawServer, answering, read_request
from claimnotify.webhooks import Webhook

SECOND, HOUR, DAY = timedelta(seconds=1), timedelta(hours=1), timedelta(days=1)
ENGINES = ("aiohttp", "httpx", "httpx-aiohttp")
_ROOT = Path(__file__).parents[2]


class Moved(Event, type="behaviours.moved", channels=("webhook",)):
    number: int = 1


@pytest.fixture
def receiver() -> Iterator[WebhookReceiver]:
    with WebhookReceiver() as receiver:
        yield receiver


@pytest.fixture
def make(sqlite_url: str) -> Iterator[Callable[..., Notifier]]:
    made: list[Notifier] = []

    def make(**options: Any) -> Notifier:
        settings: dict[str, Any] = {
            "database_url": sqlite_url,
            "dispatcher": RecordingDispatcher(),
            "secret_keys": "k" * 40,
            "webhook_allow_networks": ["127.0.0.0/8"],
            "webhook_allow_http": True,
            "retry": {"webhook": RetrySchedule.of(SECOND, SECOND, jitter=0)},
        }
        notifier = Notifier.from_settings(**{**settings, **options})
        made.append(notifier)
        return notifier

    yield make
    for notifier in made:
        notifier.close()


def advance(notifier: Notifier, by: timedelta) -> None:
    notifier._parts.store.clock.shift(by)  # type: ignore[attr-defined]


def deliveries_of(notifier: Notifier, notification_id: str) -> list[Delivery]:
    (found,) = notifier.history(notification_id=notification_id)
    return list(found.deliveries)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_schedule_of_two_and_a_refusing_receiver_give_three_attempts(
    make: Callable[..., Notifier], receiver: WebhookReceiver, engine: str
) -> None:
    notifier = make(http_engine=engine)
    _, secret = notifier.endpoints.register(receiver.url, owner="cus_7")
    receiver.add_secret(secret)
    receiver.respond(*[500] * 10)
    sent = notifier.publish(Moved(), owner="cus_7")
    for _ in range(5):
        notifier.drain()
        advance(notifier, SECOND * 2)
    (delivery,) = deliveries_of(notifier, sent.id)
    assert (str(delivery.status), delivery.reason) == ("failed", "exhausted")
    assert [each.status_code for each in delivery.history] == [500, 500, 500]
    first, second, third = receiver.received
    assert first.body == second.body == third.body, "the same on every attempt"
    assert {each.id for each in receiver.received} == {sent.id}
    assert first.timestamp < second.timestamp < third.timestamp, "each attempt has its own"
    assert all(each.verified for each in receiver.received)


@pytest.mark.parametrize("engine", ENGINES)
async def test_a_308_is_recorded_and_its_target_never_visited(
    make: Callable[..., Notifier], engine: str
) -> None:
    async with RawServer(answering(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")) as target:
        location = f"http://127.0.0.1:{target.port}/elsewhere"
        answer = f"HTTP/1.1 308 Moved\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n"
        requests: list[tuple[bytes, bytes]] = []
        async with RawServer(answering(answer.encode(), requests)) as server:
            notifier = make(http_engine=engine)
            await notifier.endpoints.aregister(f"http://127.0.0.1:{server.port}/", owner="cus_7")
            sent = await notifier.apublish(Moved(), owner="cus_7")
            await notifier.adrain()
            (delivery,) = deliveries_of(notifier, sent.id)
            assert (str(delivery.status), delivery.reason) == ("failed", "redirect")
            (attempt,) = delivery.history
            assert (attempt.status_code, attempt.response_headers["location"]) == (308, location)
            assert (len(requests), target.connections) == (1, 0)


def test_one_failing_endpoint_of_three_leaves_the_others_alone(
    make: Callable[..., Notifier], receiver: WebhookReceiver
) -> None:
    with WebhookReceiver() as failing, WebhookReceiver() as third:
        notifier = make()
        for each in (receiver, failing, third):
            _, secret = notifier.endpoints.register(each.url, owner="cus_7")
            each.add_secret(secret)
        failing.respond(*[500] * 1000)
        sent = [notifier.publish(Moved(number=n), owner="cus_7").id for n in range(100)]
        notifier.drain()
        for each in (receiver, third):
            assert sorted(got.id for got in each.accepted) == sorted(sent)
        by_state: dict[str, int] = {}
        for note in notifier.history(limit=100):
            for delivery in note.deliveries:
                state = f"{delivery.address == failing.url} {delivery.status}"
                by_state[state] = by_state.get(state, 0) + 1
        assert by_state.pop("False delivered") == 200
        assert by_state.keys() <= {"True pending", "True parked"}


def test_a_duplicate_idempotency_key_sends_once(
    make: Callable[..., Notifier], receiver: WebhookReceiver
) -> None:
    notifier = make()
    notifier.endpoints.register(receiver.url, owner="cus_7")
    first = notifier.publish(Moved(), owner="cus_7", idempotency_key="moved-1")
    notifier.drain()
    again = notifier.publish(Moved(), owner="cus_7", idempotency_key="moved-1")
    notifier.drain()
    assert (again.id, again.replayed, len(receiver.received)) == (first.id, True, 1)


def test_rotated_twice_all_three_keys_verify(
    make: Callable[..., Notifier], receiver: WebhookReceiver
) -> None:
    notifier = make()
    endpoint, first = notifier.endpoints.register(receiver.url, owner="cus_7")
    secrets = [first, *(notifier.endpoints.rotate(endpoint.id) for _ in range(2))]
    notifier.publish(Moved(), owner="cus_7")
    notifier.drain()
    (got,) = receiver.received
    for secret in secrets:
        assert Webhook(secret).verify(got.body, got.headers)["type"] == "behaviours.moved"


def test_hmac_to_ed25519_to_hmac_gives_one_v1a_and_two_v1(
    make: Callable[..., Notifier], receiver: WebhookReceiver
) -> None:
    notifier = make()
    endpoint, first = notifier.endpoints.register(receiver.url, owner="cus_7")
    public = notifier.endpoints.rotate(endpoint.id, key="v1a")
    last = notifier.endpoints.rotate(endpoint.id, key="v1")
    notifier.publish(Moved(), owner="cus_7")
    notifier.drain()
    (got,) = receiver.received
    versions = [each[: each.index(",")] for each in got.headers["webhook-signature"].split(" ")]
    assert sorted(versions) == ["v1", "v1", "v1a"]
    for secret in (first, public, last):
        assert Webhook(secret).verify(got.body, got.headers)["type"] == "behaviours.moved"


def fail_for_days(
    notifier: Notifier, receiver: WebhookReceiver, statuses: list[int], every: timedelta
) -> None:
    """Publish one event after the other, each answered with the next status."""
    for number, status in enumerate(statuses):
        receiver.respond(status)
        notifier.publish(Moved(number=number), owner="cus_7")
        notifier.drain()
        advance(notifier, every)


@pytest.mark.parametrize(
    ("statuses", "every", "enabled"),
    [
        ([500] * 12, 12 * HOUR, False),
        ([500] * 6 + [200] + [500] * 6, 12 * HOUR, True),
        ([500] * 4, 2 * DAY, True),
    ],
    ids=["across the window", "fail-ok-fail", "sporadic"],
)
def test_nothing_but_failure_for_five_days_disables(
    make: Callable[..., Notifier],
    receiver: WebhookReceiver,
    statuses: list[int],
    every: timedelta,
    enabled: bool,
) -> None:
    notifier = make(retry={"webhook": RetrySchedule.of()})
    endpoint, _ = notifier.endpoints.register(receiver.url, owner="cus_7")
    fail_for_days(notifier, receiver, statuses, every)
    found = notifier.endpoints.get(endpoint.id)
    assert (found.enabled, found.disabled_reason) == (enabled, "" if enabled else "failing")
    told = [each.event_type for each in notifier.history(recipient="cus_7")]
    assert ("endpoint.disabled" in told) is not enabled


def test_recover_since_sends_again_what_failed_from_then_on(
    make: Callable[..., Notifier], receiver: WebhookReceiver
) -> None:
    notifier = make(retry={"webhook": RetrySchedule.of()})
    endpoint, _ = notifier.endpoints.register(receiver.url, owner="cus_7")
    receiver.respond(500, 500)
    before = notifier.publish(Moved(number=1), owner="cus_7")
    notifier.drain()
    advance(notifier, HOUR)
    since = notifier._parts.store.clock.now()
    advance(notifier, HOUR)
    after = notifier.publish(Moved(number=2), owner="cus_7")
    notifier.drain()
    assert notifier.endpoints.recover(endpoint.id, since=since).replayed == 1
    assert notifier.endpoints.recover(endpoint.id, since=since).replayed == 0, "once is enough"
    notifier.drain()
    assert [each.id for each in receiver.received if each.status == 200] == [after.id]
    failed, again = (each for each in receiver.received if each.id == after.id)
    assert failed.body == again.body
    assert [str(each.status) for each in deliveries_of(notifier, before.id)] == ["failed"]
    assert [str(each.status) for each in deliveries_of(notifier, after.id)] == [
        "failed",
        "delivered",
    ]


async def _loris_in_head(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    writer.write(b"HTTP/1.1 200 OK\r\nx-slow: ")
    await _drip(writer)


async def _loris_in_body(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
    await _drip(writer)


async def _drip(writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"a")
        await writer.drain()
        await asyncio.sleep(0.1)


@cache
def _compressed() -> bytes:
    """Return a quarter of a mebibyte that would become 256 MiB."""
    return gzip.compress(bytes(256 * 1024 * 1024), compresslevel=9)


async def _bomb(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    writer.write(
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-encoding: gzip\r\n"
        b"content-length: %d\r\n\r\n" % len(_compressed())
    )
    writer.write(_compressed())
    await writer.drain()


async def _endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"10000\r\n" + bytes(0x10000) + b"\r\n")
        await writer.drain()


@pytest.mark.parametrize("engine", ENGINES)
async def test_slow_loris_and_gzip_bomb_leave_memory_flat_and_others_on_time(
    engine: str, tmp_path: Path
) -> None:
    """The others' webhooks have all arrived before the first of the slow ones' attempts ends."""
    well = answering(b"HTTP/1.1 204 No Content\r\n\r\n")
    peers = [well, well, _loris_in_head, _loris_in_body, _bomb, _endless]
    _compressed()  # now, as it takes seconds and would hold up the servers
    servers = [RawServer(peer) for peer in peers]
    for server in servers:
        await server.__aenter__()
    try:
        urls = [f"http://127.0.0.1:{server.port}/" for server in servers]
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, str(Path(__file__).with_name("deliver_to.py"))),
            *(engine, str(tmp_path / "deliver.db"), *urls),
            env={**os.environ, "PYTHONPATH": str(_ROOT)},
            stdout=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(120):
            output, _ = await process.communicate()
    finally:
        for server in servers:
            await server.__aexit__()
    said = json.loads(output)
    _, well_url, *slow, bomb, endless = urls
    told = said["told"]
    assert told[well_url]["statuses"] == ["delivered"]
    assert told[bomb]["statuses"] == ["delivered"], "what it says after 200 is not our concern"
    assert set(told[bomb]["codes"]) == set(told[endless]["codes"]) == {200}
    assert all(len(told[url]["detail"]) <= 512 for url in (bomb, endless))
    for url in slow:
        assert told[url]["statuses"] != ["delivered"]
        assert max(told[well_url]["ended"]) < min(told[url]["ended"])
    # Each bomb would be 256 MiB; ten would be held at once.
    assert said["grown_kib"] < 32 * 1024
