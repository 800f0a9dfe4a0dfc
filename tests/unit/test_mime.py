"""The bytes of a mail: complete, the same on each attempt, and of one meaning to every reader."""

from __future__ import annotations

import email
import email.policy
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from email.message import EmailMessage as Parsed
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from claimnotify.channels.mime import Mail, compose
from claimnotify.errors import PermanentDeliveryError
from claimnotify.model.messages import Attachment, EmailMessage
from claimnotify.model.notifications import Delivery
from claimnotify.model.recipients import Recipient
from claimnotify.model.states import DeliveryStatus


def _delivery(**values: Any) -> Delivery:
    return Delivery(
        **{
            "id": "0197" + "d" * 28,
            "notification_id": "0197" + "a" * 28,
            "tenant": "default",
            "channel": "email",
            "address": "ana@example.com",
            "status": DeliveryStatus.SENDING,
            "reason": "leased",
            "created_at": datetime(2026, 3, 1, 9, 30, tzinfo=UTC),
            **values,
        }
    )


def _mail(message: EmailMessage, **values: Any) -> Mail:
    return compose(
        message, _delivery(**values), sender="no-reply@claims.example", sender_name="Claims"
    )


def _parsed(mail: Mail) -> Parsed:
    assert b"\r" not in mail.content.replace(b"\r\n", b"")
    assert b"\n" not in mail.content.replace(b"\r\n", b"")
    parsed = email.message_from_string(mail.content.decode(), policy=email.policy.SMTPUTF8)
    assert not [each.defects for each in parsed.walk() if each.defects]
    return parsed


def _shape(part: Parsed) -> Any:
    if part.is_multipart():
        return part.get_content_subtype(), [_shape(each) for each in part.iter_parts()]
    return part.get_content_type()


PAGE = EmailMessage(subject="Paid", text="Paid.", html='<img src="cid:logo">')
LOGO = Attachment(filename="l.png", content=b"\x89PNG", content_type="image/png", content_id="logo")
LETTER = Attachment(filename="brief.pdf", content=b"%PDF", content_type="application/pdf")


@pytest.mark.parametrize(
    ("message", "attachments", "expected"),
    [
        (EmailMessage(subject="s", text="t"), [], "text/plain"),
        (PAGE, [], ("alternative", ["text/plain", "text/html"])),
        (PAGE, [LOGO], ("alternative", ["text/plain", ("related", ["text/html", "image/png"])])),
        (
            PAGE,
            [LETTER],
            ("mixed", [("alternative", ["text/plain", "text/html"]), "application/pdf"]),
        ),
        (
            PAGE,
            [LOGO, LETTER],
            (
                "mixed",
                [
                    ("alternative", ["text/plain", ("related", ["text/html", "image/png"])]),
                    "application/pdf",
                ],
            ),
        ),
        # no HTML refers to it, so it is an ordinary attachment
        (EmailMessage(subject="s", text="t"), [LOGO], ("mixed", ["text/plain", "image/png"])),
        # base64 is forbidden for message/*: as bytes it arrives whole
        (
            EmailMessage(subject="s", text="t"),
            [Attachment(filename="a.eml", content=b"From: x", content_type="message/rfc822")],
            ("mixed", ["text/plain", "application/octet-stream"]),
        ),
    ],
)
def test_parts_are_nested_as_readers_expect(
    message: EmailMessage, attachments: Sequence[Attachment], expected: Any
) -> None:
    """mixed(alternative(text, related(html, inline…)), attachment…), no level too many."""
    assert _shape(_parsed(_mail(message, attachments=attachments))) == expected


def test_headers_are_complete() -> None:
    """Everything RFC 5322 wants, and Auto-Submitted so that no vacation notice answers."""
    ana = Recipient(id="1", email="ana@example.com", name="Ana Pérez, Dr.")
    parsed = _parsed(_mail(PAGE, recipient=ana))
    assert str(parsed["From"]) == "Claims <no-reply@claims.example>"
    assert parsed["To"].addresses[0].display_name == "Ana Pérez, Dr."
    assert parsed["To"].addresses[0].addr_spec == "ana@example.com"
    assert parsed["Subject"] == "Paid"
    assert parsed["Date"].datetime == datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
    assert parsed["Auto-Submitted"] == "auto-generated"
    assert parsed.get_all("MIME-Version") == ["1.0"]


def test_bytes_are_the_same_on_every_attempt() -> None:
    """A retry sends what was sent, whatever happened to the row meanwhile."""
    first = _mail(PAGE, attachments=[LOGO, LETTER], attempts=1)
    again = _mail(PAGE, attachments=[LOGO, LETTER], attempts=4, status=DeliveryStatus.PENDING)
    assert first == again


def test_message_id_belongs_to_notification_and_address() -> None:
    """Two addresses of one notification differ; a replay, which is another delivery, does not."""
    first = _mail(PAGE)
    replay = _mail(PAGE, id="0197" + "e" * 28)
    elsewhere = _mail(PAGE, address="ben@example.com")
    assert first.message_id == replay.message_id
    assert first.message_id != elsewhere.message_id
    assert first.message_id.startswith("<0197" + "a" * 28)
    assert first.message_id.endswith("@claims.example>")
    assert _parsed(first)["Message-ID"] == first.message_id


