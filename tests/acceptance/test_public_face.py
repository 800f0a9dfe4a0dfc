"""The public face: each line of the contract runs as written and does what it says.

The lines are quoted with their comments. Each runs by itself, over an embedded notifier built from
nothing but the defaults; what a line takes for granted (an event, a session …) is made first.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from claimnotify import Event, Notifier, Recipient
from claimnotify.errors import ForbiddenDestination, NotFound
from claimnotify.model.events import catalogue

SETUP = """
from claimnotify import Event, Notifier, Recipient

class SeatUpgraded(Event, type="seat.upgraded", category="status_updates", channels=("in_app", "email", "webhook")):
    seat: str                                    # an Event is a pydantic model: bad payloads fail at notify(), with no row written

notifier = Notifier.from_settings()              # SQLite file and Huey on SQLite unless configured otherwise
ana = Recipient(id="cus_7", email="ana@example.com", phone="+4915112345678", locale="de", timezone="Europe/Berlin")

result = notifier.notify(SeatUpgraded(seat="12A"), to=ana, idempotency_key="upgrade-12A")
"""  # as written

Names = dict[str, Any]


@pytest.fixture
async def names() -> AsyncIterator[Names]:
    """What the lines take for granted, after the contract's first lines have run."""
    found: Names = {"__name__": "public_face"}
    with pytest.warns(UserWarning, match="a secret key was made in .*; back it up"):
        exec(SETUP, found)  # the contract's own text
    notifier: Notifier = found["notifier"]
    url = notifier.describe()["database"]
    engine = create_engine(url)
    async_engine = create_async_engine(url.replace("sqlite://", "sqlite+aiosqlite://"))
    found |= {
        "event": found["SeatUpgraded"](seat="14C"),
        "event_for": lambda person: found["SeatUpgraded"](seat=person.id),
        "recipients": (Recipient(id=f"r{number:03}") for number in range(250)),
        "session": Session(engine),
        "async_session": AsyncSession(async_engine),
        "timedelta": timedelta,
        "tomorrow_nine": (datetime.now(UTC) + timedelta(days=1)).replace(hour=9, minute=0),
    }
    yield found
    found["session"].close()
    await found["async_session"].close()
    engine.dispose()
    await async_engine.dispose()
    notifier.close()
    catalogue.remove(found["SeatUpgraded"])


