"""The filters templates have beside Jinja's: amounts and times in the recipient's locale and zone."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, tzinfo
from decimal import Decimal, InvalidOperation
from typing import Any, Literal, TypeAlias, cast
from zoneinfo import ZoneInfo

from babel import Locale
from babel.dates import format_date, format_time, get_datetime_format
from babel.numbers import format_currency
from jinja2 import pass_context
from jinja2.runtime import Context, Undefined

from claimnotify.errors import TemplateError
from claimnotify.templates.brand import is_web_url

__all__ = ["FILTERS", "humanise"]

Style: TypeAlias = Literal["short", "medium", "long", "full"]

_CURRENCY = re.compile(r"[A-Z]{3}", re.ASCII)
_TYPOGRAPHIC_SPACES = str.maketrans(dict.fromkeys("\u00a0\u202f\u2007\u2009", " "))
_WORDS = re.compile(r"[._\s-]+")


@pass_context
def money(context: Context, value: Any, currency: str | None = None) -> str:
    """Return an amount in the recipient's locale: `250,00 €`.

    Args:
        context: Given by Jinja.
        value: A number, its text, or a mapping with `amount` and `currency`.
        currency: An ISO 4217 code, unless `value` has it.

    Raises:
        TemplateError: If the amount or the code is malformed.
    """
    if isinstance(value, Mapping) and currency is None:
        value, currency = value.get("amount"), value.get("currency")
    try:
        amount = Decimal(str(_defined(value)))
    except InvalidOperation:
        raise _refused("money", "was given what is not a number") from None
    if not amount.is_finite():
        raise _refused("money", "was given what is not a finite number")
    if not isinstance(currency, str) or not _CURRENCY.fullmatch(currency):
        raise _refused("money", "needs an ISO 4217 code such as EUR")
    return _spaced(context, format_currency(amount, currency, locale=_locale(context)))


@pass_context
def format_day(context: Context, value: Any, style: Style = "long") -> str:
    """Return a day: `1. Dezember 2026`. An aware time gives the day in the recipient's zone.

    Raises:
        TemplateError: If `value` is neither a date nor its ISO 8601 text.
    """
    moment = _moment("date", value)
    if isinstance(moment, datetime) and moment.tzinfo is not None:
        moment = moment.astimezone(_zone(context))
    return _spaced(context, format_date(moment, style, locale=_locale(context)))


@pass_context
def format_moment(context: Context, value: Any, style: Style = "long") -> str:
    """Return a day and a time in the recipient's zone: `1. Dezember 2026, 09:00`.

    A time without a zone is taken as UTC; a recipient whose zone is UTC is told so.

    Raises:
        TemplateError: If `value` is neither a time nor its ISO 8601 text.
    """
    moment = _moment("datetime", value)
    if not isinstance(moment, datetime):
        raise _refused("datetime", "was given a day without a time", "Use the filter date.")
    zone = _zone(context)
    local = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(zone)
    locale = _locale(context)
    text = (
        str(get_datetime_format(style, locale=locale))
        .replace("{1}", format_date(local, style, locale=locale))
        .replace("{0}", format_time(local, "short", locale=locale))
    )
    return _spaced(context, f"{text} UTC" if str(zone) == "UTC" else text)


def web_url(value: Any) -> str:
    """Return `value` if it is an absolute http(s) URL; use it wherever a payload gives a link.

    Raises:
        TemplateError: If it is something else, for example `javascript:…`.
    """
    if not is_web_url(_defined(value)):
        raise _refused("web_url", "was given what is not an http(s) URL")
    return str(value)


def humanise(value: Any) -> str:
    """Return words for an identifier: `Seat upgraded` for `seat.upgraded`."""
    words = _WORDS.sub(" ", str(_defined(value))).strip()
    return words[:1].upper() + words[1:]


def paragraphs(value: Any) -> list[str]:
    """Return the parts of a text that blank lines separate."""
    return [part.strip() for part in re.split(r"\n\s*\n", str(_defined(value))) if part.strip()]


@pass_context
def plain(context: Context, value: Any) -> str:
    """Return any JSON value in words: lists and mappings joined by commas, an amount as money."""
    if isinstance(value, Mapping):
        if set(value) == {"amount", "currency"}:
            return money(context, value)
        pairs = ((humanise(name), plain(context, each)) for name, each in value.items())
        return ", ".join(f"{name}: {text}" for name, text in pairs if text)
    if isinstance(value, list):
        return ", ".join(plain(context, each) for each in value)
    if isinstance(value, bool):
        yes_or_no = context.resolve("gettext")
        return str(context.call(yes_or_no, "yes" if value else "no"))
    return "" if value is None else str(_defined(value))


FILTERS: dict[str, Callable[..., Any]] = {
    "money": money,
    "date": format_day,
    "datetime": format_moment,
    "web_url": web_url,
    "humanise": humanise,
    "paragraphs": paragraphs,
    "plain": plain,
}
"""Our filters by the name templates use."""


def _refused(name: str, problem: str, remedy: str = "Correct the template or the event.") -> Any:
    return TemplateError(f"filter {name}", problem, remedy)


def _defined(value: Any) -> Any:
    if isinstance(value, Undefined):
        str(value)  # a strict undefined raises here, and its error names the variable
    return value


def _moment(name: str, value: Any) -> date | datetime:
    if isinstance(value, date):
        return value
    text = _defined(value)
    try:
        return date.fromisoformat(text) if len(text) == 10 else datetime.fromisoformat(text)
    except (TypeError, ValueError):
        raise _refused(name, "was given what is not an ISO 8601 date or time") from None


def _locale(context: Context) -> Locale:
    language: Any = context.environment.globals["language"]
    return cast(Locale, language.locale)


def _zone(context: Context) -> tzinfo:
    recipient = context.resolve("recipient")
    if isinstance(recipient, Undefined):
        raise _refused(
            "datetime", "is used in a macro that does not see the recipient", "Import with context."
        )
    return ZoneInfo(recipient.timezone)


def _spaced(context: Context, text: str) -> str:
    """Keep no-break spaces in HTML only: in an SMS one of them halves what a segment holds."""
    return text if context.eval_ctx.autoescape else text.translate(_TYPOGRAPHIC_SPACES)
