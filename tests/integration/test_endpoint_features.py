"""What can be chosen for an endpoint, as its receiver sees it over a real socket."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from claimnotify import Event, Notifier, RetrySchedule
from claimnotify.errors import ForbiddenDestination, InvalidInput, NotFound
from claimnotify.model.events import catalogue
from claimnotify.model.notifications import Attempt, Delivery
from claimnotify.testing import WebhookReceiver
from claimnotify.testing.raw_server import RawServer, read_request
from claimnotify.webhooks import Webhook, generate_secret

SECOND, HOUR = timedelta(seconds=1), timedelta(hours=1)
OLD, NEW = "old" * 12, "new" * 12


class Posted(Event, type="feature.posted", channels=("webhook",)):
    number: int = 1


catalogue.remove(Posted)


@pytest.fixture
def receiver() -> Iterator[WebhookReceiver]:
    with WebhookReceiver() as receiver:
        yield receiver


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "features.db"


@pytest.fixture
def make(database: Path) -> Iterator[Callable[..., Notifier]]:
    made: list[Notifier] = []

    def make(**options: Any) -> Notifier:
        settings: dict[str, Any] = {
            "database_url": f"sqlite:///{database}",
            "queue_url": "memory://",
            "secret_keys": OLD,
            "webhook_allow_networks": ["127.0.0.0/8"],
            "webhook_allow_http": True,
            "retry": {"webhook": RetrySchedule.of(SECOND * 5, SECOND * 5, jitter=0)},
        }
        notifier = Notifier.from_settings(**{**settings, **options})
        made.append(notifier)
        return notifier

    yield make
    for notifier in made:
        notifier.close()


@pytest.fixture
def notifier(make: Callable[..., Notifier]) -> Notifier:
    return make()


def publish(notifier: Notifier, count: int = 1, **options: Any) -> list[str]:
    return [
        notifier.publish(Posted(number=n), owner="cus_7", **options).id for n in range(1, count + 1)
    ]


def delivery_of(notifier: Notifier, notification_id: str) -> Delivery:
    (found,) = notifier.history(notification_id=notification_id)
    (delivery,) = found.deliveries
    return delivery


def attempts_of(notifier: Notifier, notification_id: str) -> list[Attempt]:
    return list(delivery_of(notifier, notification_id).history)


def advance(notifier: Notifier, by: timedelta) -> None:
    notifier._parts.store.clock.shift(by)  # type: ignore[attr-defined]


def test_headers_of_its_own_are_sent_and_shown_nowhere(
    notifier: Notifier, receiver: WebhookReceiver, database: Path
) -> None:
    endpoint, secret = notifier.endpoints.register(
        receiver.url, owner="cus_7", headers={"Authorization": "Bearer s3cret", "X-Team": "t3am"}
    )
    receiver.add_secret(secret)
    (id_,) = publish(notifier)
    notifier.drain()
    (got,) = receiver.accepted
    assert (got.headers["authorization"], got.headers["x-team"]) == ("Bearer s3cret", "t3am")
    assert sorted(endpoint.header_names) == ["authorization", "x-team"]
    (attempt,) = attempts_of(notifier, id_)
    assert attempt.request_headers["authorization"] == "[redacted]"
    shown = [
        repr(endpoint),
        repr(attempt),
        repr(notifier.history()),
        repr(notifier.endpoints.list()),
    ]
    notifier.close()
    with sqlite3.connect(database) as connection:
        shown.append("\n".join(connection.iterdump()))
    assert not any(word in text for text in shown for word in ("s3cret", "t3am", secret[6:]))


async def test_what_a_receiver_repeats_of_ours_is_kept_nowhere(
    notifier: Notifier, database: Path
) -> None:
    """Such as a page for debugging that shows the whole request."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head, _ = await read_request(reader)
        shown = head.replace(b"\r\n", b" ")
        body = b"x" * 480 + shown
        writer.write(
            b"HTTP/1.1 401 Unauthorized\r\nx-debug: %b\r\ncontent-length: %d\r\n\r\n%b"
            % (shown, len(body), body)
        )

    async with RawServer(echo) as server:
        await notifier.endpoints.aregister(
            f"http://127.0.0.1:{server.port}/",
            owner="cus_7",
            headers={"Authorization": "Bearer t0psecret-t0psecret-t0psecret"},
        )
        (id_,) = await asyncio.to_thread(publish, notifier)
        await notifier.adrain()
    (attempt,) = attempts_of(notifier, id_)
    assert (attempt.status_code, "x" * 480 in attempt.detail) == (401, True)
    assert "[redacted]" in attempt.response_headers["x-debug"]
    notifier.close()
    with sqlite3.connect(database) as connection:
        dump = "\n".join(connection.iterdump())
    assert "t0psec" not in dump