async def _run(line: str, names: Names) -> Any:
    """Run one line where `await` is allowed, and return its value if it is an expression."""
    tree = ast.parse(line)
    last = tree.body[-1]
    if isinstance(last, ast.Expr):
        tree.body[-1] = ast.Assign(targets=[ast.Name("_value", ast.Store())], value=last.value)
        ast.fix_missing_locations(tree)
    code = compile(tree, line, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    running = eval(code, names)  # the contract's own text
    if inspect.isawaitable(running):
        await running
    return names.get("_value")


def _states(notification: Any) -> list[tuple[str, str, str]]:
    return [(each.channel, each.status, each.reason) for each in notification.deliveries]


async def test_a_notification_is_accepted_and_tells_of_its_deliveries(names: Names) -> None:
    line = "result.id; [(d.channel, d.status, d.reason) for d in result.deliveries]"
    assert await _run(line, names) == [
        ("in_app", "pending", "queued"),
        ("email", "pending", "queued"),
        ("webhook", "skipped", "no_endpoint"),
    ]
    assert len(names["result"].id) == 32


async def test_the_defaults_are_a_file_with_a_queue_and_a_key_beside_it(names: Names) -> None:
    told = names["notifier"].describe()
    database = Path(told["database"].removeprefix("sqlite:///"))
    assert database.is_absolute()
    assert database.exists()
    assert str(database.with_name("claimnotify-queue.db")) in told["queue"]
    keys = [path for path in database.parent.iterdir() if "key" in path.name]
    assert [path.stat().st_mode & 0o777 for path in keys] == [0o600]


async def test_notify_in_a_session(names: Names) -> None:
    line = "notifier.notify(event, to=ana, session=session)              # SQLAlchemy Session: same transaction, ring after commit"
    found = await _run(line, names)
    assert len(names["notifier"].history()) == 1
    names["session"].commit()
    assert found.id in [each.id for each in names["notifier"].history()]


async def test_anotify_in_an_async_session(names: Names) -> None:
    line = "await notifier.anotify(event, to=ana, session=async_session) # AsyncSession likewise"
    found = await _run(line, names)
    assert len(names["notifier"].history()) == 1
    await names["async_session"].commit()
    assert found.id in [each.id for each in names["notifier"].history()]


@pytest.mark.parametrize(
    "line",
    [
        "notifier.notify(event, to=ana, at=tomorrow_nine)",
        "notifier.notify(event, to=ana, delay=timedelta(hours=9))",
    ],
)
async def test_notify_later(names: Names, line: str) -> None:
    found = await _run(line, names)
    assert _states(found)[:2] == [
        ("in_app", "scheduled", "scheduled"),
        ("email", "scheduled", "scheduled"),
    ]
    if "at=" in line:
        assert found.deliveries[0].due_at == names["tomorrow_nine"]
    names["notifier"].drain()
    assert names["notifier"].inbox.unread_count("cus_7") == 1


async def test_notify_many_takes_any_iterable(names: Names) -> None:
    found = await _run("notifier.notify_many(event_for, to=recipients)", names)
    assert (found.notifications, found.replayed) == (250, 0)
    written = names["notifier"].history(limit=1000, event_type="seat.upgraded")
    assert {each.payload["seat"] for each in written} >= {f"r{n:03}" for n in range(250)}


async def test_publish_goes_to_the_owners_endpoints_and_to_no_person(names: Names) -> None:
    line = 'notifier.publish(event, owner="partner_9")                   # webhooks only, no person'
    assert _states(await _run(line, names)) == [("webhook", "skipped", "no_endpoint")]
    endpoints = names["notifier"].endpoints
    mine, _ = endpoints.register("https://example.com/a", owner="partner_9", event_types=["seat.*"])
    endpoints.register("https://example.com/b", owner="partner_9", event_types=["claim.*"])
    endpoints.register("https://example.com/c", owner="cus_7")
    found = await _run(line, names)
    assert [each.endpoint_id for each in found.deliveries] == [mine.id]
    assert found.recipient is None


async def test_cancel(names: Names) -> None:
    line = "notifier.cancel(result.id)                                   # every write takes session=; every method has an a-twin: acancel, adrain …"
    assert await _run(line, names) == 2
    names["notifier"].drain()
    assert names["notifier"].inbox.list("cus_7") == []
    found = names["notifier"].history(notification_id=names["result"].id)[0]
    assert _states(found)[:2] == [
        ("in_app", "cancelled", "cancelled"),
        ("email", "cancelled", "cancelled"),
    ]


async def test_drain_works_under_a_running_loop(names: Names) -> None:
    """This test runs on a loop; `drain` blocks it and delivers all the same."""
    line = "notifier.drain()                                             # deliver all that is due, in this process; works under a running loop too (one owned loop thread)"
    await _run(line, names)
    found = names["notifier"].history(notification_id=names["result"].id)[0]
    assert _states(found) == [
        ("in_app", "delivered", "confirmed"),
        ("email", "skipped", "channel_not_configured"),
        ("webhook", "skipped", "no_endpoint"),
    ]
    assert [try_.outcome for try_ in found.deliveries[0].history] == ["delivered"]


async def test_for_tenant_and_close(names: Names) -> None:
    line = 'notifier.for_tenant("acme"); notifier.close()                  # also a context manager'
    await _run(line, names)


async def test_history_by_recipient_subject_and_type(names: Names) -> None:
    found = await _run('notifier.history(recipient="cus_7")', names)
    assert [each.id for each in found] == [names["result"].id]
    assert (
        await _run('notifier.history(subject="CLM-2041", event_type="seat.upgraded")', names) == []
    )


async def test_register_an_endpoint(names: Names) -> None:
    line = 'endpoint, secret = notifier.endpoints.register("https://example.com/hook", owner="cus_7", event_types=["claim.*"])'
    await _run(line, names)
    assert names["secret"].startswith("whsec_")
    assert names["secret"] not in repr(names["endpoint"])
    assert names["notifier"].endpoints.get(names["endpoint"].id).event_types == ("claim.*",)


async def test_the_inbox(names: Names) -> None:
    names["notifier"].drain()
    names["ids"] = [item.id for item in names["notifier"].inbox.list("cus_7")]
    line = 'notifier.inbox.list("cus_7"); notifier.inbox.unread_count("cus_7"); notifier.inbox.mark_read("cus_7", ids)'
    assert await _run('notifier.inbox.unread_count("cus_7")', names) == 1
    assert await _run(line, names) == 1
    assert await _run('notifier.inbox.unread_count("cus_7")', names) == 0


async def test_keyword_overrides_are_named_as_the_settings(postgres_url: str) -> None:
    key = "a-key-for-tests-of-thirty-two-characters"
    with Notifier.from_settings(
        database_url=postgres_url, queue_url="redis://127.0.0.1:1/0", secret_keys=key
    ) as notifier:
        notifier.upgrade()
        assert notifier.history() == []
        assert "postgresql" in notifier.describe()["database"]


async def test_webhooks_are_verified_and_signed(names: Names) -> None:
    await _run(
        "from claimnotify.webhooks import Webhook, WebhookVerificationError   # same face as the `standardwebhooks` package",
        names,
    )
    _, secret = names["notifier"].endpoints.register("https://example.com/hook", owner="cus_7")
    names |= {"whsec": secret, "msg_id": "0198c0ffee", "timestamp": datetime.now(UTC)}
    names |= {"body": '{"seat":"12A"}', "body_bytes": b'{"seat":"12A"}'}
    signature = await _run("Webhook(whsec).sign(msg_id, timestamp, body)", names)
    names["headers"] = {
        "webhook-id": "0198c0ffee",
        "webhook-timestamp": str(int(names["timestamp"].timestamp())),
        "webhook-signature": signature,
    }
    assert await _run("Webhook(whsec).verify(body_bytes, headers)", names) == {"seat": "12A"}
    with pytest.raises(names["WebhookVerificationError"]):
        await _run("Webhook(whsec).verify(body_bytes + b' ', headers)", names)


async def test_the_egress_policy_is_open_to_receivers_of_urls(names: Names) -> None:
    await _run("from claimnotify.webhooks import EgressPolicy, ForbiddenDestination", names)
    assert names["ForbiddenDestination"] is ForbiddenDestination
    await _run('EgressPolicy().check_url("https://example.com/hook")', names)
    with pytest.raises(ForbiddenDestination):
        await _run('EgressPolicy().check_address("169.254.169.254")', names)


async def test_the_testing_names_exist(names: Names) -> None:
    await _run("from claimnotify.testing import fake_notifier, WebhookReceiver, SmtpServer", names)
    with names["fake_notifier"]() as fake:
        fake.notify(names["event"], to=names["ana"])
        fake.drain()
        assert [sent.channel for sent in fake.outbox] == ["email"]


# What the comments beside the lines promise.


@pytest.fixture
def acme(names: Names) -> Notifier:
    """The same installation, as another tenant sees it."""
    other: Notifier = names["notifier"].for_tenant("acme")
    return other


async def test_no_row_of_one_tenant_is_readable_through_another(
    names: Names, acme: Notifier
) -> None:
    notifier: Notifier = names["notifier"]
    endpoint, _ = notifier.endpoints.register("https://example.com/hook", owner="cus_7")
    notifier.drain()
    assert len(notifier.inbox.list("cus_7")) == 1
    assert acme.history() == []
    assert acme.history(notification_id=names["result"].id) == []
    assert acme.history(recipient="cus_7") == []
    assert acme.status() == {}
    assert acme.inbox.list("cus_7") == []
    assert acme.inbox.unread_count("cus_7") == 0
    assert acme.endpoints.list() == []
    assert acme.endpoints.list(owner="cus_7") == []
    with pytest.raises(NotFound):
        acme.endpoints.get(endpoint.id)


async def test_no_row_of_one_tenant_is_writable_through_another(
    names: Names, acme: Notifier
) -> None:
    notifier: Notifier = names["notifier"]
    endpoint, _ = notifier.endpoints.register("https://example.com/hook", owner="cus_7")
    with pytest.raises(NotFound):
        acme.cancel(names["result"].id)
    refused: list[Callable[[str], Any]] = [
        acme.endpoints.disable,
        acme.endpoints.enable,
        acme.endpoints.rotate,
        acme.endpoints.delete,
    ]
    for write in refused:
        with pytest.raises(NotFound):
            write(endpoint.id)
    assert notifier.endpoints.get(endpoint.id).enabled
    notifier.drain()
    items = [item.id for item in notifier.inbox.list("cus_7")]
    assert len(items) == 1
    assert acme.inbox.mark_seen("cus_7") == 0
    assert acme.inbox.mark_read("cus_7", items) == 0
    assert acme.inbox.archive("cus_7", items) == 0
    assert notifier.inbox.unread_count("cus_7") == 1


async def test_an_event_of_one_tenant_reaches_no_endpoint_of_another(
    names: Names, acme: Notifier
) -> None:
    names["notifier"].endpoints.register("https://example.com/hook", owner="cus_7")
    found = acme.publish(names["event"], owner="cus_7")
    assert _states(found) == [("webhook", "skipped", "no_endpoint")]
    assert found.tenant == "acme"


@pytest.mark.parametrize("tenant", ["", "two\nlines", "x" * 65])
async def test_a_malformed_tenant_is_refused(names: Names, tenant: str) -> None:
    with pytest.raises(ValueError, match="tenant"):
        names["notifier"].for_tenant(tenant)


async def test_every_method_has_an_a_twin_that_does_the_same(names: Names) -> None:
    notifier: Notifier = names["notifier"]
    event, ana = names["event"], names["ana"]
    first = await notifier.anotify(event, to=ana, idempotency_key="twin")
    assert notifier.notify(event, to=ana, idempotency_key="twin").id == first.id
    assert await notifier.acancel(first.id) == 2
    many = await notifier.anotify_many(event, to=[Recipient(id="cus_8"), Recipient(id="cus_9")])
    assert many.notifications == 2
    published = await notifier.apublish(event, owner="partner_9")
    assert published.recipient is None
    assert (await notifier.adrain())["delivered"] == 3
    assert [each.owner for each in await notifier.ahistory(recipient="cus_8")] == ["cus_8"]
    endpoint, _ = await notifier.endpoints.aregister("https://example.com/x", owner="cus_8")
    assert (await notifier.endpoints.aget(endpoint.id)).id == endpoint.id
    assert [each.id for each in await notifier.endpoints.alist("cus_8")] == [endpoint.id]
    await notifier.endpoints.adisable(endpoint.id)
    await notifier.endpoints.aenable(endpoint.id)
    assert (await notifier.endpoints.arotate(endpoint.id)).startswith("whsec_")
    since = datetime.now(UTC) - timedelta(hours=1)
    assert (await notifier.endpoints.arecover(endpoint.id, since=since)).replayed == 0
    assert (await notifier.endpoints.areplay_missing(endpoint.id, since=since)).replayed == 1
    assert list(await notifier.endpoints.aattempts(endpoint.id)) == []
    replay = await notifier.areplay(first.deliveries[0].id)
    assert (await notifier.adelivery(replay.id)).replay_of == first.deliveries[0].id
    await notifier.aexpunge(replay.notification_id)
    assert (await notifier.adelivery(replay.id)).reason == "expunged"
    await notifier.endpoints.adelete(endpoint.id)
    assert await notifier.inbox.aunread_count("cus_8") == 1
    assert await notifier.inbox.aunseen_count("cus_8") == 1
    items = await notifier.inbox.alist("cus_8")
    assert await notifier.inbox.amark_seen("cus_8") == 1
    assert await notifier.inbox.amark_read("cus_8", [items[0].id]) == 1
    assert await notifier.inbox.aarchive("cus_8", items[0].id) == 1
    await notifier.aclose()


def test_no_public_method_that_blocks_lacks_its_twin() -> None:
    """A method that is added later gets one as well."""
    from claimnotify.inbox import InboxService
    from claimnotify.recovery import TenantEndpoints

    start_up = {"from_settings", "for_tenant", "upgrade", "status", "describe"}
    start_up |= {"queue_worker", "queue_drain", "due_in"}
    for room in (Notifier, InboxService, TenantEndpoints):
        names = {name for name, _ in inspect.getmembers(room, inspect.isroutine)}
        public = {name for name in names if not name.startswith("_")} - start_up
        blocking = {name for name in public if not inspect.iscoroutinefunction(getattr(room, name))}
        assert blocking, room
        assert {f"a{name}" for name in blocking} <= public, room


async def test_every_write_takes_a_session(names: Names) -> None:
    """What the session does not commit has not happened."""
    notifier, session, event = names["notifier"], names["session"], names["event"]
    notifier.drain()
    endpoint, _ = notifier.endpoints.register("https://example.com/hook", owner="cus_7")
    later = notifier.notify(event, to=names["ana"], delay=timedelta(hours=1))
    sent = names["result"].deliveries[0].id
    writes: list[Callable[[], Any]] = [
        lambda: notifier.notify(event, to=names["ana"], session=session),
        lambda: notifier.notify_many(event, to=[names["ana"]], session=session),
        lambda: notifier.publish(event, owner="cus_7", session=session),
        lambda: notifier.cancel(later.id, session=session),
        lambda: notifier.replay(sent, session=session),
        lambda: notifier.expunge(later.id, session=session),
        lambda: notifier.inbox.mark_read("cus_7", session=session),
        lambda: notifier.inbox.archive("cus_7", session=session),
        lambda: notifier.endpoints.register("https://example.com/2", owner="o", session=session),
        lambda: notifier.endpoints.disable(endpoint.id, session=session),
        lambda: notifier.endpoints.rotate(endpoint.id, session=session),
        lambda: notifier.endpoints.delete(endpoint.id, session=session),
    ]
    before = _everything(notifier)
    for write in writes:
        write()
        session.rollback()
    assert _everything(notifier) == before
    assert notifier.cancel(later.id, session=session) == 3
    session.commit()
    assert _everything(notifier) != before


def _everything(notifier: Notifier) -> Any:
    return notifier.history(), notifier.inbox.list("cus_7"), notifier.endpoints.list()


async def test_the_notifier_is_a_context_manager(sqlite_url: str, names: Names) -> None:
    key = "a-key-for-tests-of-thirty-two-characters"
    with Notifier.from_settings(database_url=sqlite_url, secret_keys=key) as notifier:
        notifier.notify(names["event"], to=names["ana"])
    with Notifier.from_settings(database_url=sqlite_url, secret_keys=key) as again:
        assert len(again.history()) == 1


@pytest.fixture
def claim_events() -> Iterator[type[Event]]:
    class BaggageFound(Event, type="face.baggage_found", subject="claim_id", channels=("in_app",)):
        claim_id: str
        seat: str = "1"

    yield BaggageFound
    catalogue.remove(BaggageFound)


async def test_an_event_tells_its_subject(names: Names, claim_events: Any) -> None:
    notifier: Notifier = names["notifier"]
    found = notifier.notify(claim_events(claim_id="CLM-2041"), to=names["ana"])
    notifier.notify(claim_events(claim_id="CLM-2042"), to=names["ana"])
    assert [each.id for each in notifier.history(subject="CLM-2041")] == [found.id]
