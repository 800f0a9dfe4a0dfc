"""Whatever a payload says: one line stays one line, and HTML stays the HTML we wrote."""

from __future__ import annotations

from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from claimnotify.model.messages import EmailMessage, InAppMessage, SmsMessage
from claimnotify.model.notifications import Notification
from claimnotify.model.recipients import Recipient
from claimnotify.templates.plaintext import one_line, text_from_html, tidy
from claimnotify.templates.renderer import JinjaRenderer

RENDERER = JinjaRenderer()
NASTY = st.text(
    st.sampled_from("<>&\"'{}%#\r\n\t\x00\x0b\x1b\x85\u2028\u202e ab=/") | st.characters()
)
ALLOWED_CONTROLS = {"\n", "\t"}


class Skeleton(HTMLParser):
    """The tags of a document with the names and values of their attributes, without its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[Any] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append((tag, attrs))

    def handle_endtag(self, tag: str) -> None:
        self.tags.append(tag)

    def handle_comment(self, data: str) -> None:
        self.tags.append("comment")


def notification(event_type: str, **payload: Any) -> Notification:
    return Notification(
        id="0" * 32,
        tenant="default",
        event_type=event_type,
        category="general",
        subject=payload["claim_id"],
        owner="cus_7",
        recipient=Recipient(id="cus_7", locale="de"),
        payload=payload,
        created_at=datetime(2026, 11, 24, tzinfo=UTC),
    )


def claim_rejected(text: str) -> Notification:
    return notification(
        "claim.rejected",
        claim_id=text,
        passenger_name=text,
        flight_number=text,
        origin=text,
        destination=text,
        flight_date=None,
        claim_url=None,
        reason=text,
        due_date=None,
    )


def unknown_event(text: str) -> Notification:
    return notification("seat.upgraded", claim_id=text, extra=[text, {"k" + text: text}], x="x")


def skeleton(what: Notification) -> list[Any]:
    message = RENDERER.render(what, "email")
    assert isinstance(message, EmailMessage)
    assert message.html is not None
    return Skeleton(message.html).tags


@given(NASTY)
@example("\r\nBcc: everyone@example.com")
def test_no_payload_breaks_a_line(text: str) -> None:
    for what in (claim_rejected(text), unknown_event(text)):
        mail = RENDERER.render(what, "email")
        item = RENDERER.render(what, "in_app")
        sms = RENDERER.render(what, "sms")
        assert isinstance(mail, EmailMessage)
        assert isinstance(item, InAppMessage)
        assert isinstance(sms, SmsMessage)
        for line in (mail.subject, item.title):
            assert line
            assert len(line.splitlines()) == 1
            assert line == line.strip()
        for content in (mail.text, item.body, sms.text, mail.subject):
            assert "\n\n\n" not in content
            controls = {char for char in content if ord(char) < 32 or 127 <= ord(char) < 160}
            assert controls <= ALLOWED_CONTROLS
            content.encode()


@given(NASTY.filter(lambda text: text.strip() != ""))
@example("</td></tr></table><script>alert(1)</script>")
@example("<!-- ")
@example('" onmouseover="x')
@example("{{ 7 * 7 }}{% raw %}")
def test_no_payload_changes_the_html_around_it(text: str) -> None:
    for make in (claim_rejected, unknown_event):
        assert skeleton(make(text)) == skeleton(make("plain"))


@given(st.text())
def test_tidying_is_idempotent(text: str) -> None:
    for tidied in (tidy, one_line):
        once = tidied(text)
        assert tidied(once) == once


@given(NASTY)
def test_any_html_gives_some_text(html: str) -> None:
    assert isinstance(text_from_html(html), str)


def test_text_of_html_reads_well() -> None:
    cases = {
        "<p>One\n  two</p><p>three</p>": "One two\n\nthree",
        "a<b>b</b> c": "ab c",
        "<table><tr><td>Seat</td><td>12A</td></tr><tr><td>Row</td><td>12</td></tr></table>": (
            "Seat 12A\n\nRow 12"
        ),
        '<a href="https://e.example/">https://e.example/</a>': "https://e.example/",
        '<a href="mailto:a@e.example">a@e.example</a>': "a@e.example",
        '<a href="mailto:a@e.example">Write</a>': "Write (a@e.example)",
        '<img src="x" alt="Logo"> now': "Logo now",
        "<style>p {}</style><script>x</script><title>t</title>shown": "shown",
        '<div style="display: none">hidden<br><img></div>shown': "shown",
        "<div hidden><div>x</div></div>shown": "shown",
        "5 &lt; 6 &amp; 7": "5 < 6 & 7",
        "</p></div>stray": "stray",
    }
    for html, expected in cases.items():
        assert text_from_html(html) == expected, html
