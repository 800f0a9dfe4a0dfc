"""Endpoints in trouble over the real flow: slowed, told of once, and disabled after days of failure."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

from claimnotify import Event, Notifier, Recipient, RetrySchedule
from claimnotify.composition import assemble
from claimnotify.model.events import catalogue
from claimnotify.model.notifications import Attempt, Notification
from claimnotify.model.queues import DELIVERIES
from claimnotify.model.states import AttemptOutcome, DeliveryStatus, Reason
from claimnotify.ports import Outcome, Recorded
from claimnotify.settings import Settings
from claimnotify.testing import RecordingDispatcher, SmtpServer, WebhookReceiver
from tests.waiting import until

DAY, HOUR, MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)
SECOND = timedelta(seconds=1)
DAILY = {"webhook": RetrySchedule.of(*[DAY] * 30, jitter=0)}
NO_RETRY = {"webhook": RetrySchedule.of()}


class Paid(Event, type="failing.paid", channels=("webhook",)):
    claim: str = "CLM-1"


catalogue.remove(Paid)

MAIL = {"smtp_host": "127.0.0.1", "smtp_security": "none", "smtp_from_email": "us@example.com"}
Make = Callable[..., Notifier]


@pytest.fixture
def make(database_url: str) -> Iterator[Make]:
    made: list[Notifier] = []

    def make(*, secret_keys: str = "k" * 40, **options: Any) -> Notifier:
        own = {name: options.pop(name) for name in ("retry", "recipient_for") if name in options}
        settings = Settings.load(
            database_url=database_url,
            secret_keys=secret_keys,
            webhook_allow_networks="127.0.0.0/8",
            webhook_allow_http=True,
            **options,
        )
        parts = assemble(settings, dispatcher=RecordingDispatcher(), **own)
        parts.store.upgrade()
        made.append(Notifier(parts, tenant="default", events=[Paid]))
        return made[-1]

    yield make
    for notifier in made:
        notifier.close()


@pytest.fixture
def receiver() -> Iterator[WebhookReceiver]:
    with WebhookReceiver() as receiver:
        yield receiver


def advance(notifier: Notifier, by: timedelta) -> None:
    notifier._parts.store.clock.shift(by)


def register(
    notifier: Notifier, receiver: WebhookReceiver, owner: str = "cus_7", **options: Any
) -> str:
    """Register an endpoint at the receiver, with something secret in its query; return its id."""
    url = f"{receiver.url}?token=hush"
    endpoint, secret = notifier.endpoints.register(url, owner=owner, **options)
    receiver.add_secret(secret)
    return endpoint.id


def publish(notifier: Notifier, count: int = 1) -> list[Notification]:
    return [notifier.publish(Paid(), owner="cus_7") for _ in range(count)]


def states(notifier: Notifier, accepted: list[Notification]) -> list[tuple[str, str]]:
    found = []
    for each in accepted:
        (note,) = notifier.history(notification_id=each.id)
        found += [(str(d.status), str(d.reason)) for d in note.deliveries]
    return found


def told(notifier: Notifier, recipient: str = "cus_7") -> list[str]:
    """Return the types of what a recipient was told of endpoints, in order."""
    found = notifier.history(recipient=recipient, limit=1000)
    return [n.event_type for n in reversed(found) if n.event_type.startswith("endpoint.")]


def recover(receiver: WebhookReceiver) -> None:
    """Let it answer 200 from now on."""
    receiver._answers.clear()


def fail_for(notifier: Notifier, receiver: WebhookReceiver, days: int, status: int = 500) -> None:
    """Let a day pass again and again, on each of which something is published and fails."""
    for _ in range(days):
        receiver.respond(*[status] * 50)
        publish(notifier)
        notifier.drain()
        advance(notifier, DAY)


def test_nothing_but_failure_for_days_disables_one_endpoint_of_three(
    make: Make, receiver: WebhookReceiver
) -> None:
    notifier = make(retry=DAILY)
    with WebhookReceiver() as well, WebhookReceiver() as fine:
        bad, good, better = (register(notifier, each) for each in (receiver, well, fine))
        fail_for(notifier, receiver, days=5)
        assert notifier.endpoints.get(bad).enabled
        assert told(notifier) == ["endpoint.failing"]
        fail_for(notifier, receiver, days=1)
        found = notifier.endpoints.get(bad)
        assert (found.enabled, found.disabled_reason) == (False, "failing")
        assert told(notifier) == ["endpoint.failing", "endpoint.disabled"]
        assert all(notifier.endpoints.get(each).enabled for each in (good, better))
        assert [each.status for each in (*well.received, *fine.received)] == [200] * 12
        notes = [n for n in notifier.history(limit=100) if n.event_type == "failing.paid"]
        advance(notifier, DAY)
        make().drain()
        ended = [d for n in notes for d in notifier.history(notification_id=n.id)[0].deliveries]
        assert {str(d.reason) for d in ended if d.endpoint_id == bad} == {"endpoint_disabled"}
        assert {str(d.status) for d in ended if d.endpoint_id != bad} == {"delivered"}


def test_fail_ok_fail_does_not_disable(make: Make, receiver: WebhookReceiver) -> None:
    notifier = make(retry=DAILY)
    endpoint = register(notifier, receiver)
    for _ in range(2):
        receiver.respond(*[500] * 50)
        for _ in range(4):
            publish(notifier)
            notifier.drain()
            advance(notifier, DAY)
        recover(receiver)
        publish(notifier)
        notifier.drain()
        advance(notifier, MINUTE)
        notifier.drain()
    assert notifier.endpoints.get(endpoint).enabled
    assert "endpoint.disabled" not in told(notifier)


def test_sporadic_failures_do_not_disable(make: Make, receiver: WebhookReceiver) -> None:
    """Each is given up at once, and the next comes a week later."""
    notifier = make(retry=NO_RETRY)
    endpoint = register(notifier, receiver)
    receiver.respond(*[500] * 3)
    for _ in range(3):
        publish(notifier)
        notifier.drain()
        advance(notifier, 7 * DAY)
    assert notifier.endpoints.get(endpoint).enabled
    assert told(notifier) == ["endpoint.failing"] * 3


def test_one_delivery_under_a_long_schedule_of_ones_own_disables(
    make: Make, receiver: WebhookReceiver
) -> None:
    notifier = make(retry={"webhook": RetrySchedule.of(*[2 * DAY] * 5, jitter=0)})
    endpoint = register(notifier, receiver)
    receiver.respond(*[500] * 9)
    publish(notifier)
    for _ in range(4):
        assert notifier.endpoints.get(endpoint).enabled
        notifier.drain()
        advance(notifier, 2 * DAY + HOUR)
    assert notifier.endpoints.get(endpoint).disabled_reason == "failing"


def test_with_zero_days_nothing_is_disabled(make: Make, receiver: WebhookReceiver) -> None:
    notifier = make(retry=DAILY, webhook_disable_after_days=0)
    endpoint = register(notifier, receiver)
    fail_for(notifier, receiver, days=8)
    assert notifier.endpoints.get(endpoint).enabled
    assert told(notifier) == ["endpoint.failing"]


def test_a_key_that_we_lack_disables_no_endpoint(make: Make, receiver: WebhookReceiver) -> None:
    endpoint = register(make(), receiver)
    notifier = make(secret_keys="l" * 40, retry=DAILY)
    fail_for(notifier, receiver, days=7)
    assert receiver.received == []
    assert notifier.endpoints.get(endpoint).enabled
    assert told(notifier) == []


def test_operators_alone_are_told_that_a_key_we_lack_used_up_the_attempts(
    make: Make, receiver: WebhookReceiver
) -> None:
    endpoint = register(make(), receiver)
    notifier = make(secret_keys="l" * 40, retry=NO_RETRY)
    for _ in range(2):
        publish(notifier)
        notifier.drain()
    assert told(notifier) == []
    (note,) = notifier.history(recipient="operations")
    assert (note.event_type, note.subject) == ("endpoint.failing", endpoint)
    assert note.payload["reason"] == "our_fault"
    (item,) = notifier.inbox.list("operations")
    assert "a fault on our side" in item.body


def test_gone_is_told_to_owner_and_operators(make: Make, receiver: WebhookReceiver) -> None:
    notifier = make(operations_email="ops@example.com")
    endpoint = register(notifier, receiver)
    receiver.respond(410)
    publish(notifier)
    notifier.drain()
    found = notifier.endpoints.get(endpoint)
    assert (found.enabled, found.disabled_reason) == (False, "endpoint_gone")
    (mine,) = notifier.history(recipient="cus_7", event_type="endpoint.disabled")
    (theirs,) = notifier.history(recipient="operations")
    assert {d.channel: d.reason for d in mine.deliveries} == {
        "in_app": "confirmed",
        "email": "no_address",
    }
    assert {d.channel for d in theirs.deliveries} == {"in_app", "email", "webhook"}
    for each in (mine, theirs):
        assert each.subject == endpoint
        assert each.payload["reason"] == "endpoint_gone"
        assert each.payload["url"] == receiver.url
        assert "hush" not in each.payload_json
    assert notifier.inbox.unread_count("cus_7") == 1


def test_a_410_of_the_url_that_an_endpoint_had_does_not_disable_it_at_its_new_one(
    make: Make, receiver: WebhookReceiver
) -> None:
    """The URL is changed while the answer is under way."""
    notifier = make()
    endpoint = register(notifier, receiver)
    publish(notifier)
    work = notifier._parts.store.work
    record = work.record
    with WebhookReceiver() as new:

        def moved(outcomes: Sequence[Outcome]) -> Recorded:
            notifier.endpoints.update(endpoint, url=new.url)
            return record(outcomes)

        work.record = moved
        receiver.respond(410)
        notifier.drain()
        work.record = record
        assert [each.status for each in receiver.received] == [410]
        assert notifier.endpoints.get(endpoint).enabled
        assert told(notifier) == []
        new.respond(410)
        publish(notifier)
        make().drain()
        assert not notifier.endpoints.get(endpoint).enabled


def test_429_parks_the_others_until_the_time_it_asked_for(
    make: Make, receiver: WebhookReceiver
) -> None:
    notifier = make()
    register(notifier, receiver)
    receiver.respond(*[429] * 100, retry_after=120)
    accepted = publish(notifier, 40)
    notifier.drain()
    tried = len(receiver.received)
    assert tried <= 8, "those that were under way when the first came back"
    parked = [each for each in states(notifier, accepted) if each[0] == "parked"]
    assert len(parked) == 40 - tried
    advance(notifier, 100 * SECOND)
    notifier.drain()
    assert len(receiver.received) == tried
    recover(receiver)
    for _ in range(3):
        advance(notifier, 5 * MINUTE)
        make().drain()
    assert set(states(notifier, accepted)) == {("delivered", "confirmed")}
    assert [each.status for each in receiver.received].count(200) == 40


@pytest.mark.parametrize(
    ("status", "retry_after", "slows"),
    [(429, None, True), (502, None, True), (504, None, True), (503, 30, True), (503, None, False)],
)
def test_which_answers_slow_an_endpoint(
    make: Make, receiver: WebhookReceiver, status: int, retry_after: int | None, slows: bool
) -> None:
    notifier = make()
    endpoint = register(notifier, receiver)
    receiver.respond(status, retry_after=retry_after)
    publish(notifier)
    notifier.drain()
    work = notifier._parts.store.work
    assert work.trouble("default", endpoint).blocked(notifier._parts.store.clock.now()) == slows
    (later,) = publish(notifier)
    notifier.drain()
    assert states(notifier, [later])[0][0] == ("parked" if slows else "delivered")


def test_it_is_told_once_however_many_workers_record_failures(
    make: Make, receiver: WebhookReceiver
) -> None:
    workers = [make(retry=NO_RETRY, batch_size=5) for _ in range(3)]
    register(workers[0], receiver)
    receiver.respond(*[500] * 200)
    publish(workers[0], 60)
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda each: each.drain(), workers))
    workers[0].drain()
    assert told(workers[0]) == ["endpoint.failing"]
    assert told(workers[0], "operations") == ["endpoint.failing"]
    assert workers[0].inbox.unread_count("cus_7") == 1


def test_a_running_worker_tells_of_what_it_recorded(make: Make, receiver: WebhookReceiver) -> None:
    notifier = make()
    register(notifier, receiver)
    receiver.respond(410)
    publish(notifier)
    worker = notifier.queue_worker(DELIVERIES)
    worker.start()
    until(lambda: notifier.inbox.unread_count("cus_7") == 1, "it is in the owner's inbox")
    worker.stop()
    assert worker.join(10)
    assert told(notifier, "operations") == ["endpoint.disabled"]


def test_what_a_killed_worker_recorded_is_told_once_by_the_next(
    make: Make, receiver: WebhookReceiver
) -> None:
    """The notice is in the database with the outcome; nobody but a later worker knows of it."""
    first = make()
    register(first, receiver)
    publish(first)
    work = first._parts.store.work
    lease = work.lease(DELIVERIES, limit=1, duration=MINUTE)
    assert lease is not None
    delivery = lease.works[0].delivery
    outcome = Outcome(
        delivery_id=delivery.id,
        tenant=delivery.tenant,
        notification_id=delivery.notification_id,
        token=lease.token,
        channel=delivery.channel,
        endpoint_id=delivery.endpoint_id,
        status=DeliveryStatus.FAILED,
        reason=Reason.EXHAUSTED,
        attempt=Attempt(
            number=1,
            started_at=first._parts.store.clock.now(),
            duration=SECOND,
            outcome=AttemptOutcome.TRANSIENT,
        ),
    )
    assert work.record([outcome]).notices
    assert told(first) == []
    for _ in range(2):
        make().drain()
    assert told(first) == ["endpoint.failing"]
    assert told(first, "operations") == ["endpoint.failing"]
    assert first.inbox.unread_count("cus_7") == 1


def test_the_owner_reads_of_it_by_mail_and_in_the_inbox_in_their_language(
    make: Make, receiver: WebhookReceiver
) -> None:
    ana = Recipient(id="ana", email="ana@example.com", name="Ana", locale="de")
    with SmtpServer() as server:
        notifier = make(
            retry=NO_RETRY, recipient_for={"cus_7": ana}.get, smtp_port=server.port, **MAIL
        )
        register(notifier, receiver)
        receiver.respond(500)
        publish(notifier)
        notifier.drain()
        (mail,) = server.wait_for(1)
        assert mail.recipients == ("ana@example.com",)
        assert mail.message["Subject"] == "Ein Webhook-Endpunkt ist gestört"
        text = mail.message.get_body(("plain",)).get_content()
        assert receiver.url in text
        assert b"hush" not in mail.raw
        (item,) = notifier.inbox.list("ana")
        assert item.title == "Ein Webhook-Endpunkt ist gestört"
        assert receiver.url in item.body


def test_operators_get_a_signed_webhook_unless_it_is_their_endpoint_that_fails(
    make: Make, receiver: WebhookReceiver
) -> None:
    notifier = make(retry=NO_RETRY)
    with WebhookReceiver() as operators, WebhookReceiver() as other:
        names = {"owner": "operations", "event_types": ["endpoint.*"]}
        theirs = register(notifier, operators, **names)
        broken = register(notifier, receiver)
        receiver.respond(500)
        publish(notifier)
        notifier.drain()
        (received,) = operators.received
        assert received.verified
        assert received.type == "endpoint.failing"
        data = json.loads(received.body)["data"]
        assert (data["endpoint_id"], data["owner"]) == (broken, "cus_7")
        assert (data["url"], data["reason"]) == (receiver.url, "exhausted")
        # Now the operators' own fails: it is told to another of theirs, and never to itself.
        operators.respond(*[500] * 20)
        register(notifier, other, **names)
        advance(notifier, 2 * DAY)
        receiver.respond(500)
        publish(notifier)
        for _ in range(3):
            notifier.drain()
        assert [json.loads(each.body)["data"]["endpoint_id"] for each in operators.received] == [
            broken,
            broken,
        ]
        assert [json.loads(each.body)["data"]["endpoint_id"] for each in other.received] == [
            broken,
            theirs,
        ]


def test_operators_do_not_wait_for_a_look_up_that_raises_and_the_owner_is_told_in_the_end(
    make: Make, receiver: WebhookReceiver, caplog: pytest.LogCaptureFixture
) -> None:
    asked: list[str] = []

    def recipient_for(owner: str) -> Recipient:
        asked.append(owner)
        raise ConnectionError("password hush")

    notifier = make(retry=NO_RETRY, recipient_for=recipient_for)
    register(notifier, receiver)
    receiver.respond(500)
    publish(notifier)
    with caplog.at_level(logging.ERROR):
        for _ in range(3):
            notifier.drain()
    assert told(notifier, "operations") == ["endpoint.failing"]
    assert told(notifier) == []
    assert len(asked) >= 3
    assert "ConnectionError" in caplog.text
    assert "hush" not in caplog.text
    advance(notifier, HOUR)
    notifier.drain()
    assert told(notifier, "operations") == ["endpoint.failing"]
    assert told(notifier) == ["endpoint.failing"]
    assert notifier.inbox.unread_count("cus_7") == 1
    before = len(asked)
    notifier.drain()
    assert len(asked) == before


def test_a_look_up_is_told_the_tenant(make: Make, receiver: WebhookReceiver) -> None:
    def recipient_for(owner: str, *, tenant: str) -> Recipient:
        return Recipient(id=f"{tenant}-{owner}")

    notifier = make(retry=NO_RETRY, recipient_for=recipient_for)
    acme = notifier.for_tenant("acme")
    endpoint, _ = acme.endpoints.register(receiver.url, owner="cus_7")
    receiver.respond(500)
    acme.publish(Paid(), owner="cus_7")
    notifier.drain()
    assert acme.inbox.unread_count("acme-cus_7") == 1
    assert [n.subject for n in acme.history(recipient="operations")] == [endpoint.id]
    assert notifier.history(recipient="operations") == []
