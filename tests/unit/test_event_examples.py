"""Examples of events: they fit the class and its JSON Schema, and are the same every time."""

from __future__ import annotations

import enum
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from ipaddress import IPv4Address, IPv6Network
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pydantic import (
    UUID4,
    UUID7,
    AfterValidator,
    AnyUrl,
    AwareDatetime,
    Base64Bytes,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    FutureDate,
    HttpUrl,
    IPvAnyAddress,
    Json,
    NaiveDatetime,
    PastDatetime,
    PlainSerializer,
    PostgresDsn,
    SecretStr,
    StringConstraints,
    WithJsonSchema,
    computed_field,
    create_model,
    model_validator,
)
from typing_extensions import TypedDict

from claimnotify import Event, example_of, schema_of
from claimnotify.catalogue import data_example_of, webhook_example_of
from claimnotify.claims import ClaimApproved
from claimnotify.errors import ConfigurationError, InvalidEvent
from claimnotify.model.events import catalogue

_ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    """Take what a test defines out of the catalogue again."""
    before = set(catalogue)
    yield
    for event in set(catalogue) - before:
        catalogue.remove(event)


def _event(kind: Any, default: Any = ..., **keywords: Any) -> type[Event]:
    """Return a class of events with one field of this type."""
    made = create_model(
        "Made",
        __base__=Event,
        __cls_kwargs__={"type": "examples.made", "channels": ("webhook",)} | keywords,
        field=(kind, default),
    )
    catalogue.remove(made)
    return made


def _check(event_class: type[Event]) -> Any:
    """Make sure that the example fits class and schema, and return it as written."""
    event = example_of(event_class)
    assert type(event) is event_class
    schema = schema_of(event_class)
    Draft202012Validator.check_schema(schema)
    data = data_example_of(event_class)
    checker = Draft202012Validator.FORMAT_CHECKER
    Draft202012Validator(schema, format_checker=checker).validate(data)
    assert example_of(event_class) == event
    return data


class Grade(enum.Enum):
    GOOD = "good"
    BAD = "bad"


class Level(enum.IntEnum):
    LOW = 3


class Money(BaseModel):
    model_config = ConfigDict(extra="forbid")
    amount: Decimal = Field(gt=0, max_digits=8, decimal_places=2)
    currency: str = Field(pattern=r"^[A-Z]{3}$")


class Cash(BaseModel):
    kind: Literal["cash"]
    sum: int


class Card(BaseModel):
    kind: Literal["card"]
    last: str = Field(pattern=r"^\d{4}$")


class Node(BaseModel):
    name: str
    children: list[Node]
    parent: Node | None = None
    by_name: dict[str, Node] = {}


class Shape(TypedDict):
    side: int


class Point(NamedTuple):
    x: int
    y: int


@dataclass
class Box:
    width: float
    label: str = "box"


class Span(BaseModel):
    """Two numbers of which the second must be greater, which no schema says."""

    low: int = Field(examples=[1])
    high: int = Field(examples=[5])

    @model_validator(mode="after")
    def _ordered(self) -> Span:
        if self.high <= self.low:
            raise ValueError("high is not above low")
        return self


class Named(BaseModel):
    full_name: str = Field(alias="fullName")


def _is_odd(number: int) -> int:
    if number % 2 == 0:
        raise ValueError("is even")
    return number


def _is_mail(text: str) -> str:
    if "@" not in text:
        raise ValueError("is no address")
    return text


