"""Bad input: one clear error that names the field and the remedy, and no row half written."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError
from sqlalchemy import create_engine, text

from claimnotify import ConfigurationError, Event, InvalidInput, Notifier, Recipient
from claimnotify.errors import (
    ClaimnotifyError,
    InvalidEvent,
    InvalidRecipient,
    SchemaMissing,
    StoreUnavailable,
    TemplateError,
    UnknownChannel,
)
from claimnotify.model.events import catalogue
from claimnotify.testing import RecordingDispatcher

KEY = "a-key-for-tests-of-thirty-two-characters"
ANA = Recipient(id="cus_7", email="ana@example.com")
PASSWORD = "hunter2-and-more"
TABLES = ("notifications", "deliveries", "attachments", "attempts", "inbox_items", "endpoints")


class MealServed(Event, type="bad_input.meal_served", channels=("in_app", "email")):
    meal: str
    portions: int = 1


class Unwritable(Event, type="bad_input.unwritable", channels=("in_app",)):
    anything: Any


class Dish(BaseModel):
    name: str


class Untyped(Event):
    meal: str


@pytest.fixture
def rings() -> RecordingDispatcher:
    return RecordingDispatcher()


def _notifier(url: str, rings: RecordingDispatcher, **options: Any) -> Notifier:
    return Notifier.from_settings(database_url=url, dispatcher=rings, secret_keys=KEY, **options)


@pytest.fixture
def notifier(sqlite_ready_url: str, rings: RecordingDispatcher) -> Iterator[Notifier]:
    with _notifier(sqlite_ready_url, rings) as made:
        yield made


@pytest.fixture
def nothing_written(
    sqlite_ready_url: str, notifier: Notifier, rings: RecordingDispatcher
) -> Callable[[], None]:
    """A function that fails if any table of ours has a row, or anything rang."""

    def check() -> None:
        engine = create_engine(sqlite_ready_url)
        with engine.connect() as connection:
            for table in TABLES:
                count = text(f"SELECT count(*) FROM claimnotify_{table}")  # ours
                assert connection.execute(count).scalar() == 0, table
        engine.dispose()
        assert not rings.rings

    return check


def _clear(error: ClaimnotifyError, field: str) -> None:
    """Assert that the error names the field, says what is wrong, and what to do."""
    assert field in error.field
    assert error.problem
    assert error.remedy
    assert field in str(error)
    assert error.remedy in str(error)


@pytest.mark.parametrize(
    ("payload", "field"),
    [
        ({"meal": 5}, "meal"),
        ({}, "meal"),
        ({"meal": "soup", "portions": "many"}, "portions"),
        ({"meal": "soup", "dessert": "cake"}, "dessert"),
    ],
    ids=["wrong type", "missing", "wrong number", "unknown field"],
)
def test_an_invalid_payload_names_its_field_and_not_its_value(
    payload: dict[str, Any], field: str, nothing_written: Callable[[], None]
) -> None:
    with pytest.raises(ValidationError) as refused:
        MealServed(**payload)
    assert [error["loc"] for error in refused.value.errors()] == [(field,)]
    assert "many" not in str(refused.value)
    assert "cake" not in str(refused.value)
    nothing_written()


def test_a_payload_that_went_round_the_checks_is_refused_by_notify(
    notifier: Notifier, nothing_written: Callable[[], None]
) -> None:
    with pytest.raises(InvalidEvent) as refused:
        notifier.notify(MealServed.model_construct(portions=2), to=ANA)
    _clear(refused.value, "meal")
    with pytest.raises(InvalidEvent) as refused:
        notifier.notify(MealServed.model_construct(meal=object()), to=ANA)
    _clear(refused.value, "MealServed")
    nothing_written()


@pytest.mark.parametrize(
    "value",
    [object(), "\ud800", "x" * (1024 * 1024 + 1)],
    ids=["not JSON", "half a surrogate pair", "too large"],
)
def test_a_payload_that_cannot_be_kept_is_refused(
    notifier: Notifier, value: Any, nothing_written: Callable[[], None]
) -> None:
    with pytest.raises(InvalidEvent) as refused:
        notifier.notify(Unwritable(anything=value), to=ANA)
    _clear(refused.value, "Unwritable")
    nothing_written()


@pytest.mark.parametrize(
    "event", [Untyped(meal="soup"), MealServed, "meal", None], ids=["untyped", "class", "str", "no"]
)
def test_what_is_no_event_is_refused(
    notifier: Notifier, event: Any, nothing_written: Callable[[], None]
) -> None:
    with pytest.raises(InvalidEvent) as refused:
        notifier.notify(event, to=ANA)
    _clear(refused.value, "event")
    nothing_written()


@pytest.mark.parametrize("to", ["ana@example.com", None, {"id": "cus_7"}])
def test_who_is_no_recipient_is_refused(
    notifier: Notifier, to: Any, nothing_written: Callable[[], None]
) -> None:
    with pytest.raises(InvalidRecipient) as refused:
        notifier.notify(MealServed(meal="soup"), to=to)
    _clear(refused.value, "to")
    nothing_written()


@pytest.mark.parametrize(
    "address",
    [
        "ana@example.com\r\nBcc: eve@example.com",
        "ana@example.com\n",
        "ana\r@example.com",
        "ana@example.com, eve@example.com",
        "ana@example.com;eve@example.com",
        "ana@example.com eve@example.com",
        "Ana <ana@example.com>",
        "<ana@example.com>",
        "ana",
        "",
    ],
)
def test_an_address_that_is_not_one_address_is_refused(address: str) -> None:
    with pytest.raises(InvalidRecipient) as refused:
        Recipient(id="cus_7", email=address)
    _clear(refused.value, "email")
    assert "eve" not in str(refused.value)


@pytest.mark.parametrize(
    "number", ["+4915112345678\r\n+4915112345679", "+4915112345678,+4915112345679", "0151", ""]
)
def test_a_number_that_is_not_one_number_is_refused(number: str) -> None:
    with pytest.raises(InvalidRecipient) as refused:
        Recipient(id="cus_7", phone=number)
    _clear(refused.value, "phone")


def test_the_senders_address_is_checked_at_start_up(sqlite_url: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        Notifier.from_settings(
            database_url=sqlite_url, smtp_host="mail", smtp_from_email="a@b.de\r\nBcc: c@d.de"
        )
    assert "smtp_from_email" in str(refused.value)
    assert "c@d.de" not in str(refused.value)
    assert refused.value.remedy


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"at": datetime(2030, 1, 1)}, "at"),  # naive on purpose
        ({"at": datetime(2030, 1, 1, tzinfo=UTC), "delay": timedelta(1)}, "at"),
        ({"delay": timedelta(seconds=-1)}, "delay"),
        ({"expires": timedelta(seconds=-1)}, "expires"),
        ({"expires": datetime(2030, 1, 1)}, "expires"),  # naive on purpose
        ({"idempotency_key": ""}, "idempotency_key"),
    ],
)
def test_a_wrong_option_is_named(
    notifier: Notifier, options: dict[str, Any], field: str, nothing_written: Callable[[], None]
) -> None:
    with pytest.raises(InvalidInput) as refused:
        notifier.notify(MealServed(meal="soup"), to=ANA, **options)
    _clear(refused.value, field)
    nothing_written()


def test_one_wrong_recipient_leaves_none_of_its_chunk(
    notifier: Notifier, nothing_written: Callable[[], None]
) -> None:
    people: list[Any] = [ANA, Recipient(id="cus_8"), "cus_9"]
    with pytest.raises(InvalidRecipient) as refused:
        notifier.notify_many(MealServed(meal="soup"), to=people)
    _clear(refused.value, "to")
    nothing_written()


def test_one_wrong_payload_leaves_none_of_its_chunk(
    notifier: Notifier, nothing_written: Callable[[], None]
) -> None:
    def event_for(person: Recipient) -> Event:
        return Unwritable(anything=object() if person.id == "cus_8" else "fine")

    with pytest.raises(InvalidEvent):
        notifier.notify_many(event_for, to=[ANA, Recipient(id="cus_8")])
    nothing_written()


def test_a_subject_that_is_no_id_leaves_nothing(
    notifier: Notifier, about: Any, nothing_written: Callable[[], None]
) -> None:
    """It is found while the transaction is open, which is rolled back."""
    with pytest.raises(InvalidInput) as refused:
        notifier.notify(about(claim_id="CLM\n2041"), to=ANA)
    _clear(refused.value, "claim_id")
    nothing_written()


@pytest.fixture
def about() -> Iterator[type[Event]]:
    class About(Event, type="bad_input.about", subject="claim_id", channels=("in_app",)):
        claim_id: str

    yield About
    catalogue.remove(About)


@pytest.fixture
def pigeon() -> Iterator[type[Event]]:
    class PigeonSent(Event, type="bad_input.pigeon_sent", channels=("in_app", "pigeon")):
        text: str

    yield PigeonSent
    catalogue.remove(PigeonSent)


def test_an_unknown_channel_is_found_at_start_up(
    sqlite_url: str, rings: RecordingDispatcher, pigeon: type[Event]
) -> None:
    with pytest.raises(UnknownChannel) as refused:
        _notifier(sqlite_url, rings)
    _clear(refused.value, "bad_input.pigeon_sent")
    assert "'pigeon'" in refused.value.problem
    assert "email, in_app, sms, webhook" in refused.value.remedy


def test_an_unknown_channel_of_an_event_defined_later_is_found_before_anything_is_written(
    notifier: Notifier, nothing_written: Callable[[], None], request: pytest.FixtureRequest
) -> None:
    event = request.getfixturevalue("pigeon")(text="coo")
    with pytest.raises(UnknownChannel) as refused:
        notifier.notify(event, to=ANA)
    _clear(refused.value, "bad_input.pigeon_sent")
    nothing_written()


@pytest.mark.parametrize(
    ("template", "word"),
    [("{{ desert }}", "desert"), ("{{ meal", "sms.txt"), ("{{ dish.calories }}", "calories")],
    ids=["unknown variable", "no template", "unknown attribute"],
)
def test_a_template_that_asks_for_what_its_event_lacks_is_found_at_start_up(
    template: str, word: str, sqlite_ready_url: str, rings: RecordingDispatcher, tmp_path: Path
) -> None:
    class MealPacked(Event, type="bad_input.meal_packed", channels=("sms",)):
        meal: str
        dish: Dish

    folder = tmp_path / "templates"
    (folder / "bad_input.meal_packed").mkdir(parents=True)
    (folder / "bad_input.meal_packed" / "sms.txt").write_text(template)
    try:
        with pytest.raises(TemplateError) as refused:
            _notifier(sqlite_ready_url, rings, template_dir=folder)
    finally:
        catalogue.remove(MealPacked)
    _clear(refused.value, "bad_input.meal_packed/sms.txt")
    assert word in str(refused.value)


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port of loopback that refuses connections: bound, and not listened to."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


def test_an_unreachable_server_is_one_clear_error_without_the_password(
    closed_port: int, rings: RecordingDispatcher
) -> None:
    url = f"postgresql+psycopg://app:{PASSWORD}@127.0.0.1:{closed_port}/app"
    with _notifier(url, rings) as notifier:
        with pytest.raises(StoreUnavailable) as refused:
            notifier.notify(MealServed(meal="soup"), to=ANA)
        _clear(refused.value, "database_url")
        assert "soup" not in str(refused.value)
        calls: list[Callable[[], Any]] = [
            notifier.drain,
            notifier.history,
            notifier.upgrade,
            lambda: notifier.inbox.list("cus_7"),
            lambda: notifier.endpoints.list(),
            lambda: notifier.cancel("0" * 32),
        ]
        for call in calls:
            with pytest.raises(StoreUnavailable) as refused:
                call()
            assert _texts(refused.value).count(PASSWORD) == 0
    assert not rings.rings


def _texts(error: BaseException | None) -> str:
    """Return all texts of an error and of what caused it."""
    if error is None:
        return ""
    return f"{error!r} {error} {_texts(error.__cause__)} {_texts(error.__context__)}"


def test_a_server_without_our_tables_names_the_command(
    postgres_url: str, rings: RecordingDispatcher
) -> None:
    with _notifier(postgres_url, rings) as notifier:
        with pytest.raises(SchemaMissing) as refused:
            notifier.notify(MealServed(meal="soup"), to=ANA)
        _clear(refused.value, "database_url")
        assert "claimnotify db upgrade" in refused.value.remedy


def test_a_file_that_is_no_database_is_one_clear_error(
    tmp_path: Path, rings: RecordingDispatcher
) -> None:
    (tmp_path / "notes.db").write_text("these are notes, not a database; " * 40)
    with pytest.raises(ClaimnotifyError) as refused:
        _notifier(f"sqlite:///{tmp_path / 'notes.db'}", rings)
    _clear(refused.value, "database_url")


def test_a_folder_for_a_file_is_one_clear_error(tmp_path: Path, rings: RecordingDispatcher) -> None:
    with pytest.raises(StoreUnavailable) as refused:
        _notifier(f"sqlite:///{tmp_path}", rings)
    _clear(refused.value, "database_url")


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"database_url": "nonsense"}, "database_url"),
        ({"database_url": f"oracle://app:{PASSWORD}@127.0.0.1/x"}, "database_url"),
        ({"database_url": "sqlite://"}, "database_url"),
        ({"database": "sqlite:///x.db"}, "database"),
        ({"secret_keys": "short"}, "secret_keys"),
        ({"smtp_host": "mail.example.com"}, "smtp_from_email"),
        ({"twilio_account_sid": "AC1"}, "twilio_auth_token"),
        ({"webhook_allow_networks": "everywhere"}, "webhook_allow_networks"),
        ({"tenant": ""}, "tenant"),
    ],
)
def test_wrong_settings_are_found_at_start_up(
    options: dict[str, Any], field: str, sqlite_url: str, rings: RecordingDispatcher
) -> None:
    settings = {"database_url": sqlite_url, "secret_keys": KEY} | options
    with pytest.raises(ClaimnotifyError) as refused:
        Notifier.from_settings(dispatcher=rings, **settings)
    assert field in str(refused.value)
    assert refused.value.remedy
    assert PASSWORD not in _texts(refused.value)


def test_a_server_without_secret_keys_is_refused_at_start_up(rings: RecordingDispatcher) -> None:
    with pytest.raises(ConfigurationError) as refused:
        Notifier.from_settings(
            dispatcher=rings, database_url="postgresql+psycopg://app@127.0.0.1/app"
        )
    _clear(refused.value, "secret_keys")
    assert "CLAIMNOTIFY_SECRET_KEYS" in refused.value.remedy


@pytest.mark.parametrize("notification_id", ["0" * 32, "'; --", "x" * 255])
def test_cancelling_what_there_is_not_is_named(notifier: Notifier, notification_id: str) -> None:
    with pytest.raises(LookupError) as refused:
        notifier.cancel(notification_id)
    assert isinstance(refused.value, ClaimnotifyError)
    _clear(refused.value, "notification_id")


@pytest.mark.parametrize("limit", [0, -1, 1001])
def test_a_limit_out_of_range_is_named(notifier: Notifier, limit: int) -> None:
    for read in (notifier.history, lambda limit: notifier.inbox.list("cus_7", limit=limit)):
        with pytest.raises(InvalidInput) as refused:
            read(limit=limit)
        _clear(refused.value, "limit")