def test_the_attempt_log_has_what_went_out_and_came_back(
    notifier: Notifier, receiver: WebhookReceiver
) -> None:
    notifier.endpoints.register(receiver.url, owner="cus_7")
    receiver.respond(503, retry_after=7)
    (id_,) = publish(notifier)
    notifier.drain()
    advance(notifier, SECOND * 20)
    notifier.drain()
    failed, well = attempts_of(notifier, id_)
    assert failed.status_code == 503
    assert failed.response_headers["retry-after"] == "7"
    assert (failed.error, failed.duration > timedelta(0)) == ("TransientDeliveryError", True)
    assert well.request_headers["webhook-id"] == id_
    assert well.request_headers["webhook-signature"] == "v1,[redacted]"
    assert well.request_headers["webhook-timestamp"] != failed.request_headers["webhook-timestamp"]
    assert well.response_headers["content-type"].startswith("text/plain")
    assert (well.status_code, well.detail) == (200, "OK")


def test_headers_are_replaced_and_removed(notifier: Notifier, receiver: WebhookReceiver) -> None:
    endpoint, _ = notifier.endpoints.register(receiver.url, owner="cus_7", headers={"X-A": "1"})
    changed = notifier.endpoints.update(endpoint.id, headers={"X-B": "2"})
    assert list(changed.header_names) == ["x-b"]
    publish(notifier)
    notifier.drain()
    notifier.endpoints.update(endpoint.id, headers={})
    advance(notifier, SECOND * 5)  # the endpoints at hand are a second old at most
    publish(notifier)
    notifier._parts.directory._entries.clear()
    notifier.drain()
    first, second = receiver.received
    assert ("x-a" in first.headers, first.headers.get("x-b")) == (False, "2")
    assert "x-b" not in second.headers


def test_an_endpoint_s_timeout_ends_its_attempt(
    notifier: Notifier, receiver: WebhookReceiver
) -> None:
    notifier.endpoints.register(receiver.url, owner="cus_7", timeout=SECOND)
    receiver.delay = timedelta(seconds=4)
    (id_,) = publish(notifier)
    notifier.drain()
    (attempt,) = attempts_of(notifier, id_)
    assert attempt.duration < timedelta(seconds=3)
    assert "no response in 1 s" in attempt.detail
    with pytest.raises(InvalidInput, match="timeout"):
        notifier.endpoints.register(receiver.url, owner="cus_7", timeout=timedelta(seconds=16))


@pytest.mark.parametrize(("ordering", "seen"), [("fifo", [1, 2, 3, 1]), ("strict", [1, 1, 2, 3])])
def test_an_ordered_endpoint_gets_one_after_the_other(
    notifier: Notifier, receiver: WebhookReceiver, ordering: Any, seen: list[int]
) -> None:
    notifier.endpoints.register(receiver.url, owner="cus_7", ordering=ordering)
    receiver.respond(500)
    publish(notifier, 3)
    notifier.drain()
    advance(notifier, SECOND * 30)
    notifier.drain()
    assert [json.loads(each.body)["data"]["number"] for each in receiver.received] == seen


def test_the_order_of_an_endpoint_comprises_that_of_keys(
    notifier: Notifier, receiver: WebhookReceiver
) -> None:
    notifier.endpoints.register(receiver.url, owner="cus_7", ordering="strict")
    receiver.respond(500)
    publish(notifier, 1, ordering_key="a")
    notifier.publish(Posted(number=2), owner="cus_7", ordering_key="b")
    notifier.publish(Posted(number=3), owner="cus_7", idempotency_key="k")
    notifier.drain()
    assert len(receiver.received) == 1
    advance(notifier, SECOND * 30)
    notifier.drain()
    numbers = [json.loads(each.body)["data"]["number"] for each in receiver.received]
    assert numbers == [1, 1, 2, 3]


