"""Texts and numbers for examples, by what a JSON Schema says of them; the same ones every time.

Each function gives several, the likeliest first: what a schema cannot say (a date in the future, a
validator of the application's) decides between them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from fractions import Fraction
from itertools import chain, islice
from typing import Any

from claimnotify.catalogue.patterns import texts_for

__all__ = ["numbers", "texts"]

_MOST = 24
_MANY = 8
_PLACES = 40
_DATES = ("2026-01-15", "2000-01-15", "2030-01-15", "1970-01-15", "2100-01-15", "9999-12-30")
_MOMENTS = tuple(f"{date}T09:30:00Z" for date in _DATES)
_NAIVE = tuple(f"{date}T09:30:00" for date in _DATES)
_UUIDS = {str(n): f"0198c0ff-ee2a-{n}d3e-8f40-5a6b7c8d9e0f" for n in (4, 7, 1, 3, 5, 6, 8)}
_URLS = (
    "https://example.com/",
    "http://example.com/",
    "wss://example.com/",
    "ftp://example.com/file",
    "file:///srv/file",
    "postgresql://user@localhost:5432/app",
    "mysql://user@localhost:3306/app",
    "redis://localhost:6379/0",
    "amqp://user@localhost:5672/app",
    "mongodb://localhost:27017/app",
    "kafka://localhost:9092",
    "nats://localhost:4222",
    "clickhouse://localhost:9000/app",
    "snowflake://user@account/app",
)
_FORMATS: dict[str, tuple[str, ...]] = {
    "date": _DATES,
    "date-time": _MOMENTS + _NAIVE,
    "time": ("09:30:00Z", "09:30:00", "21:30:00Z", "21:30:00"),
    "duration": ("PT1H", "P1D", "PT1S", "P30D", "-PT1H"),
    "uuid": tuple(_UUIDS.values()),
    **{f"uuid{version}": (text,) for version, text in _UUIDS.items()},
    "email": ("ana@example.com", "tom@example.com"),
    "idn-email": ("ana@example.com",),
    "name-email": ("Ana <ana@example.com>",),
    "uri": _URLS,
    "url": _URLS,
    "multi-host-uri": _URLS,
    "uri-reference": ("/claims/1",),
    "hostname": ("example.com",),
    "ipv4": ("192.0.2.1", "192.0.2.2"),
    "ipv6": ("2001:db8::1", "2001:db8::2"),
    "ipvanyaddress": ("192.0.2.1", "2001:db8::1"),
    "ipv4network": ("192.0.2.0/24",),
    "ipv6network": ("2001:db8::/32",),
    "ipvanynetwork": ("192.0.2.0/24", "2001:db8::/32"),
    "ipv4interface": ("192.0.2.1/24",),
    "ipv6interface": ("2001:db8::1/32",),
    "ipvanyinterface": ("192.0.2.1/24", "2001:db8::1/32"),
    "base64": ("dGV4dA==",),
    "base64url": ("dGV4dA==",),
    "json-pointer": ("/claims/1",),
    "regex": ("^[A-Z]+$",),
    "phone": ("+4915112345678",),
    "color": ("#336699",),
}
_COMMON = (
    "https://example.com/",
    "ana@example.com",
    "1",
    "1.5",
    "+4915112345678",
    *_DATES[:1],
    *_MOMENTS[:1],
    _UUIDS["4"],
    "EUR",
    "DE",
    "de",
    "de-DE",
    "Europe/Berlin",
    "a",
    "A1",
    "name",
    "some-name",
    "{}",
)
"""What texts that only their validator knows about most often are."""


def texts(schema: Mapping[str, Any], word: str) -> list[str]:
    """Return texts that fit a schema of type string: format, pattern and lengths.

    Args:
        schema: The schema.
        word: What a text that is free to be anything should say.
    """
    low, high = schema.get("minLength", 0), schema.get("maxLength", math.inf)
    pattern = schema.get("pattern")
    known = _FORMATS.get(schema.get("format", ""))
    found: Iterator[str]
    if known:
        found = iter(known)
    elif pattern is not None:
        found = chain(_fitted(word, low, high), texts_for(pattern), _COMMON)
    else:
        found = chain(_fitted(word, low, high), _COMMON)
    fit = (text for text in found if low <= len(text) <= high and _matches(text, pattern))
    return list(dict.fromkeys(islice(fit, _MOST)))


def numbers(schema: Mapping[str, Any]) -> list[int | float]:
    """Return numbers that fit a schema of type integer or number: bounds and multiples.

    The first is 1 where that is possible, or else one next to a bound, of few digits after the point.
    """
    low, above = _bound(schema, "minimum", "exclusiveMinimum", max)
    high, below = _bound(schema, "maximum", "exclusiveMaximum", min)
    whole = schema["type"] == "integer"

    def inside(number: Fraction) -> bool:
        over = low is None or number > low or (number == low and not above)
        under = high is None or number < high or (number == high and not below)
        return over and under and not (whole and number.denominator != 1)

    multiple = schema.get("multipleOf")
    for places in range(1 if whole or multiple is not None else _PLACES):
        step = Fraction(1, 10**places) if multiple is None else _exact(multiple)
        starts = [step, Fraction(0)]
        if low is not None:
            starts += [math.ceil(low / step) * step, math.ceil(low / step) * step + step]
        if high is not None:
            starts += [math.floor(high / step) * step, math.floor(high / step) * step - step]
        first = next((start for start in starts if inside(start)), None)
        if first is not None:
            near = (first + count * step for count in (*range(_MANY), *range(-1, -_MANY, -1)))
            return [int(n) if n.denominator == 1 else float(n) for n in near if inside(n)]
    return []


def _fitted(word: str, low: int, high: float) -> Iterator[str]:
    """Yield `word`, repeated or cut to these lengths."""
    text = word
    while len(text) < low:
        text += f"-{word}" if len(text) + len(word) < low else "x" * (low - len(text))
    if len(text) > high:
        text = text[: int(high)].rstrip(" -_")
        text += "x" * (low - len(text))
    for each in (text, f"{text} 2", f"{text} 3"):
        if each.strip():
            yield each


def _matches(text: str, pattern: str | None) -> bool:
    if pattern is None:
        return True
    try:
        return re.search(pattern, text) is not None
    except re.error:  # of pydantic's engine, not Python's; the class itself has the last word
        return True


def _bound(
    schema: Mapping[str, Any], inclusive: str, exclusive: str, tighter: Any
) -> tuple[Fraction | None, bool]:
    """Return the tighter of two bounds, and whether it is itself outside."""
    bounds = [_exact(schema[name]) for name in (inclusive, exclusive) if name in schema]
    if not bounds:
        return None, False
    bound = tighter(bounds)
    return bound, exclusive in schema and _exact(schema[exclusive]) == bound


def _exact(number: float) -> Fraction:
    return Fraction(repr(number))
