"""What receivers are told of events: JSON Schema, OpenAPI and a page, thin where webhooks are thin."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from datetime import date
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator, validate
from pydantic import BaseModel, ConfigDict, EmailStr, Field, computed_field, create_model

from claimnotify import Event, schema_of
from claimnotify.catalogue import data_example_of, openapi_of, page_of, webhook_example_of
from claimnotify.claims import ClaimApproved, ClaimPaid, ClaimSubmitted
from claimnotify.errors import ConfigurationError, InvalidEvent
from claimnotify.model.events import catalogue, spec_of


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    """Take what a test defines out of the catalogue again."""
    before = set(catalogue)
    yield
    for event in set(catalogue) - before:
        catalogue.remove(event)


class _Country(BaseModel):
    code: str = "DE"


class _Place(BaseModel):
    model_config = ConfigDict(extra="forbid")
    city: str = "Berlin"
    near: list[_Place] = []
    country: _Country = _Country()


def _valid(document: dict[str, Any]) -> dict[str, Any]:
    """Make sure that this is OpenAPI 3.1 and that each example fits its schema, and return it."""
    validate(json.loads(json.dumps(document)), cls=OpenAPIV31SpecValidator)
    for webhook in document["webhooks"].values():
        media = webhook["post"]["requestBody"]["content"]["application/json"]
        Draft202012Validator(document | media["schema"]).validate(media["example"])
    return document


# JSON Schema


@pytest.mark.parametrize("make", [schema_of, data_example_of, lambda event: openapi_of([event])])
def test_a_type_whose_package_is_missing_is_an_error_that_names_event_and_package(
    make: Callable[[type[Event]], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "email_validator", None)  # as if it were not installed

    class Invited(Event, type="schemas.invited", channels=("webhook",)):
        address: EmailStr

    with pytest.raises(ConfigurationError, match=r"'schemas\.invited'.* email-validator") as caught:
        make(Invited)
    assert "pydantic[email]" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_always_written_is_required_and_more_is_allowed() -> None:
    class Moved(Event, type="schemas.moved", channels=("webhook",)):
        place: _Place
        on: date | None = None
        hidden: str = Field(default="", exclude=True)

        @computed_field
        @property
        def far(self) -> bool:
            return True

    schema = schema_of(Moved)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["required"] == ["place", "on", "far"] == list(schema["properties"])
    assert schema["$defs"]["_Place"]["required"] == ["city", "near", "country"]
    assert "additionalProperties" not in json.dumps(schema)
    check = Draft202012Validator(schema)
    fits = {
        "place": {"city": "Bonn", "near": [], "country": {"code": "DE"}},
        "on": None,
        "far": False,
    }
    assert check.is_valid(fits | {"added": 1})
    for name in fits:
        assert not check.is_valid({key: value for key, value in fits.items() if key != name})
    assert not check.is_valid(fits | {"place": fits["place"] | {"city": 5}})


def test_apart_from_that_it_is_the_schema_that_pydantic_makes() -> None:
    theirs = ClaimApproved.model_json_schema(mode="serialization")
    ours = schema_of(ClaimApproved)
    for schema in (theirs, theirs["$defs"]["Money"]):
        assert schema.pop("additionalProperties") is False
        del schema["required"]
    for schema in (ours, ours["$defs"]["Money"]):
        assert schema.pop("required") == list(schema["properties"])
    assert ours.pop("$schema")
    assert ours == theirs


@pytest.mark.parametrize("by_alias", [True, False])
def test_names_are_those_that_are_written_by_each_models_own_configuration(by_alias: bool) -> None:
    class Inner(BaseModel):
        model_config = ConfigDict(serialize_by_alias=by_alias)
        last_name: str = Field(alias="lastName")

    class Outer(Event, type="schemas.outer", channels=("webhook",)):
        model_config = ConfigDict(serialize_by_alias=not by_alias)
        first_name: str = Field(alias="firstName")
        inner: Inner

    data = data_example_of(Outer)
    assert list(data) == (["first_name", "inner"] if by_alias else ["firstName", "inner"])
    schema = schema_of(Outer)
    assert list(schema["properties"]) == list(data)
    assert list(schema["$defs"]["Inner"]["properties"]) == list(data["inner"])
    assert list(data["inner"]) == (["lastName"] if by_alias else ["last_name"])


def test_an_event_that_contains_itself_has_a_schema() -> None:
    class Grown(Event, type="schemas.grown", channels=("webhook",), subject="name"):
        name: str
        parts: tuple[Grown, ...] = ()

    Grown.model_rebuild(_types_namespace={"Grown": Grown})
    Draft202012Validator(schema_of(Grown)).validate(data_example_of(Grown))
    _valid(openapi_of([Grown]))
    assert "| `parts` | array of object |" in page_of([Grown])


def test_a_type_that_cannot_be_told_is_an_error_that_says_what_to_do() -> None:
    class Thing:
        pass

    class Odd(Event, type="schemas.odd", channels=("webhook",)):
        model_config = ConfigDict(arbitrary_types_allowed=True)
        thing: Thing

    for tell in (
        schema_of,
        lambda each: openapi_of([ClaimPaid, each]),
        lambda each: page_of([ClaimPaid, each]),
    ):
        with pytest.raises(ConfigurationError, match=r"'schemas.odd': has no JSON Schema.*Thing"):
            tell(Odd)


def test_a_name_that_is_not_defined_is_an_error() -> None:
    made = create_model(
        "Vague",
        __base__=Event,
        __cls_kwargs__={"type": "schemas.vague", "channels": ("webhook",)},
        field=("Nowhere", ...),
    )
    with pytest.raises(ConfigurationError, match="Nowhere"):
        schema_of(made)


# thin webhooks


class _Approved(Event, channels=("email", "webhook"), subject="claim_id"):
    claim_id: str = Field(examples=["CLM-1"])
    name: str = Field(examples=["Ana"])
    place: _Place = _Place()

    @computed_field
    @property
    def link(self) -> str:
        return f"https://example.com/{self.claim_id}"


def _thin(payload: Any, **keywords: Any) -> type[Event]:
    class Approved(_Approved, type="schemas.approved", webhook_payload=payload, **keywords):
        pass

    return Approved


@pytest.mark.parametrize(
    ("payload", "data"),
    [
        ("thin", {"claim_id": "CLM-1"}),
        (("claim_id",), {"claim_id": "CLM-1"}),
        (("name", "claim_id"), {"claim_id": "CLM-1", "name": "Ana"}),
        (["name"], {"name": "Ana"}),
        (("link",), {"link": "https://example.com/CLM-1"}),
    ],
)
def test_schema_example_and_openapi_of_a_thin_event_are_thin(payload: Any, data: Any) -> None:
    thin = _thin(payload)
    assert data_example_of(thin) == data
    assert webhook_example_of(thin)["data"] == data
    schema = schema_of(thin)
    assert schema["properties"].keys() == set(schema["required"]) == data.keys()
    assert "$defs" not in schema
    assert {"claim_id", "name", "place", "link"} == schema_of(thin, full=True)["properties"].keys()
    document = _valid(openapi_of([thin]))
    assert set(document["components"]["schemas"]) == {"schemas.approved-v1", "Approved-thin"}
    for name in {"claim_id", "name", "place", "link"} - data.keys():
        assert f"| `{name}` |" not in page_of([thin])
        assert f'"{name}"' not in json.dumps(
            [document["webhooks"], document["components"]["schemas"]]
        )


def test_a_thin_event_keeps_the_models_it_carries() -> None:
    document = _valid(openapi_of([_thin(("place",))]))
    assert set(document["components"]["schemas"]) == {
        "schemas.approved-v1",
        "Approved-thin",
        "_Place",
        "_Country",
    }


def test_the_default_is_full_and_the_keyword_is_inherited() -> None:
    class Base(_Approved, webhook_payload="thin"):
        pass

    class Child(Base, type="schemas.child"):
        pass

    class Again(Child, type="schemas.again", webhook_payload="full"):
        pass

    assert spec_of(Child).webhook_fields == ("claim_id",)
    assert spec_of(Again).webhook_fields is None
    assert spec_of(ClaimApproved).webhook_fields is None


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        ("slim", "webhook_payload is none of full, thin and a tuple"),
        ("claim_id", "webhook_payload is none of full, thin and a tuple"),
        ((), "webhook_payload is none of full, thin and a tuple"),
        (("claim_id", "claim_id"), "different fields"),
        ((5,), "webhook_payload is none of full, thin and a tuple"),
        (5, "webhook_payload is none of full, thin and a tuple"),
        (("claim",), "webhook_payload names 'claim', which is not a field that is written"),
        (("kept",), "webhook_payload names 'kept', which is not a field that is written"),
    ],
)
def test_a_wrong_webhook_payload_is_refused_when_the_class_is_defined(
    payload: Any, said: str
) -> None:
    class Base(_Approved):
        kept: str = Field(default="", exclude=True)

    with pytest.raises(ConfigurationError, match=said) as caught:

        class Wrong(Base, type="schemas.wrong", webhook_payload=payload):
            pass

    assert caught.value.remedy
    assert catalogue.get("schemas.wrong") is None


def test_thin_without_a_subject_is_refused_when_the_class_is_defined() -> None:
    with pytest.raises(ConfigurationError, match="thin and there is no subject"):

        class Wrong(Event, type="schemas.wrong", channels=("webhook",), webhook_payload="thin"):
            claim_id: str

    assert catalogue.get("schemas.wrong") is None


# OpenAPI


def test_each_webhook_says_what_is_sent_and_what_the_answer_does() -> None:
    document = _valid(openapi_of([ClaimApproved, ClaimPaid], title="Claims", version="2.1"))
    assert (document["openapi"], document["info"]) == (
        "3.1.0",
        {"title": "Claims", "version": "2.1"},
    )
    assert list(document["webhooks"]) == ["claim.approved", "claim.paid"]
    post = document["webhooks"]["claim.approved"]["post"]
    assert post["summary"] == "The claim was found justified."
    headers = [document["components"]["parameters"][name["$ref"].rpartition("/")[2]] for name in post["parameters"]]  # fmt: skip
    assert [(each["name"], each["in"], each["required"]) for each in headers] == [
        ("webhook-id", "header", True),
        ("webhook-timestamp", "header", True),
        ("webhook-signature", "header", True),
    ]
    assert set(post["responses"]) == {"2XX", "410", "default"}
    media = post["requestBody"]["content"]["application/json"]
    assert media["example"] == webhook_example_of(ClaimApproved)
    body = document["components"]["schemas"]["claim.approved-v1"]
    assert body["required"] == ["type", "timestamp", "data"]
    assert body["properties"]["type"]["const"] == "claim.approved"
    assert body["properties"]["data"] == {"$ref": "#/components/schemas/ClaimApproved"}


def test_equally_named_models_of_two_events_do_not_get_mixed_up() -> None:
    def made(type: str, kind: Any) -> type[Event]:
        amount = create_model("Amount", value=(kind, ...))
        return create_model(
            "Paid",
            __base__=Event,
            __cls_kwargs__={"type": type, "channels": ("webhook",)},
            amount=(amount, ...),
        )

    one, two = made("schemas.one", int), made("schemas.two", str)
    document = _valid(openapi_of([one, two]))
    assert len(document["components"]["schemas"]) == 6
    for name, kind in (("schemas.one", "integer"), ("schemas.two", "string")):
        schema = document["components"]["schemas"][f"{name}-v1"]
        for step in ("data", "amount", "value"):
            schema = schema["properties"][step]
            if "$ref" in schema:
                schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
        assert schema["type"] == kind


def test_versions_are_told_apart_where_there_are_several() -> None:
    class Old(Event, type="schemas.aged", channels=("webhook",)):
        row: int

    class New(Event, type="schemas.aged", channels=("webhook",), version=2):
        seat: str

    assert list(_valid(openapi_of([Old, New]))["webhooks"]) == [
        "schemas.aged-v1",
        "schemas.aged-v2",
    ]
    assert list(_valid(openapi_of([New]))["webhooks"]) == ["schemas.aged"]
    page = page_of([Old, New])
    assert "## `schemas.aged-v1`" in page
    assert "## `schemas.aged-v2`" in page


def test_no_events_give_an_empty_document() -> None:
    assert openapi_of([])["webhooks"] == {}
    validate(openapi_of([]), cls=OpenAPIV31SpecValidator)
    assert page_of([]) == "# Webhooks\n"


@pytest.mark.parametrize("tell", [openapi_of, page_of])
def test_something_else_than_an_event_class_is_refused(tell: Any) -> None:
    with pytest.raises(InvalidEvent):
        tell([ClaimSubmitted, _Place])
    with pytest.raises(InvalidEvent):
        tell([Event])


# the page


def test_a_page_has_a_section_for_each_event_with_fields_and_the_example() -> None:
    page = page_of([ClaimSubmitted, ClaimApproved], title="Our <webhooks>")
    assert page.startswith(
        "# Our &lt;webhooks&gt;\n\n## `claim.submitted`\n\nA claim was received."
    )
    section = page.partition("## `claim.approved`")[2]
    assert (
        "| `claim_id` | string | yes | The claim's number, as the passenger knows it. |" in section
    )
    assert "| `flight_date` | string (date) or null | yes | " in section
    assert "| `amount` | object | yes | What will be paid. |" in section
    assert "| `amount.currency` | string | yes | The ISO 4217 code. |" in section
    example = section.partition("```json\n")[2].partition("\n```")[0]
    assert json.loads(example) == webhook_example_of(ClaimApproved)


def test_what_is_in_a_description_does_not_break_the_table() -> None:
    class Torn(Event, type="schemas.torn", channels=("webhook",)):
        """Something was torn.

        It had `|` in it.
        """

        seam: str = Field(description="a | b\n<script>alert(1)</script>")
        places: list[_Place]
        by_name: dict[str, _Place] | None = None

    page = page_of([Torn])
    assert "Something was torn.\n\nIt had `|` in it.\n" in page
    assert "| `seam` | string | yes | a \\| b &lt;script&gt;alert(1)&lt;/script&gt; |\n" in page
    assert "| `places[].city` | string | yes |" in page
    assert "| `places[].country.code` | string | yes |" in page
    assert "| `by_name.*.near` | array of object | yes |" in page
    assert _valid(openapi_of([Torn]))["webhooks"]["schemas.torn"]["post"]["description"]
