"""What recipients read: language, amounts, escaping, fallbacks, one brand."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from claimnotify.errors import TemplateError
from claimnotify.model.messages import EmailMessage, InAppMessage, SmsMessage, WebhookMessage
from claimnotify.model.notifications import Notification
from claimnotify.model.recipients import Recipient
from claimnotify.templates.brand import Brand, Colours
from claimnotify.templates.renderer import JinjaRenderer

CLAIM = {
    "claim_id": "CLM-2041",
    "passenger_name": "Jörg Müßig",
    "flight_number": "LH 1234",
    "origin": "BER",
    "destination": "LIS",
    "flight_date": "2026-11-02",
    "claim_url": "https://claims.example.com/CLM-2041",
    "due_date": "2026-12-01",
}
EUROS = {"amount": "1250.00", "currency": "EUR"}
PAYLOADS: dict[str, dict[str, Any]] = {
    "claim.submitted": CLAIM,
    "claim.under_review": CLAIM,
    "claim.approved": CLAIM | {"amount": EUROS},
    "claim.rejected": CLAIM | {"reason": "A storm closed the airport."},
    "claim.paid": CLAIM
    | {"amount": EUROS, "paid_on": "2026-11-30", "payment_reference": "CN-88123"},
    "document.rejected": CLAIM
    | {"document_kind": "boarding_pass", "reason": "Too dark.", "upload_url": None},
}
BRAND = Brand(name="Skyright", support_email="help@example.com", footer="Skyright GmbH\nBerlin")


def notification(
    event_type: str = "claim.approved",
    payload: dict[str, Any] | None = None,
    *,
    locale: str = "en",
    version: int = 1,
    **recipient: Any,
) -> Notification:
    payload = PAYLOADS[event_type] if payload is None else payload
    return Notification(
        id="0" * 32,
        tenant="default",
        event_type=event_type,
        event_version=version,
        category="status_updates",
        subject=payload.get("claim_id"),
        owner="cus_7",
        recipient=Recipient(
            **{"id": "cus_7", "timezone": "Europe/Berlin", "locale": locale} | recipient
        ),
        payload=payload,
        payload_json=json.dumps(payload, ensure_ascii=False),
        created_at=datetime(2026, 11, 24, 23, 30, tzinfo=UTC),
    )


def email(renderer: JinjaRenderer, what: Notification) -> EmailMessage:
    message = renderer.render(what, "email")
    assert isinstance(message, EmailMessage)
    return message


def text(renderer: JinjaRenderer, what: Notification, channel: str = "sms") -> str:
    message = renderer.render(what, channel)
    assert isinstance(message, SmsMessage)
    return message.text


@pytest.fixture(scope="module")
def renderer() -> JinjaRenderer:
    return JinjaRenderer(brand=BRAND, public_url="https://notify.example.com")


@pytest.fixture
def overriding(tmp_path: Path) -> Iterator[Any]:
    """Give a function that makes a renderer whose template_dir has some files."""

    def make(files: dict[str, str], **options: Any) -> JinjaRenderer:
        for name, content in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content, encoding="utf-8")
        return JinjaRenderer(template_dir=tmp_path, **options)

    return make


# The claims pack


@pytest.mark.parametrize("locale", ["en", "de"])
@pytest.mark.parametrize("event_type", PAYLOADS)
def test_every_claim_event_has_all_parts_in_both_languages(
    renderer: JinjaRenderer, event_type: str, locale: str
) -> None:
    what = notification(event_type, locale=locale)
    mail = email(renderer, what)
    item = renderer.render(what, "in_app")
    assert isinstance(item, InAppMessage)
    assert mail.html is not None
    assert f'lang="{locale}"' in mail.html
    for content in (mail.text, mail.html):
        assert "CLM-2041" in content
        assert "Jörg Müßig" in content
        assert "https://claims.example.com/CLM-2041" in content
        assert "None" not in content
    assert "\n\n\n" not in mail.text
    assert item.url == "https://claims.example.com/CLM-2041"
    assert len(text(renderer, what)) > 40
    assert item.title
    assert item.body
    english = email(renderer, notification(event_type, locale="en")).subject
    assert (mail.subject == english) == (locale == "en")


GSM_7 = set(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡"
    "ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
GSM_7_EXTENSION = set("^{}\\[~]|€")


@pytest.mark.parametrize("locale", ["en", "de"])
@pytest.mark.parametrize("event_type", PAYLOADS)
def test_an_sms_of_a_claim_fits_one_gsm_segment(
    renderer: JinjaRenderer, event_type: str, locale: str
) -> None:
    """3GPP TS 23.038: 160 septets, of which the euro sign takes two. Without a link."""
    payload = PAYLOADS[event_type] | {"claim_url": None}
    content = text(renderer, notification(event_type, payload, locale=locale))
    assert set(content) <= GSM_7 | GSM_7_EXTENSION
    assert sum(2 if char in GSM_7_EXTENSION else 1 for char in content) <= 160


def test_an_amount_is_written_as_the_recipient_writes_it(renderer: JinjaRenderer) -> None:
    cases = {
        "de": "1.250,00 €",
        "de-AT": "€ 1.250,00",
        "en": "€1,250.00",
        "fr": "€1,250.00",  # no French messages: English, and no mix of the two
    }
    for locale, expected in cases.items():
        mail = email(renderer, notification(locale=locale))
        assert expected in mail.subject
        assert expected in mail.text
        assert expected in text(renderer, notification(locale=locale))
        assert mail.html is not None
        assert expected in mail.html.replace("\u00a0", " ")


def test_dates_are_in_the_recipients_language(renderer: JinjaRenderer) -> None:
    assert "1. Dezember 2026" in email(renderer, notification(locale="de")).text
    assert "December 1, 2026" in email(renderer, notification(locale="en")).text
    assert "1 December 2026" in email(renderer, notification(locale="en-GB")).text


def test_a_language_is_found_by_its_region_then_itself_then_english(
    renderer: JinjaRenderer,
) -> None:
    cases = [
        ("de-AT", "de-AT", "bewilligt"),
        ("de_CH", "de-CH", "bewilligt"),
        ("DE", "de", "bewilligt"),
        ("de-XQ", "de", "bewilligt"),  # a region nobody knows
        ("pt-BR", "en", "approved"),
        ("tlh", "en", "approved"),  # Babel does not know it
    ]
    for locale, tag, word in cases:
        mail = email(renderer, notification(locale=locale))
        assert mail.html is not None
        assert f'<html lang="{tag}"' in mail.html
        assert word in mail.subject


def test_a_notification_without_recipient_is_in_english(renderer: JinjaRenderer) -> None:
    what = notification()
    nobody = Notification(
        **{name: getattr(what, name) for name in what.__slots__} | {"recipient": None}
    )
    assert "is approved" in email(renderer, nobody).subject


# Escaping


def test_a_payload_is_escaped_in_html_and_verbatim_in_text(renderer: JinjaRenderer) -> None:
    evil = "<script>alert('x')</script> & 5 > 3"
    what = notification("claim.rejected", CLAIM | {"reason": evil, "passenger_name": evil})
    mail = email(renderer, what)
    assert mail.html is not None
    assert "<script" not in mail.html
    assert "&lt;script&gt;" in mail.html
    assert evil in mail.text


def test_a_recipients_name_is_escaped_in_html(renderer: JinjaRenderer) -> None:
    mail = email(renderer, notification(name="<b>Bob</b>"))
    assert mail.html is not None
    assert "<b>" not in mail.html
    assert "Hello <b>Bob</b>," in mail.text


def test_html_takes_in_no_text_template(overriding: Any) -> None:
    """A text template does not escape; also not when its name is only known at render time."""
    renderer = overriding(
        {
            "seat.upgraded/email.html": '{% set name = "seat.upgraded/_x.txt" %}{% include name %}',
            "seat.upgraded/_x.txt": "{{ seat }}",
        }
    )
    with pytest.raises(TemplateError, match="would not be escaped"):
        renderer.render(notification("seat.upgraded", {"seat": "<b>"}), "email")


def test_a_link_from_a_payload_must_be_a_web_url(renderer: JinjaRenderer) -> None:
    payload = CLAIM | {"claim_url": "javascript:alert(1)"}
    for channel in ("email", "sms", "in_app"):
        with pytest.raises(TemplateError, match=r"http\(s\) URL") as caught:
            renderer.render(notification("claim.submitted", payload), channel)
        assert "javascript" not in str(caught.value)


def test_subject_and_title_stay_one_line(renderer: JinjaRenderer) -> None:
    evil = "CLM\r\nBcc: all@example.com\u2028x\x00\x1b"
    what = notification("claim.submitted", CLAIM | {"claim_id": evil})
    mail = email(renderer, what)
    assert mail.subject == "We have received your claim CLM Bcc: all@example.com x"


# Fallbacks


def test_an_event_without_templates_gets_title_and_fields(renderer: JinjaRenderer) -> None:
    payload = {
        "seat_number": "12A",
        "price": {"amount": "49.90", "currency": "EUR"},
        "extras": ["lounge", "meal"],
        "paid": True,
        "note": None,
    }
    what = notification("seat.upgraded", payload, locale="de", name="Ana")
    mail = email(renderer, what)
    item = renderer.render(what, "in_app")
    assert isinstance(item, InAppMessage)
    assert mail.subject == "Seat upgraded"
    assert mail.html is not None
    for content in (mail.text, mail.html.replace("\u00a0", " "), item.body, text(renderer, what)):
        for expected in ("Seat number", "12A", "49,90 €", "lounge, meal", "ja"):
            assert expected in content
        assert "Note" not in content
    assert item == InAppMessage(title="Seat upgraded", body=item.body, url=None)
    assert "Guten Tag Ana!" in mail.text


def test_missing_parts_come_from_the_generic_templates(overriding: Any) -> None:
    renderer = overriding({"seat.upgraded/email.subject.txt": "Your seat is {{ seat }}\n"})
    what = notification("seat.upgraded", {"seat": "12A"})
    mail = email(renderer, what)
    assert mail.subject == "Your seat is 12A"
    assert "Seat: 12A" in mail.text
    assert mail.html is not None
    assert ">12A<" in mail.html


def test_html_without_text_gets_its_text_from_the_html(overriding: Any) -> None:
    renderer = overriding(
        {
            "seat.upgraded/email.html": """{% extends "layouts/email.html" %}
            {% block preheader %}not shown{% endblock %}
            {% block heading %}A better seat{% endblock %}
            {% block content %}<p>You sit in <b>{{ seat }}</b>.<br>Enjoy!</p>
            <ul><li>wide</li><li>quiet</li></ul>
            <a href="https://example.com/seat">See it</a>{% endblock %}"""
        }
    )
    mail = email(renderer, notification("seat.upgraded", {"seat": "12A & 12B"}))
    assert "A better seat" in mail.text
    assert "You sit in 12A & 12B.\nEnjoy!" in mail.text
    assert "- wide" in mail.text
    assert "See it (https://example.com/seat)" in mail.text
    assert "not shown" not in mail.text
    assert "color-scheme" not in mail.text


def test_text_without_html_gets_html_with_the_same_words(overriding: Any) -> None:
    renderer = overriding({"seat.upgraded/email.txt": "Hello\n\nYou sit in <{{ seat }}>."})
    mail = email(renderer, notification("seat.upgraded", {"seat": "12A"}))
    assert mail.text == "Hello\n\nYou sit in <12A>."
    assert mail.html is not None
    assert "You sit in &lt;12A&gt;." in mail.html


def test_an_override_may_extend_the_original(overriding: Any) -> None:
    renderer = overriding(
        {
            "claim.approved/email.html": '{% extends "claimnotify/claim.approved/email.html" %}'
            "{% block heading %}Hooray{% endblock %}"
        }
    )
    mail = email(renderer, notification())
    assert mail.html is not None
    assert ">Hooray</h1>" in mail.html
    assert "1,250.00" in mail.html
    assert "You will receive" in mail.text  # the package's own text part still goes with it


def test_a_payload_version_may_have_templates_of_its_own(overriding: Any) -> None:
    renderer = overriding(
        {
            "seat.upgraded/sms.txt": "new {{ place }}",
            "seat.upgraded@1/sms.txt": "old {{ seat }}",
        }
    )
    assert text(renderer, notification("seat.upgraded", {"seat": "1"}, version=1)) == "old 1"
    assert text(renderer, notification("seat.upgraded", {"place": "2"}, version=2)) == "new 2"


def test_another_channel_uses_its_own_text_or_that_of_an_sms(overriding: Any) -> None:
    renderer = overriding({"claim.paid/pager.txt": "PAID {{ amount|money }}"})
    assert text(renderer, notification("claim.paid"), "pager") == "PAID €1,250.00"
    approved = notification("claim.approved")
    assert text(renderer, approved, "pager") == text(renderer, approved, "sms")


def test_a_field_may_have_any_name(overriding: Any) -> None:
    """Neither methods of dict nor the names we give hide a field for good."""
    renderer = overriding(
        {"odd.event/sms.txt": "{{ inner.items }} {{ event.payload.brand }} {{ brand.name }}"},
        brand=BRAND,
    )
    payload = {"inner": {"items": 3}, "brand": "Fiat", "recipient": 1, "gettext": 2, "_": 3}
    assert text(renderer, notification("odd.event", payload)) == "3 Fiat Skyright"
    assert email(renderer, notification("odd.event", payload)).subject == "Odd event"


# Filters, languages, brand


def test_times_are_in_the_recipients_zone(overriding: Any) -> None:
    renderer = overriding({"a.b/sms.txt": "{{ at|datetime }} / {{ at|date('short') }}"})
    what = {"at": "2026-11-24T23:30:00Z"}
    cases = {
        ("de", "Europe/Berlin"): "25. November 2026, 00:30 / 25.11.26",
        ("en-GB", "Europe/London"): "24 November 2026, 23:30 / 24/11/2026",
        ("de", "UTC"): "24. November 2026, 23:30 UTC / 24.11.26",
    }
    for (locale, zone), expected in cases.items():
        assert text(renderer, notification("a.b", what, locale=locale, timezone=zone)) == expected


@pytest.mark.parametrize(
    "template",
    [
        "{{ x|money('EUR') }}",  # not a number
        "{{ '1'|money('euro') }}",  # no code
        "{{ 'Infinity'|money('EUR') }}",
        "{{ x|date }}",
        "{{ x|datetime }}",
        "{{ '2026-01-01'|datetime }}",  # a day is no time
        "{{ x|web_url }}",
        "{{ x + 1 }}",
        "{{ labels[x] }}",
        "{{ {}[x] }}",
        "{% include x %}",
        "{{ x.y }}",
        "{{ ''.__class__ }}",
        "{{ brand.load('/etc/hostname') }}",
        "{{ language.translations }}",
        "{{ recipient.to_dict() }}",
        "{% for a in range(999999) %}{% endfor %}",
    ],
)
def test_a_failing_template_is_named_and_the_payload_is_not(overriding: Any, template: str) -> None:
    renderer = overriding({"a.b/sms.txt": f"first line\n{template}"})
    with pytest.raises(TemplateError, match=r"a\.b/sms\.txt, line 2") as caught:
        renderer.render(notification("a.b", {"x": "sesame"}), "sms")
    seen: BaseException | None = caught.value
    while seen is not None:
        assert "sesame" not in repr(seen)
        seen = seen.__cause__ or seen.__context__


def test_a_failure_deep_inside_names_the_template_it_is_in(overriding: Any) -> None:
    renderer = overriding(
        {
            "a.b/sms.txt": "{% include 'shared/part.txt' %}",
            "shared/part.txt": "\n\n{{ nothing }}",
        }
    )
    with pytest.raises(TemplateError, match=r"shared/part\.txt, line 3: asks for 'nothing'"):
        renderer.render(notification("a.b", {}), "sms")


def test_translations_of_the_application_go_first_and_may_add_languages(overriding: Any) -> None:
    header = 'msgid ""\nmsgstr "Content-Type: text/plain; charset=utf-8\\n"\n\n'
    renderer = overriding(
        {
            "locales/fr/LC_MESSAGES/claimnotify.po": header
            + 'msgid "Claim approved"\nmsgstr "Demande acceptée"\n',
            "locales/de/LC_MESSAGES/claimnotify.po": header
            + 'msgid "Claim approved"\nmsgstr "Hurra"\n',
        }
    )
    titles = {}
    for locale in ("fr-CA", "de", "de-AT", "en"):
        item = renderer.render(notification(locale=locale), "in_app")
        assert isinstance(item, InAppMessage)
        titles[locale] = item.title
    assert titles == {
        "fr-CA": "Demande acceptée",
        "de": "Hurra",
        "de-AT": "Hurra",
        "en": "Claim approved",
    }
    german = email(renderer, notification(locale="de")).subject
    assert german.startswith("Ihr Antrag")  # what is not overridden is still the package's


def test_the_brand_is_in_every_email(overriding: Any) -> None:
    brand = Brand(
        name="Sky & Right",
        logo_url="https://cdn.example.com/logo.png",
        website="https://example.com",
        support_email="help@example.com",
        footer="Sky GmbH\n\nBerlin",
        colours=Colours(primary="#aa1122"),
    )
    mail = email(overriding({}, brand=brand), notification("seat.upgraded", {"seat": "1"}))
    assert mail.html is not None
    for expected in ('alt="Sky &amp; Right"', "#aa1122", "mailto:help@example.com", "Sky GmbH"):
        assert expected in mail.html
    for expected in ("Sky & Right", "help@example.com", "Sky GmbH", "https://example.com"):
        assert expected in mail.text
    assert text(overriding({}, brand=brand), notification()).startswith("Sky & Right: ")


def test_without_a_brand_nothing_of_it_shows() -> None:
    mail = email(JinjaRenderer(), notification())
    assert mail.html is not None
    assert "<img" not in mail.html
    assert "--" not in mail.text


@pytest.mark.parametrize("event_type", [*PAYLOADS, "seat.upgraded"])
def test_email_html_is_well_formed_and_loads_nothing(
    renderer: JinjaRenderer, event_type: str
) -> None:
    payload = PAYLOADS.get(event_type, {"seat": "12A"})
    html = email(renderer, notification(event_type, payload)).html
    assert html is not None
    reader = Balanced()
    reader.feed(html)
    assert reader.open == []
    assert "src=" not in html
    assert "url(" not in html
    assert "<link" not in html


class Balanced(HTMLParser):
    """Fails on a tag that is closed but not open."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        if tag not in ("meta", "br", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


