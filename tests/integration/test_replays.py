"""Replays end to end: a real receiver that fails and is repaired, sessions, e-mails, an endpoint that came late."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from claimnotify import Event, Notifier, Recipient, RetrySchedule
from claimnotify.errors import InvalidInput, NotFound
from claimnotify.model.events import catalogue
from claimnotify.model.notifications import Notification
from claimnotify.model.replays import Recovery
from claimnotify.testing import RecordingDispatcher, WebhookReceiver, fake_notifier

KEY = "a-key-for-replays-of-thirty-two-characters"
ANA = Recipient(id="cus_7", email="ana@example.com", locale="de")
MINUTE = timedelta(minutes=1)


class BagLost(Event, type="replays.bag_lost", channels=("webhook",)):
    bag: str


class BagMailed(Event, type="replays.bag_mailed", channels=("email", "in_app")):
    bag: str


for each in (BagLost, BagMailed):
    catalogue.remove(each)


@pytest.fixture
def rings() -> RecordingDispatcher:
    return RecordingDispatcher()


@pytest.fixture
def notifier(database_url: str, rings: RecordingDispatcher) -> Iterator[Notifier]:
    """A notifier that gives a webhook up after its second try."""
    with Notifier.from_settings(
        database_url=database_url,
        secret_keys=KEY,
        dispatcher=rings,
        retry={"webhook": RetrySchedule.of(MINUTE, jitter=0.0)},
        webhook_allow_networks="127.0.0.0/8",
        webhook_allow_http=True,
    ) as notifier:
        notifier.upgrade()
        yield notifier


@pytest.fixture
def receiver() -> Iterator[WebhookReceiver]:
    with WebhookReceiver() as receiver:
        yield receiver


@pytest.fixture
def register(notifier: Notifier, receiver: WebhookReceiver) -> Callable[..., str]:
    """Registers an endpoint at the receiver, which can verify what comes, and returns its id."""

    def register(**options: Any) -> str:
        endpoint, secret = notifier.endpoints.register(
            receiver.url, **{"owner": "cus_7", **options}
        )
        receiver.add_secret(secret)
        return endpoint.id

    return register


def publish(notifier: Notifier, count: int) -> list[str]:
    return [notifier.publish(BagLost(bag=f"é{n}"), owner="cus_7").id for n in range(count)]


def exhaust(notifier: Notifier) -> None:
    """Have every delivery that is due tried until it is given up."""
    notifier.drain()
    notifier._parts.store.clock.shift(2 * MINUTE)
    notifier.drain()


def bags(notifier: Notifier) -> Sequence[Notification]:
    """What was told of bags, newest first, and not of the endpoint that failed meanwhile."""
    return notifier.history(event_type="replays.bag_lost")


def states(notifier: Notifier) -> list[list[str]]:
    """The states of the deliveries of each notification, oldest first."""
    return [[d.status for d in n.deliveries] for n in reversed(bags(notifier))]


def test_what_failed_arrives_unchanged_when_its_receiver_is_repaired(
    notifier: Notifier, receiver: WebhookReceiver, register: Callable[..., str]
) -> None:
    endpoint_id = register()
    started = datetime.now(UTC) - MINUTE
    ids = publish(notifier, 3)
    receiver.respond(*[500] * 6)
    exhaust(notifier)
    assert states(notifier) == [["failed"]] * 3
    failed = receiver.received
    assert len(failed) == 6
    assert not receiver.accepted
    assert notifier.endpoints.recover(endpoint_id, since=started) == Recovery(
        replayed=3, more=False
    )
    assert notifier.drain() == {"delivered": 3}
    arrived = receiver.accepted
    assert {each.id for each in arrived} == set(ids)
    assert {(each.id, each.body) for each in arrived} == {(each.id, each.body) for each in failed}
    assert states(notifier) == [["failed", "delivered"]] * 3
    assert notifier.endpoints.recover(endpoint_id, since=started).replayed == 0
    log = notifier.endpoints.attempts(endpoint_id)
    assert [each.attempt.status_code for each in log] == [200] * 3 + [500] * 6
    assert [each.replay_of is None for each in log] == [False] * 3 + [True] * 6
    assert len(notifier.endpoints.attempts(endpoint_id, status="failed")) == 6  # type: ignore[arg-type]


def test_one_delivery_is_sent_again_and_again(
    notifier: Notifier, receiver: WebhookReceiver, register: Callable[..., str]
) -> None:
    """Also one that arrived: the receiver sees the same id and body three times."""
    register()
    publish(notifier, 1)
    notifier.drain()
    first = bags(notifier)[0].deliveries[0]
    for _ in range(2):
        made = notifier.replay(first.id)
        assert notifier.replay(first.id) == made
        notifier.drain()
    assert len({(each.id, each.body) for each in receiver.accepted}) == 1
    assert len(receiver.accepted) == 3
    found = notifier.delivery(made.id)
    assert (found.status, found.replay_of) == ("delivered", bags(notifier)[0].deliveries[1].id)
    assert len(found.history) == 1
    with pytest.raises(NotFound, match="delivery_id"):
        notifier.delivery("nope")
    with pytest.raises(NotFound):
        notifier.for_tenant("acme").delivery(made.id)


def test_an_endpoint_registered_later_gets_what_was_published_before(
    notifier: Notifier, receiver: WebhookReceiver, register: Callable[..., str]
) -> None:
    started = datetime.now(UTC) - MINUTE
    before = publish(notifier, 2)
    assert states(notifier) == [["skipped"]] * 2
    endpoint_id = register(event_types=["replays.*"])
    after = publish(notifier, 1)
    notifier.drain()
    assert [each.id for each in receiver.accepted] == after
    found = notifier.endpoints.replay_missing(endpoint_id, since=started)
    assert found == Recovery(replayed=2, more=False)
    notifier.drain()
    assert sorted(each.id for each in receiver.accepted) == sorted([*before, *after])
    assert notifier.endpoints.replay_missing(endpoint_id, since=started).replayed == 0


def test_pings_and_examples_for_one_endpoint_are_not_missing_at_another(
    notifier: Notifier, receiver: WebhookReceiver, register: Callable[..., str]
) -> None:
    started = datetime.now(UTC) - MINUTE
    first = register()
    sent = [notifier.endpoints.ping(first), notifier.endpoints.ping(first)]
    notifier.drain()
    assert {each.to_endpoint for each in sent} == {first}
    late = register(event_types=["*", "endpoint.*"])
    for each in (first, late):
        assert notifier.endpoints.replay_missing(each, since=started).replayed == 0
    notifier.endpoints.disable(first)
    notifier.endpoints.enable(first)
    assert notifier.endpoints.replay_missing(first, since=started).replayed == 0
    assert [each.id for each in receiver.accepted] == [each.id for each in sent]


def test_an_endpoint_that_was_disabled_gets_what_it_missed(
    notifier: Notifier, receiver: WebhookReceiver, register: Callable[..., str]
) -> None:
    started = datetime.now(UTC) - MINUTE
    endpoint_id = register()
    ids = publish(notifier, 1)  # accepted for it, skipped when it is to be sent
    notifier.endpoints.disable(endpoint_id)
    ids += publish(notifier, 1)  # not even accepted for it
    notifier.drain()
    assert [d.reason for n in bags(notifier) for d in n.deliveries] == [
        "no_endpoint",
        "endpoint_disabled",
    ]
    for call in (notifier.endpoints.recover, notifier.endpoints.replay_missing):
        with pytest.raises(InvalidInput, match="Enable it first"):
            call(endpoint_id, since=started)
    notifier.endpoints.enable(endpoint_id)
    assert notifier.endpoints.replay_missing(endpoint_id, since=started).replayed == 2
    notifier.drain()
    assert sorted(each.id for each in receiver.accepted) == sorted(ids)


def test_a_session_decides_whether_it_is_sent_again(
    notifier: Notifier,
    database_url: str,
    rings: RecordingDispatcher,
    receiver: WebhookReceiver,
    register: Callable[..., str],
) -> None:
    register()
    publish(notifier, 1)
    notifier.drain()
    (note,) = bags(notifier)
    rings.rings.clear()
    engine = create_engine(database_url)
    with Session(engine) as session:
        notifier.replay(note.deliveries[0].id, session=session)
        notifier.expunge(note.id, session=session)
        session.rollback()
        assert bags(notifier) == [note]
        assert not rings.rings
        made = notifier.replay(note.deliveries[0].id, session=session)
        assert notifier.replay(note.deliveries[0].id, session=session).id == made.id
        assert not rings.rings
        session.commit()
    engine.dispose()
    assert rings.rings == {"notifications": 1}
    assert [d.id for d in bags(notifier)[0].deliveries] == [note.deliveries[0].id, made.id]
    notifier.drain()
    assert len(receiver.accepted) == 2


async def test_the_a_twins_do_the_same_and_take_an_async_session(tmp_path: Any) -> None:
    url = f"sqlite:///{tmp_path / 'twins.db'}"
    with fake_notifier(database_url=url, webhook_allow_http=True) as notifier:
        started = datetime.now(UTC) - MINUTE
        endpoint, _ = await notifier.endpoints.aregister("http://127.0.0.1:9/", owner="cus_7")
        note = await notifier.apublish(BagLost(bag="b"), owner="cus_7")
        await notifier.adrain()
        first = note.deliveries[0].id
        engine = create_async_engine(url.replace("sqlite://", "sqlite+aiosqlite://"))
        async with AsyncSession(engine) as session:
            await notifier.areplay(first, session=session)
            await notifier.aexpunge(note.id, session=session)
            await session.rollback()
            made = await notifier.areplay(first, session=session)
            await session.commit()
        await engine.dispose()
        assert (await notifier.adelivery(made.id)).replay_of == first
        assert (await notifier.endpoints.arecover(endpoint.id, since=started)).replayed == 0
        assert (await notifier.endpoints.areplay_missing(endpoint.id, since=started)).replayed == 0
        assert len(await notifier.endpoints.aattempts(endpoint.id)) == 1
        await notifier.aexpunge(note.id)
        assert (await notifier.adelivery(made.id)).reason == "expunged"


def test_an_email_is_repeated_as_it_was_sent(tmp_path: Any) -> None:
    """Even if its template has another text by now: what was rendered is sent, not rendered anew."""
    with fake_notifier(
        database_url=f"sqlite:///{tmp_path / 'mail.db'}",
        smtp_host="mail.example.com",
        smtp_from_email="claims@example.com",
    ) as notifier:
        note = notifier.notify(BagMailed(bag="red"), to=ANA)
        notifier.drain()
        (first,) = notifier.outbox
        with notifier._parts.store._engine.begin() as connection:
            connection.execute(
                text("UPDATE claimnotify_notifications SET payload = '{\"bag\": 1}'")
            )
        for delivery in note.deliveries:
            notifier.replay(delivery.id)
        notifier.drain()
        again = notifier.outbox[1]
        assert again.message == first.message
        assert again.address == "ana@example.com"
        assert notifier.inbox.unread_count("cus_7") == 2


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"since": "yesterday"}, "since"),
        ({"since": None}, "since"),
        ({"since": datetime(2026, 1, 1)}, "since"),  # naive on purpose
        ({"until": datetime(2026, 1, 1)}, "until"),
        ({"until": MINUTE}, "until"),
        ({"until": datetime(2026, 1, 1, tzinfo=UTC)}, "until"),
        ({"limit": 0}, "limit"),
        ({"limit": True}, "limit"),
        ({"limit": 1_000_001}, "limit"),
        ({"endpoint_id": ""}, "endpoint_id"),
    ],
)
@pytest.mark.parametrize("name", ["recover", "replay_missing"])
def test_a_bad_argument_of_a_recovery_is_named(
    tmp_path: Any, name: str, change: dict[str, Any], field: str
) -> None:
    given = {"endpoint_id": "e" * 32, "since": datetime(2026, 1, 1, tzinfo=UTC), **change}
    with (
        fake_notifier(database_url=f"sqlite:///{tmp_path / 'bad.db'}") as notifier,
        pytest.raises(InvalidInput, match=f"^{field}: "),
    ):
        getattr(notifier.endpoints, name)(**given)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"status": "lost"}, "status"),
        ({"succeeded": 1}, "succeeded"),
        ({"limit": 1001}, "limit"),
        ({"before": 5}, "before"),
        ({"event_type": ""}, "event_type"),
    ],
)
def test_a_bad_argument_of_the_log_is_named(
    tmp_path: Any, change: dict[str, Any], field: str
) -> None:
    with (
        fake_notifier(database_url=f"sqlite:///{tmp_path / 'bad.db'}") as notifier,
        pytest.raises(InvalidInput, match=f"^{field}: "),
    ):
        notifier.endpoints.attempts("e" * 32, **change)
