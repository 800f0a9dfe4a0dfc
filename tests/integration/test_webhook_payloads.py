"""What webhooks carry: all fields or fewer, of a size that receivers take, and no more than a limit."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ConfigDict, Field, SerializationInfo, computed_field, model_serializer

from claimnotify import ConfigurationError, Event, InvalidInput, Notifier, Recipient, schema_of
from claimnotify.catalogue import data_example_of
from claimnotify.errors import InvalidEvent
from claimnotify.model.events import catalogue
from claimnotify.testing import MemoryStore, RecordingDispatcher, WebhookReceiver

ANA = Recipient(id="cus_7")
KEY = "a-key-for-tests-of-thirty-two-characters"
KB_20 = 20_000
MIB = 1024 * 1024


class Full(Event, type="payloads.full", channels=("in_app", "webhook"), subject="claim_id"):
    claim_id: str = "CLM-1"
    text: str = ""


class Thin(Full, type="payloads.thin", webhook_payload="thin"):
    """Its webhooks carry the claim's id alone."""


class Some(Full, type="payloads.some", webhook_payload=("link", "claim_id")):
    """Its webhooks carry two fields, one of them computed."""

    @computed_field
    @property
    def link(self) -> str:
        return f"https://example.com/{self.claim_id}"


class Aliased(Event, type="payloads.aliased", channels=("webhook",), webhook_payload=("ref",)):
    model_config = ConfigDict(serialize_by_alias=True, validate_by_name=True)
    ref: str = Field(default="r", serialization_alias="reference")
    text: str = ""


class Inbox(Event, type="payloads.inbox", channels=("in_app",)):
    text: str = ""


for _event in (Full, Thin, Some, Aliased, Inbox):
    catalogue.remove(_event)

Make = Callable[..., Notifier]


