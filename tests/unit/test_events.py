"""Events: what a class declares, what it refuses, and how the catalogue keeps them apart."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import ValidationError

from claimnotify.errors import ConfigurationError, InvalidEvent
from claimnotify.model.events import Catalogue, Event, EventSpec, catalogue, spec_of


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    """Take what a test defines out of the catalogue again."""
    before = set(catalogue)
    yield
    for event in set(catalogue) - before:
        catalogue.remove(event)


def test_a_class_declares_its_type_and_the_rest_has_defaults() -> None:
    class Booked(Event, type="events.booked", channels=("email",)):
        seat: str

    assert spec_of(Booked) == EventSpec(
        type="events.booked",
        version=1,
        category="general",
        channels=("email",),
        subject=None,
        priority="normal",
    )
    assert spec_of(Booked(seat="1")) is spec_of(Booked)
    assert catalogue.get("events.booked") is Booked


def test_keywords_are_inherited_except_the_type() -> None:
    class Base(Event, channels=("email", "sms"), category="trips", priority="high"):
        trip: str

    class Left(Base, type="events.left", subject="trip"):
        pass

    class Late(Left, type="events.late", channels=["webhook"]):
        minutes: int

    assert (spec_of(Left).channels, spec_of(Left).category) == (("email", "sms"), "trips")
    assert spec_of(Late).channels == ("webhook",)
    assert (spec_of(Late).subject, spec_of(Late).priority) == ("trip", "high")
    with pytest.raises(InvalidEvent, match="Base has no type"):
        spec_of(Base)

    class Lost(Left):
        pass

    with pytest.raises(InvalidEvent, match="Lost has no type"):
        spec_of(Lost(trip="1"))


@pytest.mark.parametrize(
    "keywords",
    [
        {"type": "Claim.Approved"},
        {"type": "claim..approved"},
        {"type": "claim approved"},
        {"type": ".claim"},
        {"type": "claim.*"},
        {"type": "../claim"},
        {"type": "x" * 129},
        {"type": ""},
        {"channels": ()},
        {"channels": ("email", "email")},
        {"channels": "email"},
        {"channels": 5},
        {"channels": b"email"},
        {"channels": (b"email",)},
        {"channels": [["email"]]},
        {"channels": (None,)},
        {"type": 5},
        {"type": ["events.wrong"]},
        {"version": 0},
        {"version": "1"},
        {"version": True},
        {"version": 2**31},
        {"version": [1]},
        {"category": 5},
        {"category": ["status"]},
        {"category": b"status"},
        {"priority": ["high"]},
        {"priority": {}},
        {"priority": 0},
        {"subject": ["seat"]},
        {"subject": {}},
        {"subject": 5},
        {"subject": b"seat"},
        {"category": "Status Updates"},
        {"category": "x" * 65},
        {"priority": "urgent"},
        {"subject": "no_such_field"},
    ],
)
def test_a_wrong_keyword_is_refused_when_the_class_is_defined(keywords: dict[str, Any]) -> None:
    known = len(catalogue)
    with pytest.raises(ConfigurationError) as refused:

        class Wrong(Event, **({"type": "events.wrong", "channels": ("email",)} | keywords)):
            seat: str

    assert refused.value.field
    assert refused.value.remedy
    assert len(catalogue) == known


def test_two_classes_of_one_type_and_version_are_refused() -> None:
    class First(Event, type="events.taken", channels=("email",)):
        pass

    with pytest.raises(ConfigurationError, match=r"events\.taken.*First.*Second"):

        class Second(Event, type="events.taken", channels=("email",)):
            pass

    assert catalogue.get("events.taken") is First


def test_a_class_defined_again_replaces_itself() -> None:
    """As a reload does."""

    def define() -> type[Event]:
        class Again(Event, type="events.again", channels=("email",)):
            pass

        return Again

    first, second = define(), define()
    assert catalogue.get("events.again") is second
    catalogue.remove(first)
    assert catalogue.get("events.again") is second


def test_versions_live_side_by_side_and_the_newest_is_meant() -> None:
    class V1(Event, type="events.versioned", channels=("email",)):
        pass

    class V10(Event, type="events.versioned", version=10, channels=("email",)):
        pass

    class V2(Event, type="events.versioned", version=2, channels=("email",)):
        pass

    assert catalogue.get("events.versioned") is V10
    assert catalogue.get("events.versioned", 1) is V1
    assert catalogue.get("events.versioned", 2) is V2
    assert catalogue.get("events.versioned", 3) is None


def test_an_unknown_type_is_none() -> None:
    assert Catalogue().get("events.unknown") is None
    assert list(Catalogue()) == []


def test_an_event_is_a_value_that_refuses_what_it_does_not_know() -> None:
    class Seated(Event, type="events.seated", channels=("email",)):
        seat: str

    event = Seated(seat="12A")
    assert event == Seated(seat="12A")
    with pytest.raises(ValidationError):
        event.seat = "12B"
    with pytest.raises(ValidationError, match="row"):
        Seated(seat="12A", row="12")  # type: ignore[call-arg]  # that is the point


def test_a_refused_value_does_not_show() -> None:
    class Priced(Event, type="events.priced", channels=("email",)):
        amount: int

    with pytest.raises(ValidationError) as refused:
        Priced(amount="my-secret")  # type: ignore[arg-type]  # that is the point
    assert "my-secret" not in str(refused.value)