# Webhooks, threads


def test_a_webhook_body_is_the_stored_payload_byte_for_byte(renderer: JinjaRenderer) -> None:
    what = notification()
    odd = '{"b" : 1.10,\n"a":"\\u00e4ö"}'  # another serializer would write it otherwise
    stored = Notification(
        **{name: getattr(what, name) for name in what.__slots__} | {"payload_json": odd}
    )
    message = renderer.render(stored, "webhook")
    assert isinstance(message, WebhookMessage)
    assert message.body == (
        b'{"type":"claim.approved","timestamp":"2026-11-24T23:30:00.000000Z","data":'
        + odd.encode()
        + b"}"
    )
    assert renderer.render(stored, "webhook") == message
    assert json.loads(message.body)["data"] == {"b": 1.1, "a": "äö"}


def test_a_webhook_carries_what_was_kept_for_it_where_that_is_less(renderer: JinjaRenderer) -> None:
    thin = replace(notification(), webhook_json='{"claim_id" : "ä"}')
    message = renderer.render(thin, "webhook")
    assert isinstance(message, WebhookMessage)
    assert message.body.endswith(',"data":{"claim_id" : "ä"}}'.encode())
    assert text(renderer, thin) == text(renderer, notification())


def test_threads_do_not_mix_languages() -> None:
    """A fresh renderer, so that the first use of each language is contended too."""
    renderer = JinjaRenderer()
    start = threading.Barrier(8)
    wrong: list[str] = []

    def work(locale: str, word: str) -> None:
        start.wait(timeout=10)
        for _ in range(20):
            subject = email(renderer, notification(locale=locale)).subject
            if word not in subject:
                wrong.append(subject)

    cases = [("de", "bewilligt"), ("en", "approved"), ("de-AT", "€ 1.250,00"), ("fr", "approved")]
    threads = [threading.Thread(target=work, args=case) for case in cases * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert not wrong


def test_a_template_dir_that_is_missing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TemplateError, match="template_dir"):
        JinjaRenderer(template_dir=tmp_path / "nowhere")