@pytest.fixture(params=["memory", "sqlite"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Make]:
    """Makes a notifier over a store in memory, or on SQLite."""
    made: list[Notifier] = []
    where: dict[str, Any] = {"store": MemoryStore}
    if request.param == "sqlite":
        where = {"database_url": f"sqlite:///{tmp_path / 'payloads.db'}"}

    def notifier(**settings: Any) -> Notifier:
        made.append(
            Notifier.from_settings(
                **where,
                dispatcher=RecordingDispatcher(),
                secret_keys=KEY,
                webhook_allow_networks="127.0.0.0/8",
                webhook_allow_http=True,
                **settings,
            )
        )
        return made[-1]

    yield notifier
    for each in made:
        each.close()


def _in_data(size: int) -> Full:
    """Return an event whose data takes so many bytes as JSON."""
    empty = len(Full().model_dump_json())
    return Full(text="x" * (size - empty))


def _accepted(notifier: Notifier) -> int:
    return len(notifier.history())


# thin and full


@pytest.mark.parametrize(
    ("event", "data"),
    [
        (Full(text="secret"), {"claim_id": "CLM-1", "text": "secret"}),
        (Thin(text="secret"), {"claim_id": "CLM-1"}),
        (Some(text="secret"), {"claim_id": "CLM-1", "link": "https://example.com/CLM-1"}),
        (Aliased(text="secret"), {"reference": "r"}),
    ],
)
def test_a_receiver_gets_what_the_class_says(
    make: Make, event: Event, data: dict[str, Any]
) -> None:
    notifier = make()
    with WebhookReceiver() as receiver:
        _, secret = notifier.endpoints.register(receiver.url, owner="cus_7")
        receiver.add_secret(secret)
        note = notifier.notify(event, to=ANA)
        notifier.drain()
        bodies = [json.loads(each.body) for each in receiver.accepted]
    assert [body["data"] for body in bodies] == [data]
    assert list(bodies[0]) == ["type", "timestamp", "data"]
    # The other channels, and the audit, have every field.
    assert note.payload["text"] == "secret"
    assert json.loads(note.payload_json)["text"] == "secret"


def test_a_serialiser_that_writes_what_webhooks_are_not_to_carry_is_refused(make: Make) -> None:
    class Leaky(Event, type="payloads.leaky", channels=("webhook",), webhook_payload=("ref",)):
        ref: str = "r"
        kept: str = "kept"
        obeys: bool = False

        @model_serializer
        def _written(self, info: SerializationInfo) -> dict[str, Any]:
            every = {"ref": self.ref, "kept": self.kept, "obeys": self.obeys}
            named = info.include or every
            return {key: each for key, each in every.items() if key in named or not self.obeys}

    catalogue.remove(Leaky)
    notifier = make()
    with pytest.raises(InvalidEvent, match="writes more than webhook_payload names") as caught:
        notifier.publish(Leaky(), owner="cus_7")
    assert "kept" not in str(caught.value)
    assert _accepted(notifier) == 0
    assert schema_of(Leaky)["type"] == "object"
    with pytest.raises(ConfigurationError, match="writes more than webhook_payload names"):
        data_example_of(Leaky)
    assert notifier.publish(Leaky(obeys=True), owner="cus_7").webhook_json == '{"ref":"r"}'


def test_what_webhooks_carry_is_kept_with_the_notification_where_it_is_less(make: Make) -> None:
    notifier = make()
    assert notifier.notify(Thin(text="x"), to=ANA).webhook_json == '{"claim_id":"CLM-1"}'
    assert notifier.notify(Full(text="x"), to=ANA).webhook_json is None
    assert notifier.notify(Inbox(text="x"), to=ANA).webhook_json is None


# sizes


@pytest.mark.parametrize("settings", [{}, {"webhook_max_payload_bytes": 5_000}])
def test_an_event_over_the_limit_is_refused_and_nothing_is_written(
    make: Make, settings: dict[str, int]
) -> None:
    limit = settings.get("webhook_max_payload_bytes", 262_144)
    notifier = make(**settings)
    for call in (
        lambda: notifier.notify(_in_data(limit + 1), to=ANA),
        lambda: notifier.publish(_in_data(limit + 1), owner="cus_7"),
        lambda: notifier.notify_many(_in_data(limit + 1), to=[ANA]),
    ):
        with pytest.raises(InvalidEvent, match=f"{limit + 1} bytes.*max_payload_bytes is {limit}"):
            call()
    assert _accepted(notifier) == 0
    notifier.notify(_in_data(limit), to=ANA)
    assert _accepted(notifier) == 1


def test_bytes_are_counted_and_not_characters(make: Make) -> None:
    notifier = make(webhook_max_payload_bytes=2_000)
    empty = len(Full().model_dump_json())
    with pytest.raises(InvalidEvent, match="takes 2001 bytes"):
        notifier.notify(Full(text="ä" * 900 + "x" * (2_001 - 1_800 - empty)), to=ANA)
    notifier.notify(Full(text="ä" * 900 + "x" * (2_000 - 1_800 - empty)), to=ANA)


def test_the_limit_is_of_what_webhooks_carry(make: Make) -> None:
    notifier = make(webhook_max_payload_bytes=2_000)
    notifier.notify(Thin(text="x" * 5_000), to=ANA)
    notifier.notify(Inbox(text="x" * 5_000), to=ANA)
    assert _accepted(notifier) == 2


@pytest.mark.parametrize("event_class", [Full, Thin, Inbox])
def test_no_payload_may_take_more_than_one_mebibyte(make: Make, event_class: type[Full]) -> None:
    notifier = make(webhook_max_payload_bytes=MIB)
    empty = len(event_class().model_dump_json())
    half = "ä" * ((MIB - empty) // 2)
    with pytest.raises(InvalidEvent, match="larger than 1 MiB"):
        notifier.notify(event_class(text=half + "xx"), to=ANA)
    assert _accepted(notifier) == 0
    notifier.notify(event_class(text=half), to=ANA)


def test_a_large_webhook_is_warned_of_once_for_its_type_without_its_content(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    notifier = make()
    around = len('{"type":"payloads.full","timestamp":"2026-01-15T09:30:00.000000Z","data":}')
    with caplog.at_level(logging.WARNING, "claimnotify.delivery"):
        notifier.notify(_in_data(KB_20 - around), to=ANA)
        notifier.notify(Inbox(text="x" * KB_20), to=ANA)
        notifier.notify(Thin(text="x" * KB_20), to=ANA)
        assert not caplog.records
        for _ in range(3):
            notifier.notify(_in_data(KB_20 - around + 1), to=ANA)
    [record] = caplog.records
    assert (record.name, record.levelno) == ("claimnotify.delivery", logging.WARNING)
    assert "payloads.full" in record.getMessage()
    assert "20001 bytes" in record.getMessage()
    assert "xxx" not in record.getMessage()


def test_the_size_that_is_warned_of_is_the_one_that_is_sent(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    notifier = make()
    with WebhookReceiver() as receiver:
        _, secret = notifier.endpoints.register(receiver.url, owner="cus_7")
        receiver.add_secret(secret)
        notifier.notify(Full(text="ä" * KB_20), to=ANA)
        notifier.drain()
        [request] = receiver.accepted
    assert f"{len(request.body)} bytes" in caplog.text


@pytest.mark.parametrize("limit", [1_023, MIB + 1, "much"])
def test_a_limit_that_makes_no_sense_is_refused(make: Make, limit: Any) -> None:
    with pytest.raises(ConfigurationError, match="webhook_max_payload_bytes"):
        make(webhook_max_payload_bytes=limit)


def test_a_refusal_is_an_invalid_input(make: Make) -> None:
    with pytest.raises(InvalidInput, match="webhook_payload="):
        make().publish(_in_data(262_145), owner="cus_7")