@pytest.mark.parametrize("ordering", ["fifo", "strict"])
def test_a_ping_takes_no_turn_and_holds_none_up(
    notifier: Notifier, receiver: WebhookReceiver, ordering: Any
) -> None:
    endpoint, _ = notifier.endpoints.register(receiver.url, owner="cus_7", ordering=ordering)
    receiver.respond(500)
    (first,) = publish(notifier)
    notifier.drain()
    assert delivery_of(notifier, first).reason == "retry"
    receiver.respond(500)
    pinged = notifier.endpoints.ping(endpoint.id)
    notifier.drain()
    assert delivery_of(notifier, pinged.id).reason == "retry", "it was sent, though not the next"
    advance(notifier, SECOND * 30)
    notifier.drain()
    assert {str(delivery_of(notifier, each).status) for each in (first, pinged.id)} == {"delivered"}


def test_tags_choose_among_endpoints(notifier: Notifier, receiver: WebhookReceiver) -> None:
    url = receiver.url
    for tags in (["eu"], ["us"], []):
        notifier.endpoints.register(f"{url}/{'-'.join(tags)}", owner="cus_7", tags=tags)
    (id_,) = publish(notifier, tags=["eu", "vip"])
    notifier.drain()
    assert sorted(each.path for each in receiver.received) == ["/webhooks/", "/webhooks/eu"]
    (found,) = notifier.history(notification_id=id_)
    assert found.tags == ("eu", "vip")
    with pytest.raises(InvalidInput, match="tags"):
        publish(notifier, tags="eu")
    assert len(notifier.history()) == 1


def test_update_changes_what_is_given_and_where_waiting_deliveries_go(
    notifier: Notifier, receiver: WebhookReceiver
) -> None:
    endpoint, secret = notifier.endpoints.register(
        f"{receiver.url}/old", owner="cus_7", description="d", metadata={"a": "b"}
    )
    receiver.add_secret(secret)
    receiver.respond(500)
    publish(notifier)
    notifier.drain()
    changed = notifier.endpoints.update(endpoint.id, url=f"{receiver.url}/new", description="e")
    assert (changed.description, changed.metadata) == ("e", {"a": "b"})
    assert changed.updated_at is not None
    assert changed == notifier.endpoints.get(endpoint.id)
    assert notifier.endpoints.update(endpoint.id) == changed, "nothing given, nothing changed"
    notifier._parts.directory._entries.clear()
    advance(notifier, SECOND * 20)
    notifier.drain()
    assert [each.path for each in receiver.received] == ["/webhooks/old", "/webhooks/new"]
    assert [each.verified for each in receiver.received] == [True, True]


def test_a_change_that_is_refused_changes_nothing(
    notifier: Notifier, receiver: WebhookReceiver
) -> None:
    endpoint, _ = notifier.endpoints.register(receiver.url, owner="cus_7")
    with pytest.raises(ForbiddenDestination):
        notifier.endpoints.update(endpoint.id, url="https://10.0.0.1/", description="new")
    with pytest.raises(InvalidInput, match="tags"):
        notifier.endpoints.update(endpoint.id, description="new", tags=[""])
    assert notifier.endpoints.get(endpoint.id) == endpoint
    with pytest.raises(NotFound):
        notifier.endpoints.update("0" * 32, description="new")
    with pytest.raises(NotFound):
        notifier.for_tenant("acme").endpoints.update(endpoint.id, description="theirs")


def test_endpoints_are_listed_page_by_page(notifier: Notifier, receiver: WebhookReceiver) -> None:
    ids = [notifier.endpoints.register(receiver.url, owner="cus_7")[0].id for _ in range(5)]
    page = notifier.endpoints.list("cus_7", limit=2)
    assert [each.id for each in page] == ids[:2]
    page = notifier.endpoints.list(limit=4, after=page[-1].id)
    assert [each.id for each in page] == ids[2:]
    for wrong in (0, 1001, "2", True):
        with pytest.raises(InvalidInput, match="limit"):
            notifier.endpoints.list(limit=wrong)  # type: ignore[arg-type]


# keys


def signatures(receiver: WebhookReceiver) -> list[str]:
    header = receiver.received[-1].headers["webhook-signature"]
    return [each.partition(",")[0] for each in header.split(" ")]


def verifies(receiver: WebhookReceiver, secret: str) -> bool:
    got = receiver.received[-1]
    Webhook(secret).verify(got.body, got.headers)
    return True


