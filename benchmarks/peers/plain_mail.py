"""The e-mail of our event `claim.approved` as a team would render it: bare Jinja2, one language.

The same words and the same layout, without translation, brands, overrides or checks.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from pathlib import Path
from typing import Any, NamedTuple

from babel.dates import format_date
from babel.numbers import format_currency
from jinja2 import Environment, FileSystemLoader, select_autoescape

CLAIM: Mapping[str, Any] = {
    "claim_id": "CLM-2041",
    "passenger_name": "Ana Jäger",
    "flight_number": "LH 1234",
    "origin": "BER",
    "destination": "LIS",
    "flight_date": date(2026, 11, 2),
    "claim_url": "https://claims.example.com/CLM-2041",
    "amount": {"amount": Decimal("250.00"), "currency": "EUR"},
    "due_date": date(2026, 11, 30),
}
_COLOURS = {
    "primary": "#1f5fbf",
    "on_primary": "#ffffff",
    "background": "#f2f4f7",
    "surface": "#ffffff",
    "text": "#1d2733",
    "muted": "#5c6773",
    "border": "#dde2e8",
}
_FONT = "-apple-system,'Segoe UI',Roboto,Helvetica,Arial,sans-serif"


class Rendered(NamedTuple):
    """The parts of an e-mail."""

    subject: str
    text: str
    html: str


class PlainRenderer:
    """Renders with templates from a folder, compiled once."""

    def __init__(self) -> None:
        self._environment = Environment(
            loader=FileSystemLoader(Path(__file__).with_name("templates")),
            autoescape=select_autoescape(["html"]),
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._environment.globals |= {"colours": _COLOURS, "font": _FONT}

    def render(self, claim: Mapping[str, Any]) -> Rendered:
        """Return subject, text and HTML."""
        amount = format_currency(
            claim["amount"]["amount"], claim["amount"]["currency"], locale="en"
        )
        values = {
            **claim,
            "name": claim["passenger_name"],
            "amount": amount,
            "due_date": format_date(claim["due_date"], "long", locale="en"),
            "flight_date": format_date(claim["flight_date"], "long", locale="en"),
        }
        parts = ("approved.subject.txt", "approved.txt", "approved.html")
        return Rendered(*(self._environment.get_template(each).render(values) for each in parts))


def mail(rendered: Rendered, *, sender: str, to: str) -> EmailMessage:
    """Return the message with both parts."""
    message = EmailMessage()
    message["Subject"] = rendered.subject
    message["From"] = sender
    message["To"] = to
    message["Date"] = formatdate()
    message["Message-ID"] = make_msgid(domain="example.com")
    message.set_content(rendered.text)
    message.add_alternative(rendered.html, subtype="html")
    return message