# What a field may be, and what its example is, as it is written.
ROWS: list[tuple[Any, Any]] = [
    (str, "field"),
    (int, 1),
    (float, 1.0),
    (bool, True),
    (Decimal, "1"),
    (bytes, "field"),
    (Any, "field"),
    (date, "2026-01-15"),
    (datetime, "2026-01-15T09:30:00Z"),
    (AwareDatetime, "2026-01-15T09:30:00Z"),
    (time, "09:30:00Z"),
    (timedelta, "PT1H"),
    (FutureDate, "2030-01-15"),
    (UUID, "0198c0ff-ee2a-4d3e-8f40-5a6b7c8d9e0f"),
    (UUID4, "0198c0ff-ee2a-4d3e-8f40-5a6b7c8d9e0f"),
    (UUID7, "0198c0ff-ee2a-7d3e-8f40-5a6b7c8d9e0f"),
    (HttpUrl, "https://example.com/"),
    (AnyUrl, "https://example.com/"),
    (PostgresDsn, "postgresql://user@localhost:5432/app"),
    (IPv4Address, "192.0.2.1"),
    (IPvAnyAddress, "192.0.2.1"),
    (IPv6Network, "2001:db8::/32"),
    (Annotated[str, Field(json_schema_extra={"format": "email"})], "ana@example.com"),
    (SecretStr, "**********"),
    (Base64Bytes, "dGV4dA=="),
    (Json[list[int]], [1]),
    (Path, "field"),
    # enumerations and literals
    (Grade, "good"),
    (Level, 3),
    (Literal["b", "a"], "b"),
    (Literal[7], 7),
    # a value and not null
    (str | None, "field"),
    (None | date, "2026-01-15"),
    (Annotated[int | None, WithJsonSchema({"oneOf": [{"type": "null"}, {"type": "integer"}]})], 1),
    (None, None),
    # unions: the first
    (int | str, 1),
    (str | int, "field"),
    (Money | int, {"amount": "1", "currency": "AAA"}),
    (
        Annotated[Cash | Card, Field(discriminator="kind")],
        {"kind": "cash", "sum": 1},
    ),
    # one of everything
    (list[int], [1]),
    (list[Money], [{"amount": "1", "currency": "AAA"}]),
    (tuple[int, str], [1, "field"]),
    (tuple[int, ...], [1]),
    (Sequence[date], ["2026-01-15"]),
    (frozenset[str], ["field"]),
    (list, ["field"]),
    (dict[str, int], {"key": 1}),
    (dict[int, str], {"1": "text"}),
    (dict[UUID, int], {"0198c0ff-ee2a-4d3e-8f40-5a6b7c8d9e0f": 1}),
    (dict[Grade, int], {"good": 1}),
    (dict[date, int], {"2026-01-15": 1}),
    (dict, {"key": "text"}),
    (Mapping[str, list[int | None]], {"key": [1]}),
    (Annotated[list[int], Field(min_length=3)], [1, 1, 1]),
    (Annotated[set[int], Field(min_length=3)], [1, 2, 3]),
    (Annotated[list[int], Field(max_length=0)], []),
    (Annotated[dict[str, int], Field(min_length=2)], {"key": 1, "key 2": 1}),
    # numbers within bounds
    (Annotated[int, Field(gt=5)], 6),
    (Annotated[int, Field(ge=5, le=5)], 5),
    (Annotated[int, Field(lt=-3)], -4),
    (Annotated[int, Field(ge=0)], 1),
    (Annotated[int, Field(ge=-2, le=0)], 0),
    (Annotated[int, Field(multiple_of=7, gt=7)], 14),
    (Annotated[int, Field(gt=10**30)], 10**30 + 1),
    (Annotated[float, Field(gt=0, lt=1)], 0.1),
    (Annotated[float, Field(gt=0.001, lt=0.002)], 0.0011),
    (Annotated[float, Field(le=-0.5)], -1.0),
    (Annotated[Decimal, Field(ge=0, le=1, max_digits=3, decimal_places=2)], "1"),
    (Annotated[Decimal, Field(gt=0, lt=1, decimal_places=2)], "0.1"),
    (Annotated[Decimal, Field(multiple_of=Decimal("0.25"), lt=1)], "0.25"),
    # texts of some length
    (Annotated[str, Field(max_length=3)], "fie"),
    (Annotated[str, Field(min_length=8)], "fieldxxx"),
    (Annotated[str, Field(min_length=14)], "field-fieldxxx"),
    (Annotated[str, Field(min_length=2, max_length=2)], "fi"),
    (Annotated[str, Field(max_length=1)], "f"),
    # texts of a pattern
    (Annotated[str, Field(pattern=r"^[A-Z]{3}$")], "AAA"),
    (Annotated[str, Field(pattern=r"^(?:[A-Z0-9]{2}|[A-Z]{3}) ?[0-9]{1,4}[A-Z]?$")], "AA 1A"),
    (Annotated[str, Field(pattern=r"^CLM-\d{4,}$")], "CLM-1111"),
    (Annotated[str, Field(pattern=r"^[a-z]+$", min_length=4, max_length=4)], "fiel"),
    (Annotated[str, Field(pattern=r"^[A-Z]+$", min_length=4, max_length=4)], "AAAA"),
    (Annotated[str, Field(pattern=r"^\d*$", min_length=6)], "111111"),
    (Annotated[str, StringConstraints(to_upper=True)], "FIELD"),
    # what no schema says: the next that is possible is tried
    (PastDatetime, "2026-01-15T09:30:00Z"),
    (Annotated[date, Field(gt=date(2090, 1, 1))], "2100-01-15"),
    (Annotated[str, AfterValidator(_is_mail)], "ana@example.com"),
    (Annotated[str, AfterValidator(_is_mail)] | None, "ana@example.com"),
    (list[Annotated[int, Field(ge=2), AfterValidator(_is_odd)]], [3]),
    (list[Annotated[str, AfterValidator(_is_mail)]], ["ana@example.com"]),
    # models and the like
    (Shape, {"side": 1}),
    (Point, [1, 1]),
    (Box, {"width": 1.0, "label": "box"}),
    (Span, {"low": 1, "high": 5}),
    (Named, {"full_name": "fullName"}),
    # what contains itself ends
    (Node, {"name": "name", "children": [], "parent": None, "by_name": {}}),
    (list[Node] | None, [{"name": "name", "children": [], "parent": None, "by_name": {}}]),
    # written as something else
    (Annotated[int, PlainSerializer(lambda n: f"#{n}", return_type=str)], "#1"),
]