BODIES = st.text(st.characters(exclude_categories=["Cs", "Cc"], include_characters="\n\t\r."))


@settings(deadline=None)
@given(text=BODIES, html=BODIES)
def test_bodies_come_back_as_they_were(text: str, html: str) -> None:
    """Any script, any line length, leading dots; line breaks become CRLF."""
    parsed = _parsed(_mail(EmailMessage(subject="s", text=text, html=html)))
    for kind, original in (("plain", text), ("html", html)):
        body = parsed.get_body((kind,))
        assert body is not None
        content = body.get_payload(decode=True)
        assert isinstance(content, bytes)
        expected = original.replace("\r\n", "\n").replace("\r", "\n").replace("\n", "\r\n")
        assert content.decode().replace("\r\n", "\n").replace("\n", "\r\n") == expected


@settings(deadline=None)
@given(BODIES)
def test_every_line_is_short_enough_for_smtp(text: str) -> None:
    """RFC 5321 section 4.5.3.1.6 allows 998 octets and asks for 78; all is ASCII."""
    content = _mail(EmailMessage(subject=text, text=text, html=text)).content
    content.decode("ascii")
    assert max(map(len, content.split(b"\r\n"))) <= 998


def test_control_characters_and_half_characters_do_not_reach_the_wire() -> None:
    """A NUL breaks some servers; a lone surrogate has no bytes."""
    parsed = _parsed(_mail(EmailMessage(subject="a\ud800b", text="x\x00y\ud800\n")))
    assert parsed["Subject"] == "a?b"
    assert parsed.get_content().strip() == "xy?"


@pytest.mark.parametrize(
    "filename",
    ["brief.pdf", "Bescheid für Müller.pdf", "領収書.pdf", "a;b=c.pdf", "=?utf-8?q?x=0d=0a?=.pdf"],
)
def test_file_names_come_back_as_they_were(filename: str) -> None:
    """Also those that look like encoded words or parameters."""
    file = Attachment(filename=filename, content=bytes(range(256)), content_type="text/csv")
    (part,) = _parsed(_mail(PAGE, attachments=[file])).iter_attachments()
    assert part.get_payload(decode=True) == file.content
    if "=?" not in filename:  # the standard library's reader decodes what it should leave alone
        assert part.get_filename() == filename


@pytest.mark.parametrize("character", ["\x0b", "\x0c", "\x1c", "\x85", "\u2028"])
def test_a_file_name_cannot_add_a_header(character: str) -> None:
    """The model refuses CR and LF; these are line breaks to str.splitlines()."""
    file = Attachment(filename=f"a{character}Content-Type: evil", content=b"x")
    (part,) = _parsed(_mail(PAGE, attachments=[file])).iter_attachments()
    assert sorted(part.keys()) == [
        "Content-Disposition",
        "Content-Transfer-Encoding",
        "Content-Type",
    ]
    assert part.get_content_type() == "application/octet-stream"


def test_an_inline_file_is_found_by_its_content_id() -> None:
    """`cid:logo` in the HTML refers to `<logo>`."""
    parsed = _parsed(_mail(PAGE, attachments=[LOGO]))
    (image,) = [each for each in parsed.walk() if each.get_content_type() == "image/png"]
    assert image["Content-ID"] == "<logo>"
    assert image.get_content_disposition() == "inline"


def test_a_local_part_outside_ascii_is_sent_as_it_is() -> None:
    """SMTPUTF8 is needed for the part before the @ only; the domain is plain."""
    mail = _mail(PAGE, address="jörg@münchen.example")
    assert mail.needs_smtputf8
    assert mail.recipient == "jörg@xn--mnchen-3ya.example"
    assert _parsed(mail)["To"].addresses[0].addr_spec == mail.recipient
    assert not _mail(PAGE, address="joerg@münchen.example").needs_smtputf8


def test_the_name_of_another_address_is_not_shown() -> None:
    """The recipient's name stands beside their own address only."""
    ana = Recipient(id="1", email="ana@example.com", name="Ana")
    assert "Ana" not in str(_parsed(_mail(PAGE, recipient=ana, address="ben@example.com"))["To"])


def test_a_header_that_cannot_be_sent_is_a_permanent_error() -> None:
    """The error names the header, and nothing of its value."""
    message = replace(PAGE, headers={"Bcc": "eve@example.com"})
    with pytest.raises(PermanentDeliveryError, match="header Bcc") as caught:
        _mail(message)
    assert "eve" not in str(caught.value)


@pytest.mark.parametrize(
    "address",
    [
        "ana@example.com\r\nBcc: eve@example.com",
        "ana@example.com, eve@example.com",
        "ana@example.com>, <eve@example.com",
        "ana@example.com\u2028Bcc: eve@example.com",
        "ana",
        "",
    ],
)
def test_an_address_that_is_not_one_is_a_permanent_error(address: str) -> None:
    """It was checked when it was accepted, and is checked again where it would do harm."""
    with pytest.raises(PermanentDeliveryError):
        _mail(PAGE, address=address)


def test_content_is_not_in_the_repr() -> None:
    """A repr ends up in logs."""
    assert "Paid" not in repr(_mail(PAGE))
    assert "ana@" not in repr(_mail(PAGE))