def test_rotated_twice_all_three_keys_verify(notifier: Notifier, receiver: WebhookReceiver) -> None:
    endpoint, first = notifier.endpoints.register(receiver.url, owner="cus_7")
    second = notifier.endpoints.rotate(endpoint.id)
    third = notifier.endpoints.rotate(endpoint.id)
    publish(notifier)
    notifier.drain()
    assert signatures(receiver) == ["v1", "v1", "v1"]
    assert all(verifies(receiver, secret) for secret in (first, second, third))
    assert [each.expires_at is None for each in notifier.endpoints.keys(endpoint.id)] == [
        True,
        False,
        False,
    ]


def test_from_hmac_to_ed25519_and_back_gives_one_v1a_and_two_v1(
    notifier: Notifier, receiver: WebhookReceiver
) -> None:
    endpoint, first = notifier.endpoints.register(receiver.url, owner="cus_7")
    public = notifier.endpoints.rotate(endpoint.id, key="v1a")
    last = notifier.endpoints.rotate(endpoint.id)
    assert public.startswith("whpk_")
    publish(notifier)
    notifier.drain()
    assert sorted(signatures(receiver)) == ["v1", "v1", "v1a"]
    assert all(verifies(receiver, secret) for secret in (first, public, last))
    kinds = [(each.kind, each.public_key) for each in notifier.endpoints.keys(endpoint.id)]
    assert kinds == [("v1", ""), ("v1a", public), ("v1", "")]


def test_an_endpoint_may_begin_with_ed25519_or_a_secret_of_its_own(
    notifier: Notifier, receiver: WebhookReceiver, database: Path
) -> None:
    _, public = notifier.endpoints.register(receiver.url, owner="cus_7", key="v1a")
    publish(notifier)
    notifier.drain()
    assert (signatures(receiver), verifies(receiver, public)) == (["v1a"], True)
    own = generate_secret()
    _, shown = notifier.endpoints.register(receiver.url, owner="cus_8", secret=own)
    assert shown == own
    private = generate_secret(kind="v1a")
    endpoint, shown = notifier.endpoints.register(
        receiver.url, owner="cus_8", secret=private, key="v1a"
    )
    assert shown == notifier.endpoints.keys(endpoint.id)[0].public_key
    notifier.close()
    with sqlite3.connect(database) as connection:
        dump = "\n".join(connection.iterdump())
    assert private[5:] not in dump
    assert own[6:] not in dump


@pytest.mark.parametrize(
    ("secret", "key"),
    [
        ("", "v1"),
        ("whsec_", "v1"),
        ("whsec_c2hvcnQ=", "v1"),
        ("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "v1"),
        ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "v1a"),
        ("whsk_AAAA", "v1a"),
        (7, "v1"),
        (None, "v2"),
        (None, None),
    ],
)
def test_a_key_that_cannot_sign_is_refused(
    notifier: Notifier, receiver: WebhookReceiver, secret: Any, key: Any
) -> None:
    with pytest.raises(InvalidInput) as refused:
        notifier.endpoints.register(receiver.url, owner="cus_7", secret=secret, key=key)
    assert "MfKQ9" not in str(refused.value)
    assert list(notifier.endpoints.list()) == []


def test_a_key_is_not_replaced_by_itself(notifier: Notifier, receiver: WebhookReceiver) -> None:
    own = generate_secret()
    endpoint, _ = notifier.endpoints.register(receiver.url, owner="cus_7", secret=own)
    with pytest.raises(InvalidInput, match="signs for the endpoint already"):
        notifier.endpoints.rotate(endpoint.id, secret=own)
    assert len(notifier.endpoints.keys(endpoint.id)) == 1


def test_at_most_ten_keys_are_live(notifier: Notifier, receiver: WebhookReceiver) -> None:
    endpoint, _ = notifier.endpoints.register(receiver.url, owner="cus_7")
    for _ in range(9):
        notifier.endpoints.rotate(endpoint.id)
    with pytest.raises(InvalidInput, match="10 live keys"):
        notifier.endpoints.rotate(endpoint.id)
    assert len(notifier.endpoints.keys(endpoint.id)) == 10
    publish(notifier)
    notifier.drain()
    assert len(signatures(receiver)) == 10
    last = notifier.endpoints.rotate(endpoint.id, grace=timedelta(0))
    notifier._parts.directory._entries.clear()
    publish(notifier)
    notifier.drain()
    assert (len(signatures(receiver)), verifies(receiver, last)) == (1, True)
    advance(notifier, timedelta(hours=25))
    assert len(notifier.endpoints.keys(endpoint.id)) == 1


