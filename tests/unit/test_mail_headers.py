"""Header lines stay one header each, whatever the value, and say what was meant."""

from __future__ import annotations

import email
import email.policy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from claimnotify.channels.mail_headers import (
    address_line,
    ascii_domain,
    extra_lines,
    header_line,
    one_line,
)
from claimnotify.errors import InvalidInput


def _parsed(block: str) -> email.message.EmailMessage:
    return email.message_from_bytes(block.encode() + b"\r\n", policy=email.policy.SMTPUTF8)


TEXTS = st.text(st.characters(), max_size=300)
ATTACKS = [
    "x\r\nBcc: eve@example.com",  # a plain line break
    "x\nBcc: eve@example.com",
    "x\rBcc: eve@example.com",
    "x\x0bBcc: eve@example.com",  # what str.splitlines() also takes for a line break
    "x\x85Bcc: eve@example.com",
    "x\u2028Bcc: eve@example.com",
    "=?utf-8?q?x=0d=0aBcc:_eve@example.com?=",  # a line break inside an encoded word
    "=?utf-8?b?eA0KQmNjOiBldmVAZXhhbXBsZS5jb20=?=",
    "x\r\n\r\n<p>body</p>",  # the end of the headers
    "x\x00y",
]


@pytest.mark.parametrize("text", ATTACKS)
def test_no_value_breaks_out_of_its_line(text: str) -> None:
    """A reader of the block sees exactly the headers that were meant, and no body."""
    block = (
        header_line("Subject", text) + address_line("From", text, "a@example.com") + "X-End: 1\r\n"
    )
    message = _parsed(block)
    assert message.keys() == ["Subject", "From", "X-End"]
    assert message.get_payload() == ""
    assert message["From"].addresses[0].addr_spec == "a@example.com"


@settings(deadline=None)
@given(TEXTS)
def test_a_text_comes_back_as_it_was_but_for_white_space(text: str) -> None:
    """Folding and encoding are undone by a standard reader; no line exceeds RFC 2047's 76."""
    block = header_line("Subject", text)
    assert block.endswith("\r\n")
    assert "\r" not in block.replace("\r\n", "")
    assert "\n" not in block.replace("\r\n", "")
    block.encode("ascii")
    message = _parsed(block)
    assert message.keys() == ["Subject"]
    assert str(message["Subject"]).split() == one_line(text).split()
    for line in block.split("\r\n"):
        assert len(line) <= 76 or " " not in line.strip().partition(": ")[2]


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=120))
def test_a_display_name_comes_back_and_the_address_is_the_only_one(name: str) -> None:
    """Quotes, commas and angle brackets in a name make no second mailbox."""
    message = _parsed(address_line("From", name, "a@example.com"))
    assert [each.addr_spec for each in message["From"].addresses] == ["a@example.com"]
    # Some of the standard library's versions put a space between adjacent encoded words.
    shown = message["From"].addresses[0].display_name
    assert shown.replace(" ", "") == one_line(name).replace(" ", "")


def test_a_plain_subject_stays_readable() -> None:
    """Encoded words only where they are needed."""
    assert header_line("Subject", "Your claim is paid") == "Subject: Your claim is paid\r\n"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Bcc", "eve@example.com"),  # would reach someone else
        ("from", "eve@example.com"),  # ours
        ("Content-Type", "text/html"),  # would change what the body is
        ("Message-ID", "<1@example.com>"),  # must stay the same on each attempt
        ("Resent-To", "eve@example.com"),
        ("X-A: b\r\nBcc", "eve@example.com"),  # breaks out of the name
        ("X A", "1"),
        ("", "1"),
        ("X-A", "1\r\nBcc: eve@example.com"),  # breaks out of the value
        ("X-A", "1\u2028"),
        ("List-Unsubscribe", "<https://exämple.com>"),  # structured: cannot be encoded words
        ("References", "x" * 1200),  # cannot be folded
    ],
)
def test_an_extra_header_that_could_do_harm_is_refused(name: str, value: str) -> None:
    """The error names the field; nothing is left out silently."""
    with pytest.raises(InvalidInput):
        list(extra_lines({name: value}))


def test_a_header_given_twice_in_other_case_is_refused() -> None:
    """Which of the two holds would be up to the reader."""
    with pytest.raises(InvalidInput):
        list(extra_lines({"X-A": "1", "x-a": "2"}))


def test_useful_extra_headers_pass() -> None:
    """Unsubscribe links stay literal, other text is encoded where needed."""
    link = "<https://claims.example/u/" + "t" * 80 + ">"
    block = "".join(
        extra_lines(
            {"List-Unsubscribe": f"{link}, <mailto:u@claims.example>", "X-Customer": "Müller"}
        )
    )
    message = _parsed(block)
    assert link in block
    assert message["X-Customer"] == "Müller"
    assert message["List-Unsubscribe"].replace(" ", "").endswith(",<mailto:u@claims.example>")


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("ana@example.com", "ana@example.com"),
        ("ana@münchen.example", "ana@xn--mnchen-3ya.example"),
        ("ana@straße.example", "ana@xn--strae-oqa.example"),  # IDNA 2003 would write to strasse
        ("jörg@müller.example", "jörg@xn--mller-kva.example"),  # the local part is not DNS
        ("ana@[192.0.2.1]", "ana@[192.0.2.1]"),
    ],
)
def test_domains_take_the_form_of_dns(address: str, expected: str) -> None:
    """Non-ASCII domains become A-labels after IDNA 2008."""
    assert ascii_domain(address) == expected


def test_a_domain_that_cannot_exist_is_refused() -> None:
    """The Arabic digits of two kinds must not meet in one label (RFC 5892)."""
    with pytest.raises(InvalidInput):
        ascii_domain("ana@\u0661\u06f1.example")
