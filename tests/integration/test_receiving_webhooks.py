"""Each framework's receiver verifies, limits bodies, and has each webhook handled once."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import httpx
import pytest
from fastapi import Depends, FastAPI
from starlette.applications import Starlette
from starlette.routing import Route

from claimnotify.webhooks import generate_secret, public_key, signed_headers
from claimnotify.webhooks.receiving import Intake, MemorySeenIds, ReceivedWebhook, RedisSeenIds
from claimnotify.webhooks.receiving.starlette import webhook_dependency, webhook_endpoint
from tests.receiving_sites import SITES, Site
from tests.waiting import until

PRIVATE = generate_secret(kind="v1a")
SECRETS = [generate_secret(), generate_secret(), PRIVATE]
BODY = b'{"type":"claim.approved","data":{"name":"J\xc3\xb6rg"}}'
LIMIT = 10_000


def headers(body: bytes = BODY, *, id: str = "msg_1", secret: str = SECRETS[0]) -> dict[str, str]:
    signed = signed_headers([secret], id, datetime.now(UTC), body)
    return {**signed, "content-type": "application/json"}


class Handler:
    """What a test's application does with a webhook."""

    def __init__(self) -> None:
        self.got: list[ReceivedWebhook] = []
        self.behave: Callable[[], int | None] = lambda: None

    def __call__(self, webhook: ReceivedWebhook) -> int | None:
        self.got.append(webhook)
        return self.behave()


@pytest.fixture
def handler() -> Handler:
    return Handler()


@pytest.fixture(params=list(SITES))
def site(request: pytest.FixtureRequest, handler: Handler) -> Site:
    known = [*SECRETS[:2], public_key(PRIVATE)]
    return SITES[request.param](Intake(*known, seen=MemorySeenIds(), max_body=LIMIT), handler)


def raising(error: Exception) -> Callable[[], int | None]:
    def behave() -> int | None:
        raise error

    return behave


@pytest.mark.parametrize("secret", SECRETS, ids=["first", "second", "private"])
def test_a_verified_webhook_comes_to_the_handler(site: Site, handler: Handler, secret: str) -> None:
    """Whichever of the receiver's secrets it was signed with."""
    sent = headers(secret=secret)
    assert site.post(BODY, sent) == (204, "")
    (webhook,) = handler.got
    assert (webhook.id, webhook.body, webhook.payload) == ("msg_1", BODY, json.loads(BODY))
    assert webhook.sent_at == datetime.fromtimestamp(int(sent["webhook-timestamp"]), UTC)
    assert "Jörg" not in repr(webhook)


@pytest.mark.parametrize(
    ("body", "sent", "told"),
    [
        # Signed when the test runs: what was signed when it was collected may be too old by then.
        (BODY + b" ", headers, "no signature matches"),
        (BODY, lambda: headers(secret=generate_secret()), "no signature matches"),
        (BODY, lambda: {**headers(), "webhook-timestamp": "1614265330"}, "too old"),
        (BODY, lambda: {"content-type": "application/json"}, "header is missing"),
        (b"\xff", lambda: headers(b"\xff"), ""),
        (b"", lambda: headers(b""), ""),
    ],
    ids=["body", "secret", "old", "missing", "no text", "empty"],
)
def test_what_cannot_be_verified_is_answered_with_400(
    site: Site, handler: Handler, body: bytes, sent: Callable[[], dict[str, str]], told: str
) -> None:
    status, text = site.post(body, sent())
    assert status == 400
    assert told in text
    assert handler.got == []


def test_a_body_over_the_limit_is_answered_with_413(site: Site, handler: Handler) -> None:
    fits = b'"' + b"x" * (LIMIT - 2) + b'"'
    assert site.post(fits, headers(fits))[0] == 204
    over = b'"' + b"x" * (LIMIT - 1) + b'"'
    assert site.post(over, headers(over, id="msg_2"))[0] == 413
    assert [len(webhook.body) for webhook in handler.got] == [LIMIT]