def test_what_is_encrypted_moves_to_a_new_key(
    make: Callable[..., Notifier], receiver: WebhookReceiver
) -> None:
    before = make()
    _, secret = before.endpoints.register(receiver.url, owner="cus_7", headers={"X-A": "1"})
    before.for_tenant("acme").endpoints.register(receiver.url, owner="cus_7")
    before.close()
    both = make(secret_keys=f"{NEW},{OLD}")
    assert (both.reencrypt().changed, both.reencrypt().changed) == (3, 0)
    both.close()
    after = make(secret_keys=NEW)
    publish(after)
    after.drain()
    assert (verifies(receiver, secret), receiver.received[-1].headers["x-a"]) == (True, "1")
    after.close()
    lost = make(secret_keys=OLD)
    result = lost.reencrypt()
    assert (result.changed, result.unreadable) == (0, 3)


def test_many_are_encrypted_anew_together(make: Callable[..., Notifier]) -> None:
    """A transaction for each would take a server half a minute for ten thousand."""
    before = make()
    for number in range(20):
        before.endpoints.register("http://127.0.0.1/", owner="cus_7", headers={"X-A": str(number)})
    before.close()
    both = make(secret_keys=f"{NEW},{OLD}")
    commits: list[object] = []
    event.listen(both._parts.store._engine, "commit", commits.append)  # type: ignore[attr-defined]
    assert both.reencrypt().changed == 40
    assert len(commits) == 1


def test_after_a_key_was_lost_rotating_makes_an_end_of_what_is_unreadable(
    make: Callable[..., Notifier], receiver: WebhookReceiver
) -> None:
    before = make()
    one, _ = before.endpoints.register(receiver.url, owner="cus_7", headers={"X-A": "1"})
    two, _ = before.for_tenant("acme").endpoints.register(receiver.url, owner="cus_7")
    before.close()
    notifier = make(secret_keys=NEW)
    assert notifier.reencrypt().unreadable == 3
    notifier.endpoints.update(one.id, headers={"X-A": "2"})
    notifier.endpoints.rotate(one.id, grace=timedelta(0))
    assert notifier.reencrypt().unreadable == 1
    theirs = notifier.for_tenant("acme").endpoints
    theirs.rotate(two.id, grace=timedelta(days=1))
    assert notifier.reencrypt().unreadable == 1, "it is still to sign, once the key is found again"
    advance(notifier, timedelta(hours=25))
    assert notifier.reencrypt().unreadable == 0
    assert [len(each.keys(of.id)) for each, of in ((notifier.endpoints, one), (theirs, two))] == [
        1,
        1,
    ]


# trying


def test_a_ping_goes_to_its_endpoint_whatever_that_subscribes_to(
    notifier: Notifier, receiver: WebhookReceiver
) -> None:
    endpoint, secret = notifier.endpoints.register(
        receiver.url, owner="cus_7", event_types=["claim.*"], tags=["eu"]
    )
    notifier.endpoints.register(f"{receiver.url}/other", owner="cus_7", event_types=["endpoint.*"])
    receiver.add_secret(secret)
    sent = notifier.endpoints.ping(endpoint.id)
    assert [each.endpoint_id for each in sent.deliveries] == [endpoint.id]
    notifier.drain()
    (got,) = receiver.accepted
    assert (got.type, got.id, got.path) == ("endpoint.ping", sent.id, "/webhooks")
    notifier.endpoints.disable(endpoint.id)
    with pytest.raises(InvalidInput, match="Enable it first"):
        notifier.endpoints.ping(endpoint.id)
    for unknown in ("0" * 32, "nonsense"):
        with pytest.raises(NotFound):
            notifier.endpoints.ping(unknown)
    with pytest.raises(NotFound):
        notifier.for_tenant("acme").endpoints.ping(endpoint.id)


async def test_the_a_twins_do_the_same(notifier: Notifier, receiver: WebhookReceiver) -> None:
    service = notifier.endpoints
    endpoint, _ = await service.aregister(receiver.url, owner="cus_7", tags=["eu"], key="v1a")
    changed = await service.aupdate(endpoint.id, tags=["us"])
    assert (endpoint.tags, changed.tags) == (("eu",), ("us",))
    assert [each.kind for each in await service.akeys(endpoint.id)] == ["v1a"]
    assert (await service.aping(endpoint.id)).event_type == "endpoint.ping"
    assert (await notifier.areencrypt()).changed == 0
    assert [each.id for each in await service.alist(limit=1)] == [endpoint.id]
