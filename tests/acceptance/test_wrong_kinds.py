"""Arguments of a wrong kind: each call refuses them by name, in each variant, and writes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from claimnotify import Event, InvalidInput, Notifier, Recipient, job
from claimnotify.errors import InvalidEvent
from claimnotify.model.job_specs import registry
from claimnotify.testing import RecordingDispatcher

ANA = Recipient(id="cus_7")
TABLES = ("notifications", "deliveries", "attachments", "endpoints", "jobs")


class GateChanged(Event, type="wrong_kinds.gate_changed", channels=("in_app", "webhook")):
    gate: str = "B4"


@pytest.fixture(autouse=True)
def _own_jobs() -> Iterator[None]:
    before = set(registry)
    yield
    for spec in set(registry) - before:
        registry.remove(spec.function)


@pytest.fixture
def notifier(sqlite_ready_url: str) -> Iterator[Notifier]:
    """A notifier of a database in which nothing may have been written in the end."""
    rings = RecordingDispatcher()
    key = "a-key-for-tests-of-thirty-two-characters"
    with Notifier.from_settings(
        database_url=sqlite_ready_url, dispatcher=rings, secret_keys=key
    ) as made:
        yield made
    engine = create_engine(sqlite_ready_url)
    with engine.connect() as connection:
        for table in TABLES:
            count = text(f"SELECT count(*) FROM claimnotify_{table}")  # ours
            assert connection.execute(count).scalar() == 0, table
    engine.dispose()
    assert not rings.rings


TIMES = [
    ("at", "tomorrow"),
    ("at", datetime(2030, 1, 1)),  # naive on purpose
    ("at", timedelta(1)),
    ("delay", 5),
    ("delay", datetime(2030, 1, 1, tzinfo=UTC)),
]
ORDERS = [
    ("ordering_key", 5),
    ("ordering_key", b"k"),
    ("ordering_strict", None),
    ("ordering_strict", "x"),
    ("ordering_strict", 1),
]
KEYS = [("idempotency_key", 5), ("idempotency_key", b"k")]
NO_EVENTS = [GateChanged, None, "gate", 5]
NOTIFY = [
    *TIMES,
    *ORDERS,
    *KEYS,
    ("expires", 5),
    ("expires", "soon"),
    ("to", "cus_7"),
    ("to", [ANA]),
    *(("attachments", value) for value in ("abc", "", ["x"], [b"x"], [None], None, 5, {"a": 1})),
    *(("event", value) for value in NO_EVENTS),
]
PUBLISH = [
    *TIMES,
    *ORDERS,
    *KEYS,
    ("owner", None),
    ("owner", b"cus_7"),
    ("owner", ANA),
    *(("event", value) for value in NO_EVENTS),
]
MANY = [
    *TIMES,
    ("to", "cus_7"),
    ("to", ""),
    ("to", b""),
    ("to", ANA),
    ("to", None),
    *(("event_for", value) for value in NO_EVENTS),
    ("event_for", ANA),
    ("idempotency_key_for", "key"),
    ("idempotency_key_for", lambda _: None),
    ("idempotency_key_for", lambda _: 5),
]

Call = Callable[..., Any]


def _notify(notifier: Notifier, given: Mapping[str, Any], **more: Any) -> Any:
    options = {"event": GateChanged(), "to": ANA, "ordering_key": "k", **given, **more}
    return notifier.notify(options.pop("event"), **options)


def _anotify(notifier: Notifier, given: Mapping[str, Any], **more: Any) -> Any:
    options = {"event": GateChanged(), "to": ANA, "ordering_key": "k", **given, **more}
    return notifier.anotify(options.pop("event"), **options)


def _publish(notifier: Notifier, given: Mapping[str, Any], **more: Any) -> Any:
    options = {"event": GateChanged(), "owner": "cus_7", "ordering_key": "k", **given, **more}
    return notifier.publish(options.pop("event"), **options)


def _apublish(notifier: Notifier, given: Mapping[str, Any], **more: Any) -> Any:
    options = {"event": GateChanged(), "owner": "cus_7", "ordering_key": "k", **given, **more}
    return notifier.apublish(options.pop("event"), **options)


def _many(notifier: Notifier, given: Mapping[str, Any], **more: Any) -> Any:
    options = {"event_for": GateChanged(), "to": [ANA], **given, **more}
    return notifier.notify_many(options.pop("event_for"), **options)


def _amany(notifier: Notifier, given: Mapping[str, Any], **more: Any) -> Any:
    options = {"event_for": GateChanged(), "to": [ANA], **given, **more}
    return notifier.anotify_many(options.pop("event_for"), **options)


@pytest.mark.parametrize(
    ("call", "twin", "field", "value"),
    [(_notify, _anotify, *each) for each in NOTIFY]
    + [(_publish, _apublish, *each) for each in PUBLISH]
    + [(_many, _amany, *each) for each in MANY],
)
def test_what_is_given_to_notify_is_refused_by_its_name(
    notifier: Notifier, sqlite_ready_url: str, call: Call, twin: Call, field: str, value: Any
) -> None:
    def refused(work: Callable[[], Any]) -> str:
        with pytest.raises(InvalidInput) as caught:
            work()
        # A key is refused by the name it has when it has been made.
        assert caught.value.field in (field, field.removesuffix("_for"))
        assert caught.value.remedy
        return str(caught.value)

    async def in_async_session() -> None:
        engine = create_async_engine(sqlite_ready_url.replace("sqlite://", "sqlite+aiosqlite://"))
        try:
            async with AsyncSession(engine) as session:
                try:
                    await twin(notifier, given, session=session)
                finally:
                    await session.commit()
        finally:
            await engine.dispose()

    given = {field: value}
    said = {
        refused(lambda: call(notifier, given)),
        refused(lambda: asyncio.run(twin(notifier, given))),
        refused(lambda: asyncio.run(in_async_session())),
    }
    engine = create_engine(sqlite_ready_url)
    with Session(engine) as session:
        said.add(refused(lambda: call(notifier, given, session=session)))
        session.commit()
    engine.dispose()
    assert len(said) == 1


def test_an_event_class_is_told_from_a_function(notifier: Notifier) -> None:
    with pytest.raises(InvalidEvent, match=r"event_for: is an event class\. Give an event of it"):
        notifier.notify_many(GateChanged, to=[])


READS: list[tuple[str, Callable[[Notifier], tuple[Call, Call]]]] = [
    ("history", lambda it: (it.history, it.ahistory)),
    ("jobs", lambda it: (it.jobs, it.ajobs)),
    (
        "inbox",
        lambda it: (
            lambda **options: it.inbox.list("cus_7", **options),
            lambda **options: it.inbox.alist("cus_7", **options),
        ),
    ),
]


@pytest.mark.parametrize("limit", [0, -1, 1001, "5", None, 1.5, True])
@pytest.mark.parametrize("read", [read for _, read in READS], ids=[name for name, _ in READS])
def test_every_reading_call_refuses_a_limit_that_is_none(
    notifier: Notifier, read: Callable[[Notifier], tuple[Call, Call]], limit: Any
) -> None:
    call, twin = read(notifier)
    for work in (lambda: call(limit=limit), lambda: asyncio.run(twin(limit=limit))):
        with pytest.raises(InvalidInput, match="limit: is no whole number from 1 to 1000"):
            work()
    assert call(limit=1) == asyncio.run(twin(limit=1000)) == []


@pytest.mark.parametrize(
    ("call", "field"),
    [
        (lambda it, value: it.history(recipient=value), "recipient"),
        (lambda it, value: it.history(subject=value), "subject"),
        (lambda it, value: it.history(event_type=value), "event_type"),
        (lambda it, value: it.history(notification_id=value), "notification_id"),
        (lambda it, value: it.history(before=value), "before"),
        (lambda it, value: it.jobs(name=value), "name"),
        (lambda it, value: it.jobs(job_id=value), "job_id"),
        (lambda it, value: it.jobs(before=value), "before"),
        (lambda it, value: it.jobs(status=value), "status"),
        (lambda it, value: it.cancel(value), "notification_id"),
        (lambda it, value: it.for_tenant(value), "tenant"),
        (lambda it, value: it.inbox.list(value), "recipient_id"),
        (lambda it, value: it.inbox.list("cus_7", before=value), "before"),
        (lambda it, value: it.inbox.list("cus_7", unread_only=value), "unread_only"),
        (lambda it, value: it.inbox.list("cus_7", archived=value), "archived"),
        (lambda it, value: it.inbox.unread_count(value), "recipient_id"),
        (lambda it, value: it.inbox.unseen_count(value), "recipient_id"),
        (lambda it, value: it.inbox.mark_read(value), "recipient_id"),
        (lambda it, value: it.inbox.mark_read("cus_7", value), "ids"),
        (lambda it, value: it.inbox.mark_seen("cus_7", value), "ids"),
        (lambda it, value: it.inbox.archive("cus_7", value), "ids"),
        (lambda it, value: it.endpoints.list(value), "owner"),
        (lambda it, value: it.endpoints.get(value), "endpoint_id"),
        (lambda it, value: it.endpoints.enable(value), "endpoint_id"),
        (lambda it, value: it.endpoints.disable(value), "endpoint_id"),
        (lambda it, value: it.endpoints.delete(value), "endpoint_id"),
        (lambda it, value: it.endpoints.rotate(value), "endpoint_id"),
        (lambda it, value: it.due_in(value), "queue"),
        (lambda it, value: it.queue_drain(value), "queue"),
        (lambda it, value: it.queue_worker(value), "queue"),
    ],
)
@pytest.mark.parametrize(
    "value",
    [5, b"x", b"", [None], timedelta(1), "\ud800", pytest.param(object(), id="object")],
    ids=repr,
)
def test_an_id_or_a_flag_of_another_kind_is_refused_by_its_name(
    notifier: Notifier, call: Callable[[Notifier, Any], Any], field: str, value: Any
) -> None:
    with pytest.raises(InvalidInput) as refused:
        call(notifier, value)
    assert refused.value.field == field
    assert refused.value.remedy


@pytest.mark.parametrize(
    ("field", "value"), [*TIMES, ("unique_key", 5), ("unique_key", b"k"), ("function", None)]
)
def test_what_is_given_to_enqueue_is_refused_by_its_name(
    notifier: Notifier, field: str, value: Any
) -> None:
    @job(name="wrong_kinds.job")
    def nothing() -> None: ...

    options = {field: value}
    function = options.pop("function", nothing)
    for work in (
        lambda: notifier.enqueue(function, **options),
        lambda: asyncio.run(notifier.aenqueue(function, **options)),
    ):
        with pytest.raises(InvalidInput) as refused:
            work()
        assert refused.value.field == field
        assert refused.value.remedy


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("url", 5),
        ("url", b"https://example.com"),
        ("owner", ANA),
        ("event_types", "claim.*"),
        ("event_types", b"claim"),
        ("event_types", [5]),
        ("event_types", None),
        ("description", None),
        ("description", "\ud800"),
        ("rate_limit", 10),
        ("rate_limit", 0),
        ("rate_limit", []),
        ("rate_limit", b"10/second"),
    ],
)
def test_what_is_given_to_register_is_refused_by_its_name(
    notifier: Notifier, field: str, value: Any
) -> None:
    given: dict[str, Any] = {"url": "https://example.com/hook", "owner": "cus_7", field: value}
    for work in (
        lambda: notifier.endpoints.register(**given),
        lambda: asyncio.run(notifier.endpoints.aregister(**given)),
    ):
        with pytest.raises(InvalidInput) as refused:
            work()
        assert refused.value.field == field
        assert refused.value.remedy


def test_every_a_twin_refuses_what_is_no_async_session(
    notifier: Notifier, sqlite_ready_url: str
) -> None:
    engine = create_engine(sqlite_ready_url)
    inbox, endpoints = notifier.inbox, notifier.endpoints
    calls: list[Callable[[Any], Any]] = [
        lambda session: notifier.anotify(GateChanged(), to=ANA, session=session),
        lambda session: notifier.acancel("0" * 32, session=session),
        lambda session: inbox.amark_read("cus_7", session=session),
        lambda session: inbox.aarchive("cus_7", session=session),
        lambda session: endpoints.aregister("https://a.io/", owner="cus_7", session=session),
        lambda session: endpoints.adisable("0" * 32, session=session),
        lambda session: endpoints.adelete("0" * 32, session=session),
    ]
    with Session(engine) as session:
        for call in calls:
            for given in (session, "session", 5):
                with pytest.raises(InvalidInput, match="session: is not an AsyncSession"):
                    asyncio.run(call(given))
    engine.dispose()