@pytest.mark.parametrize(("kind", "written"), ROWS, ids=lambda row: str(row)[:60])
def test_an_example_is_derived_from_the_type(kind: Any, written: Any) -> None:
    assert _check(_event(kind))["field"] == written


def test_a_datetime_is_naive_only_where_it_must_be() -> None:
    # Its schema says date-time as well, which has an offset: so pydantic tells of it.
    assert data_example_of(_event(NaiveDatetime)) == {"field": "2026-01-15T09:30:00"}


@pytest.mark.parametrize(
    ("kind", "default", "written"),
    [
        (str, "EUR", "EUR"),
        (int, 0, 0),
        (bool, False, False),
        (Decimal, Decimal("2.50"), "2.50"),
        (timedelta, timedelta(days=2), "P2D"),
        (Grade, Grade.BAD, "bad"),
        # these say less than what is derived
        (str, "", "field"),
        (list[int], [], [1]),
        (date | None, None, "2026-01-15"),
        (SecretStr, SecretStr("hunter2"), "**********"),
    ],
)
def test_a_default_is_an_example_unless_it_is_empty(kind: Any, default: Any, written: Any) -> None:
    assert _check(_event(kind, default))["field"] == written


@pytest.mark.parametrize(
    ("kind", "examples", "written"),
    [
        (str, ["mine", "other"], "mine"),
        (date, ["2027-03-04"], "2027-03-04"),
        (date, [date(2027, 3, 4)], "2027-03-04"),
        (Decimal, [Decimal("9.90")], "9.90"),
        (Money, [{"amount": "5.00", "currency": "CHF"}], {"amount": "5.00", "currency": "CHF"}),
        (Money, [Money(amount=Decimal(7), currency="CHF")], {"amount": "7", "currency": "CHF"}),
        (str | None, [None], None),
    ],
)
def test_an_authors_example_of_a_field_is_taken(kind: Any, examples: Any, written: Any) -> None:
    assert _check(_event(kind, Field(examples=examples)))["field"] == written


def test_an_authors_example_of_a_model_or_of_the_event_is_taken() -> None:
    class Seat(BaseModel):
        model_config = ConfigDict(json_schema_extra={"examples": [{"row": 12, "letter": "A"}]})
        row: int
        letter: str

    class Seated(Event, type="examples.seated", channels=("webhook",)):
        seat: Seat
        seats: list[Seat]

    assert _check(Seated)["seats"] == [{"row": 12, "letter": "A"}]

    class Moved(Event, type="examples.moved", channels=("webhook",)):
        model_config = ConfigDict(json_schema_extra={"examples": [{"rows": [1, 2]}]})
        rows: list[int]

    assert _check(Moved) == {"rows": [1, 2]}


@pytest.mark.parametrize(
    ("kind", "default", "said"),
    [
        (int, Field(examples=["many"]), r"no example for field: .*valid integer"),
        (date, Field(examples=["soon"]), r"no example for field: .*valid date"),
        (Annotated[str, Field(pattern=r"^\p{Greek}{3}$")], ..., "for field: String should match"),
        (Annotated[str, Field(min_length=5, max_length=4)], ..., "no example for field: "),
        (Annotated[int, Field(gt=5, lt=6)], ..., "no example for field: nothing that its bounds"),
        (Annotated[date, Field(gt=date(2040, 1, 1), lt=date(2041, 1, 1))], ..., "for field: "),
    ],
)
def test_where_nothing_fits_the_error_names_the_field_and_asks_for_an_example(
    kind: Any, default: Any, said: str
) -> None:
    event_class = _event(kind, default)
    with pytest.raises(ConfigurationError, match=said) as caught:
        example_of(event_class)
    assert caught.value.field == "event type 'examples.made'"
    assert "Field(examples=[…])" in caught.value.remedy


