"""Recipients: what is accepted as an id, an address, a number, a language and a time zone."""

from __future__ import annotations

import json
from email.headerregistry import Address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claimnotify.errors import InvalidRecipient
from claimnotify.model.recipients import (
    Recipient,
    check_email,
    check_identifier,
    check_phone,
    check_tenant,
)


@pytest.mark.parametrize(
    "address",
    [
        "ana@example.com",
        "ana.maria+claims@mail.example.co.uk",
        "o'neil@example.com",
        "jörg@münchen.example",
        "ana@localhost",
        "ana@[192.0.2.1]",
        "ana@[IPv6:2001:db8::1]",
    ],
)
def test_one_address_is_accepted_and_kept_as_it_is(address: str) -> None:
    assert Recipient(id="cus_7", email=address).email == address


@pytest.mark.parametrize(
    "address",
    [
        "",
        "ana",
        "@example.com",
        "ana@",
        "ana@@example.com",
        ".ana@example.com",
        "ana.@example.com",
        "ana..b@example.com",
        "ana@-example.com",
        "ana@example..com",
        "ana@example.com.",
        "ana@exa_mple.com",
        "a" * 65 + "@example.com",
        "ana@" + ".".join(["a" * 60] * 5),
        '"ana b"@example.com',
        5,
        b"ana@example.com",
    ],
)
def test_what_is_not_one_address_is_refused(address: Any) -> None:
    with pytest.raises(InvalidRecipient, match="email"):
        Recipient(id="cus_7", email=address)


@given(st.text(max_size=80))
def test_what_is_accepted_can_break_no_header(text: str) -> None:
    """Whatever is let through has one at sign that splits it, and no separator or line break."""
    try:
        check_email(text)
    except InvalidRecipient:
        return
    assert not set(text) & set('\r\n\x00,;<> \t"')
    local, _, domain = text.rpartition("@")
    if text.isascii():
        assert Address(username=local, domain=domain).addr_spec == text


@given(st.sampled_from("\r\n\x00\x0b\x0c\x1c\x85\u2028\u2029,; <>"), st.integers(0, 15))
def test_a_separator_or_line_break_anywhere_is_refused(char: str, where: int) -> None:
    with pytest.raises(InvalidRecipient):
        check_email("ana@example.com"[:where] + char + "ana@example.com"[where:])


@pytest.mark.parametrize("number", ["+4915112345678", "+12025550123", "+1234567"])
def test_a_number_in_e164_form_is_accepted(number: str) -> None:
    assert check_phone(number) == number


@pytest.mark.parametrize(
    "number",
    ["4915112345678", "+0151", "+49 151 12345678", "+123456", "+1234567890123456", "+٤٩١٥١١٢٣", 49],
)
def test_a_number_in_another_form_is_refused(number: Any) -> None:
    with pytest.raises(InvalidRecipient, match=r"phone.*E\.164"):
        check_phone(number)


@given(st.text(max_size=300))
def test_an_id_is_short_text_of_one_line(text: str) -> None:
    try:
        check_identifier(text, "id")
    except InvalidRecipient:
        assert not text.strip() or len(text) > 255 or not text.isprintable()
    else:
        assert text.strip()
        assert len(text) <= 255
        assert len(text.splitlines()) == 1


def test_a_tenants_name_fits_its_column() -> None:
    assert check_tenant("t" * 64) == "t" * 64
    with pytest.raises(InvalidRecipient, match=r"tenant.*64"):
        check_tenant("t" * 65)


@pytest.mark.parametrize("id", ["", " ", "a\nb", "x" * 256, None, 7])
def test_an_id_that_is_none_is_refused(id: Any) -> None:
    with pytest.raises(InvalidRecipient, match="id"):
        Recipient(id=id)


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"locale": "german language"}, "locale"),
        ({"locale": "../../etc"}, "locale"),
        ({"locale": ""}, "locale"),
        ({"timezone": "Mars/Olympus"}, "timezone"),
        ({"timezone": "../../etc/passwd"}, "timezone"),
        ({"timezone": ""}, "timezone"),
        ({"timezone": 2}, "timezone"),
        ({"name": "Ana\r\nBcc: eve@example.com"}, "name"),
        ({"name": ""}, "name"),
    ],
)
def test_another_malformed_field_is_named(options: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidRecipient) as refused:
        Recipient(id="cus_7", **options)
    assert refused.value.field == field
    assert refused.value.remedy


def test_a_recipient_survives_json_and_keys_of_a_later_version() -> None:
    ana = Recipient(id="cus_7", email="ana@example.com", locale="pt-BR", timezone="Europe/Berlin")
    kept = json.loads(json.dumps(ana.to_dict()))
    assert "phone" not in kept
    assert Recipient.from_dict({**kept, "shoe_size": 39}) == ana


def test_no_address_shows_in_a_repr() -> None:
    ana = Recipient(id="cus_7", email="ana@example.com", phone="+4915112345678", name="Ana")
    assert repr(ana) == "Recipient(id='cus_7')"
    assert "ana" not in str([ana]).lower()


def test_a_recipient_is_a_value() -> None:
    ana = Recipient(id="cus_7")
    assert ana == Recipient(id="cus_7")
    assert len({ana, Recipient(id="cus_7")}) == 1
    with pytest.raises(AttributeError):
        ana.id = "cus_8"  # type: ignore[misc]  # that is the point