@pytest.mark.parametrize("name", ["fastapi-async", "starlette-async", "flask"])
def test_a_body_without_a_length_is_read_no_further_than_the_limit(
    name: str, handler: Handler
) -> None:
    site = SITES[name](Intake(SECRETS[0], seen=MemorySeenIds(), max_body=LIMIT), handler)
    read = 0

    def endless() -> Any:
        nonlocal read
        for _ in range(1000):
            read += 1000
            yield b"x" * 1000

    assert site.post([BODY[:10], BODY[10:]], headers())[0] == 204
    assert site.post(endless(), headers(id="msg_2"))[0] == 413
    if name != "flask":  # its test client sends what it has read as a whole
        assert read <= LIMIT + 2000
    assert len(handler.got) == 1


def test_what_was_handled_is_answered_with_2xx_and_not_handled_again(
    site: Site, handler: Handler
) -> None:
    """Played back byte by byte, or sent again with a new time."""
    recorded = headers()
    assert site.post(BODY, recorded)[0] == 204
    assert site.post(BODY, recorded)[0] == 200
    again = signed_headers([SECRETS[1]], "msg_1", datetime.now(UTC) + timedelta(seconds=9), BODY)
    assert site.post(BODY, again)[0] == 200
    assert len(handler.got) == 1
    assert site.post(BODY, headers(id="msg_2"))[0] == 204


@pytest.mark.parametrize("behaviour", [raising(RuntimeError("no")), lambda: 503, lambda: 404])
def test_what_failed_is_handled_when_it_comes_again(
    site: Site, handler: Handler, behaviour: Callable[[], int | None]
) -> None:
    handler.behave = behaviour
    for _ in range(2):
        assert site.post(BODY, headers())[0] >= 400
    handler.behave = lambda: None
    assert site.post(BODY, headers())[0] == 204
    assert site.post(BODY, headers())[0] == 200
    assert len(handler.got) == 3


def test_while_one_is_being_handled_its_double_is_answered_with_409(
    site: Site, handler: Handler
) -> None:
    may_end = threading.Event()
    handler.behave = lambda: None if may_end.wait(20) else 500
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(site.post, BODY, headers())
        try:
            until(lambda: handler.got)
            assert site.post(BODY, headers())[0] == 409
        finally:
            may_end.set()
        assert first.result()[0] == 204
    assert site.post(BODY, headers())[0] == 200
    assert len(handler.got) == 1


def test_of_many_that_come_at_once_one_is_handled(site: Site, handler: Handler) -> None:
    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(lambda _: site.post(BODY, headers())[0], range(24)))
    assert statuses.count(204) == 1
    assert set(statuses) <= {200, 204, 409}
    assert len(handler.got) == 1


@pytest.mark.parametrize("name", list(SITES))
def test_sites_that_share_a_redis_handle_a_webhook_once(
    name: str, redis_url: str, handler: Handler
) -> None:
    import redis

    with redis.Redis.from_url(redis_url) as client:
        one, other = (
            SITES[name](Intake(SECRETS[0], seen=RedisSeenIds(client)), handler) for _ in range(2)
        )
        handler.behave = raising(RuntimeError("no"))
        assert one.post(BODY, headers())[0] == 500
        handler.behave = lambda: None
        assert other.post(BODY, headers())[0] == 204
        assert one.post(BODY, headers())[0] == 200
    assert len(handler.got) == 2


@pytest.mark.parametrize("framework", ["fastapi", "starlette"])
async def test_a_request_that_is_cancelled_leaves_its_id_free(framework: str) -> None:
    entered = asyncio.Event()
    ended: list[str] = []

    async def receive(webhook: ReceivedWebhook) -> None:
        if not entered.is_set():
            entered.set()
            await asyncio.Event().wait()
        ended.append(webhook.id)

    intake = Intake(SECRETS[0], seen=MemorySeenIds())
    if framework == "fastapi":
        app: Any = FastAPI()
        annotated = Annotated[ReceivedWebhook, Depends(webhook_dependency(intake))]
        receive.__annotations__ = {"webhook": annotated, "return": None}
        app.post("/webhooks", status_code=204)(receive)
    else:
        app = Starlette(
            routes=[Route("/webhooks", webhook_endpoint(intake, receive), methods=["POST"])]
        )
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://site.test") as client:
        first = asyncio.create_task(client.post("/webhooks", content=BODY, headers=headers()))
        await asyncio.wait_for(entered.wait(), 20)
        assert (await client.post("/webhooks", content=BODY, headers=headers())).status_code == 409
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        assert (await client.post("/webhooks", content=BODY, headers=headers())).status_code == 204
    assert ended == ["msg_1"]
