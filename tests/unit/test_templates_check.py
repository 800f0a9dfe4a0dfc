"""The start-up check: it finds what an event does not have, and never cries wolf."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, ConfigDict, Field, computed_field, field_serializer

from claimnotify.claims import events as claims
from claimnotify.errors import TemplateError
from claimnotify.model.events import Event, catalogue
from claimnotify.model.notifications import Notification
from claimnotify.model.recipients import Recipient
from claimnotify.templates.renderer import JinjaRenderer
from claimnotify.webhooks.events import EndpointDisabled, EndpointFailing

Check = Callable[..., None]


class Price(BaseModel):
    amount: str = "1"
    currency: str = "EUR"


class Leg(BaseModel):
    origin: str = "BER"
    price: Price = Price()


class Loose(BaseModel):
    model_config = ConfigDict(extra="allow")


@pytest.fixture
def trip() -> Iterator[type[Event]]:
    """Give an event class with every kind of field, and forget it afterwards."""

    class TripBooked(Event, type="trip.booked", channels=("email", "sms", "in_app", "pager")):
        seat: str = "12A"
        price: Price = Price()
        discount: Price | None = None
        legs: list[Leg] = Field(default_factory=lambda: [Leg(), Leg()])
        stops: Annotated[tuple[Leg, ...], Field(min_length=0)] = (Leg(),)
        either: Price | Leg = Price()
        loose: Loose = Loose(anything="x")  # type: ignore[call-arg]  # extra fields are allowed
        shown: Price = Price()
        secret: Annotated[str, Field(exclude=True)] = "s"

        @computed_field  # type: ignore[prop-decorator]  # pydantic's documented way
        @property
        def total(self) -> str:
            return "2"

        @field_serializer("shown")
        def _show(self, value: Price) -> dict[str, str]:
            return {"as_text": value.amount}

    yield TripBooked
    catalogue.remove(TripBooked)


@pytest.fixture
def check(tmp_path: Path, trip: type[Event]) -> Check:
    """Give a function that checks `trip` with some templates."""

    def run(files: dict[str, str] | str, *, render: bool = False) -> None:
        files = {"trip.booked/sms.txt": files} if isinstance(files, str) else files
        for name, content in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content, encoding="utf-8")
        renderer = JinjaRenderer(template_dir=tmp_path)
        renderer.check([trip])
        if render:
            for channel in ("email", "sms", "in_app", "pager"):
                renderer.render(_notification(trip), channel)

    return run


def _notification(event_class: type[Event]) -> Notification:
    return Notification(
        id="0" * 32,
        tenant="default",
        event_type="trip.booked",
        category="general",
        owner="cus_7",
        recipient=Recipient(id="cus_7"),
        payload=event_class().model_dump(mode="json"),
        created_at=datetime(2026, 11, 24, tzinfo=UTC),
    )


WRONG = {
    # a name
    "{{ seatt }}": "line 1: asks for 'seatt', which trip.booked does not have",
    "\n{% if seatt %}x{% endif %}": "line 2: asks for 'seatt'",
    "{{ seat ~ (seatt or 'x') }}": "'seatt'",
    "{{ seat if seatt else 1 }}": "'seatt'",
    "{{ [seat, {'a': seatt}] }}": "'seatt'",
    "{{ seat|truncate(seatt) }}": "'seatt'",
    "{{ seat is sameas(seatt) }}": "'seatt'",
    "{{ secret }}": "'secret'",  # excluded from the payload
    # an attribute of what we give
    "{{ recipient.nam }}": "'recipient.nam'",
    "{{ recipient['nam'] }}": "'recipient.nam'",
    "{{ brand.nam }}": "'brand.nam'",
    "{{ brand.colours.primry }}": "'brand.colours.primry'",
    "{{ event.typ }}": "'event.typ'",
    "{{ event.payload.seatt }}": "'event.payload.seatt'",
    "{{ language.locale }}": "'language.locale'",
    "{{ recipient.nam|upper }}": "'recipient.nam'",
    # an attribute of a payload's model
    "{{ price.curency }}": "'price.curency'",
    "{{ discount.curency }}": "'discount.curency'",
    "{{ legs[0].orign }}": "'legs.0.orign'",
    "{{ (legs|first).orign }}": "'….orign'",
    "{{ legs[0].price.curency }}": "'legs.0.price.curency'",
    # loops, set, with
    "{% for leg in legs %}{{ leg.orign }}{% endfor %}": "'leg.orign'",
    "{% for leg in stops if leg.orign %}{% endfor %}": "'leg.orign'",
    "{% for leg in legs|sort(attribute='origin') %}{{ leg.price.x }}{% endfor %}": "price.x",
    "{% for leg in legs %}{% endfor %}{{ leg.origin }}": "'leg'",
    "{% set who = recipient %}{{ who.nam }}": "'who.nam'",
    "{% set a = price %}{% set b = a %}{{ b.curency }}": "'b.curency'",
    "{% with a = price %}{{ a.curency }}{% endwith %}": "'a.curency'",
    "{% set x %}{{ seatt }}{% endset %}": "'seatt'",
    # macros and calls
    "{% macro m(a) %}{{ seatt }}{% endmacro %}": "'seatt'",
    "{% macro m(a=seatt) %}{% endmacro %}": "'seatt'",
    "{% macro m() %}{{ caller() }}{% endmacro %}{% call m() %}{{ seatt }}{% endcall %}": "'seatt'",
    "{% filter upper %}{{ seatt }}{% endfilter %}": "'seatt'",
    # translations
    "{% trans %}Seat {{ seatt }}{% endtrans %}": "'seatt'",
    "{{ _('Seat %(x)s') }}": "without a value for 'x'",
    # a guard holds for its last step only
    "{{ recipient.nam.first is defined }}": "'recipient.nam'",
    "{{ price.a.b|default('') }}": "'price.a'",
    # syntax
    "{{ seat": "does not parse",
    "{{ seat|shout }}": "No filter named 'shout'",
    "{% if seat %}": "does not parse",
    "{{ x y }}": "line 1: does not parse",
    # other templates
    "{% include 'nowhere.txt' %}": "'nowhere.txt', which does not exist",
    "{% extends 'nowhere.txt' %}": "'nowhere.txt', which does not exist",
    "{% import 'nowhere.txt' as n %}": "'nowhere.txt', which does not exist",
    "{% from 'layouts/parts.html' import knob %}": "imports 'knob'",
    "{% import 'layouts/parts.html' as parts %}{{ parts.knob() }}": "'parts.knob'",
}


@pytest.mark.parametrize("template", WRONG)
def test_what_is_not_there_is_found(check: Check, template: str) -> None:
    with pytest.raises(TemplateError) as caught:
        check(template)
    assert WRONG[template] in str(caught.value)
    assert "trip.booked/sms.txt" in str(caught.value)


RIGHT = [
    "{{ seat }} {{ price.currency }} {{ total }} {{ event.type }} {{ event.payload.seat }}",
    "{{ recipient.name }} {{ brand.colours.primary }} {{ public_url }} {{ language.tag }}",
    "{{ event.created_at.year }} {{ seat.upper() }} {{ seat[0] }} {{ seat[1:] }}",
    # unknown shapes allow everything
    "{{ loose.anything }} {{ either.amount }} {{ shown.as_text }}",
    "{{ price.keys()|list }} {{ legs.count(1) }}",
    "{% for name, value in event.payload|items %}{{ name }}{{ value }}{% endfor %}",
    "{% for k, v in price.items() %}{{ k }}{% endfor %}",
    # guards
    "{{ gone|default('x') }} {{ price.gone|d('x') }}",
    "{% if gone is defined %}{{ gone }}{% endif %}",
    "{% if gone is not defined %}{% else %}{{ gone.x.y }}{% endif %}",
    "{% if price.gone is defined %}{{ price.gone }}{% endif %}",
    # names the template makes
    "{% set x = 1 %}{{ x }}",
    "{% if seat %}{% set x = 1 %}{% else %}{% set x = 2 %}{% endif %}{{ x }}",
    "{% set x, y = (1, 2) %}{{ x }}{{ y }}",
    "{% set ns = namespace(n=0) %}{% for l in legs %}{% set ns.n = ns.n + 1 %}{% endfor %}{{ ns.n }}",
    "{% set price = {'other': 1} %}{{ price.other }}",
    "{% set x = price %}{% if not seat %}{% set x = legs[0] %}{% endif %}{{ x.amount }}",
    "{% if not seat %}{% set recipient = price %}{% endif %}{{ recipient.id }}",
    "{% if seat %}{% set price = {'other': 1} %}{% endif %}{{ price.other }}",
    "{% for leg in legs %}{{ loop.index }}{{ leg.origin }}{% else %}{{ seat }}{% endfor %}",
    "{% for price in [{'x': 1}] %}{{ price.x }}{% endfor %}",
    "{% for x in legs recursive %}{{ x.origin }}{{ loop.depth }}{% endfor %}",
    "{% macro m(recipient, b=seat) %}{{ recipient.x }}{{ b }}{% endmacro %}{{ m({'x': 1}) }}",
    "{% macro m() %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, a=2) }}",
    "{% macro m() %}{{ later }}{% endmacro %}{% set later = 1 %}{{ m() }}",
    "{% macro m() %}{{ caller(1) }}{% endmacro %}{% call(price) m() %}{{ price.real }}{% endcall %}",
    "{% with price = {'x': 1} %}{{ price.x }}{% endwith %}",
    "{% trans n=legs|length, seat=seat %}one {{ seat }}{% pluralize %}{{ n }} legs{% endtrans %}",
    "{% trans %}100% of {{ seat }}{% endtrans %} {{ _('50%%') }}",
    "{{ legs|map(attribute='origin')|join(', ') }} {{ range(3)|list }} {{ dict(a=1).a }}",
    # other templates
    "{% include ['nowhere.txt', 'layouts/sender.txt'] %}",
    "{% include 'nowhere.txt' ignore missing %}",
    "{% set name = 'layouts/sender.txt' %}{% include name %}",
    "{% import 'layouts/parts.html' as parts %}{{ parts.amount('1') }}",
    "{% from 'layouts/parts.html' import amount as big %}{{ big('1') }}",
]


@pytest.mark.parametrize("template", RIGHT)
def test_a_template_that_renders_passes(check: Check, template: str) -> None:
    check(template, render=True)


def test_names_are_followed_through_other_templates(check: Check) -> None:
    """Each bad template is fine but for what another one does with it."""
    cases: list[tuple[dict[str, str], str]] = [
        (  # inheritance: a layout of the application asks for another event's field
            {
                "trip.booked/sms.txt": "{% extends 'base.txt' %}{% block a %}x{% endblock %}",
                "base.txt": "{% block a %}{% endblock %}\n{{ seatt }}",
            },
            "base.txt, line 2: asks for 'seatt'",
        ),
        (  # a block that calls super() shows its parent's
            {
                "trip.booked/sms.txt": "{% extends 'base.txt' %}"
                "{% block a %}{{ super() }}{% endblock %}",
                "base.txt": "{% block a %}{{ seatt }}{% endblock %}",
            },
            "base.txt, line 1: asks for 'seatt'",
        ),
        (
            {
                "trip.booked/sms.txt": "{% include 'part.txt' %}",
                "part.txt": "{{ recipient.nam }}",
            },
            "part.txt, line 1: asks for 'recipient.nam'",
        ),
        (  # an import sees no context unless it asks for it
            {
                "trip.booked/sms.txt": "{% import 'part.txt' as p %}{{ p.m() }}",
                "part.txt": "{% macro m() %}{{ seat }}{% endmacro %}",
            },
            "part.txt, line 1: asks for 'seat'",
        ),
        (
            {
                "trip.booked/sms.txt": "{% import 'part.txt' as p with context %}{{ p.m() }}",
                "part.txt": "{% macro m() %}{{ price.curency }}{% endmacro %}",
            },
            "part.txt, line 1: asks for 'price.curency'",
        ),
        (
            {
                "trip.booked/email.html": "{% include 'part.txt' %}",
                "part.txt": "{{ seat }}",
            },
            "would not be escaped",
        ),
    ]
    for files, expected in cases:
        with pytest.raises(TemplateError) as caught:
            check(files)
        assert expected in str(caught.value)
        check(dict.fromkeys(files, ""))


def test_what_other_templates_give_is_known(check: Check) -> None:
    check(
        {
            "trip.booked/sms.txt": "{% extends 'base.txt' %}{% set mine = 1 %}ignored {{ ignored }}"
            "{% block a %}{{ mine }}{{ theirs }}{% endblock %}"
            "{% block b %}no super{% endblock %}"
            "{% block c scoped %}{{ leg.origin }}{% endblock %}",
            "base.txt": "{% set theirs = 1 %}{{ mine }}{% block a %}{% endblock %}"
            "{% block b %}{{ not_shown }}{% endblock %}"
            "{% for leg in legs %}{% block c scoped %}{% endblock %}{% endfor %}",
            "trip.booked/pager.txt": "{% for leg in legs %}{% include 'part.txt' %}{% endfor %}",
            "part.txt": "{{ leg.origin }}{{ leg.price.amount }}",
            "trip.booked/in_app.txt": "{% import 'm.txt' as m with context %}{{ m.both(1) }}",
            "m.txt": "{% macro both(x) %}{{ x }}{{ seat }}{{ brand.name }}{% endmacro %}",
        },
        render=True,
    )


def test_every_part_of_every_channel_is_checked(check: Check) -> None:
    for part in (
        "email.subject.txt",
        "email.txt",
        "email.html",
        "sms.txt",
        "in_app.title.txt",
        "in_app.txt",
        "in_app.url.txt",
        "pager.txt",
    ):
        with pytest.raises(TemplateError, match="seatt"):
            check({f"trip.booked/{part}": "{{ seatt }}"})
        check({f"trip.booked/{part}": ""})


def test_templates_of_no_known_event_are_parsed_too(check: Check) -> None:
    with pytest.raises(TemplateError, match=r"other\.event/sms\.txt, line 2: does not parse"):
        check({"other.event/sms.txt": "\n{{"})


def test_a_template_that_is_not_utf_8_is_named(tmp_path: Path, trip: type[Event]) -> None:
    (tmp_path / "bad.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(TemplateError, match=r"bad\.txt: is not UTF-8"):
        JinjaRenderer(template_dir=tmp_path).check([trip])


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ('msgid "Hello %(name)s,"\nmsgstr "Salut %(nom)s,"\n', "placeholder 'nom'"),
        ("this is not a catalogue\n", "not a readable .po file"),
    ],
)
def test_translations_are_checked(check: Check, content: str, problem: str) -> None:
    header = 'msgid ""\nmsgstr "Content-Type: text/plain; charset=utf-8\\n"\n\n'
    with pytest.raises(TemplateError) as caught:
        check({"locales/fr/LC_MESSAGES/claimnotify.po": header + content})
    assert problem in str(caught.value)
    assert "locales/fr/LC_MESSAGES/claimnotify.po" in str(caught.value)


def test_the_packages_templates_fit_the_claims_pack() -> None:
    events = [getattr(claims, name) for name in claims.__all__]
    typed: list[Any] = [each for each in events if issubclass(each, Event)]
    assert len(typed) == 6
    JinjaRenderer().check(typed)


def test_a_renamed_field_of_a_claim_event_is_found() -> None:
    """Mutation of the check itself: without `reason` the package's own templates are wrong."""
    renderer = JinjaRenderer()

    class Renamed(claims.ClaimRejected, type="claim.rejected", version=99):
        reason: Annotated[str, Field(exclude=True)]  # type: ignore[assignment]  # no longer there

    try:
        with pytest.raises(TemplateError, match=r"claim\.rejected/.*asks for 'reason'"):
            renderer.check([Renamed])
    finally:
        catalogue.remove(Renamed)


def test_the_templates_of_our_own_events_have_all_they_ask_for() -> None:
    """At start-up they are checked only where an application may have put others in their place."""
    JinjaRenderer().check([EndpointFailing, EndpointDisabled])