def test_a_type_without_a_schema_needs_an_example_and_no_more() -> None:
    class Seat:
        def __init__(self, name: str) -> None:
            self.name = name

    written = PlainSerializer(lambda seat: seat.name, return_type=str)

    def seated(given: Any) -> Seat:
        return given if isinstance(given, Seat) else Seat(given)

    kind = Annotated[Seat, BeforeValidator(seated), written]
    config = ConfigDict(arbitrary_types_allowed=True, frozen=True)

    def made(default: Any) -> type[Event]:
        class Parent(Event):
            model_config = config

        found = create_model(
            "Seated",
            __base__=Parent,
            __cls_kwargs__={"type": "examples.seat", "channels": ("webhook",)},
            field=(kind, default),
        )
        catalogue.remove(found)
        return found

    with pytest.raises(ConfigurationError, match="no example for field: there is no JSON Schema"):
        example_of(made(...))
    assert data_example_of(made(Field(examples=["12A"]))) == {"field": "12A"}


@pytest.mark.parametrize("given", [5, "claim.approved", ClaimApproved.__mro__[1], Money, Event])
def test_only_event_classes_with_a_type_have_examples_and_schemas(given: Any) -> None:
    with pytest.raises(InvalidEvent):
        example_of(given)
    with pytest.raises(InvalidEvent):
        schema_of(given)


def test_names_that_fields_may_have_do_not_hide_ours() -> None:
    """That is why they are functions and not methods of Event."""

    class Tasted(Event, type="examples.tasted", channels=("webhook",)):
        example: str
        json_schema: int

    assert _check(Tasted) == {"example": "example", "json_schema": 1}


def test_computed_fields_and_the_envelope_are_in_the_example() -> None:
    class Priced(Event, type="examples.priced", channels=("webhook",)):
        net: int

        @computed_field
        @property
        def gross(self) -> int:
            return self.net * 2

    assert _check(Priced) == {"net": 1, "gross": 2}
    assert webhook_example_of(Priced) == {
        "type": "examples.priced",
        "timestamp": "2026-01-15T09:30:00.000000Z",
        "data": {"net": 1, "gross": 2},
    }


def test_events_of_the_claims_pack_have_the_authors_examples() -> None:
    for event_class in catalogue:
        if event_class.__module__ == "claimnotify.claims.events":
            assert _check(event_class)["claim_id"] == "CLM-2041"


def test_the_example_does_not_depend_on_the_process() -> None:
    """Neither randomness nor the order of hashes gets into what is published."""
    program = (
        "from claimnotify.claims import ClaimPaid; from claimnotify.catalogue import *; import json;"
        "print(json.dumps([openapi_of([ClaimPaid]), page_of([ClaimPaid])]))"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONPATH": str(_ROOT), "PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
            timeout=60,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(said) == 1
    assert json.loads(said.pop())


# Types that are put together at random. Whatever they are, the example fits.

_NUMBERS = st.integers(-1000, 1000)
_LEAVES = st.one_of(
    st.sampled_from([row for row, _ in ROWS if row not in (None,)]),
    st.builds(
        lambda low, width: Annotated[int, Field(ge=low, le=low + width)], _NUMBERS, st.integers(0, 9)
    ),
    st.builds(
        lambda low, width: Annotated[Decimal, Field(gt=low, lt=low + width / 8)],
        _NUMBERS,
        st.integers(1, 99),
    ),
    st.builds(
        lambda low, more: Annotated[str, Field(min_length=low, max_length=low + more)],
        st.integers(0, 60),
        st.integers(1, 9),
    ),
    st.builds(lambda each, past: Annotated[int, Field(multiple_of=each, gt=past)], st.integers(1, 50), _NUMBERS),
)  # fmt: skip
_KINDS = st.recursive(
    _LEAVES,
    lambda inner: st.one_of(
        st.builds(lambda kind: list[kind], inner),
        st.builds(lambda kind: kind | None, inner),
        st.builds(lambda kind: dict[str, kind], inner),
        st.builds(lambda one, two: tuple[one, two], inner, inner),
        st.builds(lambda one, two: one | two, inner, inner),
        st.builds(lambda kind: create_model("Inner", it=(kind, ...)), inner),
    ),
    max_leaves=6,
)


@settings(max_examples=200, deadline=None)
@given(kind=_KINDS)
def test_any_combination_of_types_has_an_example_that_fits(kind: Any) -> None:
    _check(_event(kind))
