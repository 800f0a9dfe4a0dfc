"""Shows what `claimnotify listen` receives: for people, or as one JSON object a line. Bodies are hostile."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from claimnotify.cli.hearing import Heard
from claimnotify.cli.output import say

__all__ = ["JsonLines", "PlainText"]

_MOST_SHOWN = 64 * 1024
"""Characters of a body that people are shown."""
_DEEPEST = 64
"""Levels of JSON that are shown as JSON: as many on every Python, whose own limits differ."""


class PlainText:
    """For people. See `claimnotify.cli.hearing.Display`."""

    def listening(self, url: str, hints: Sequence[str]) -> None:
        """Say where webhooks can be sent to, and what else helps to begin."""
        say(f"listening on {url}")
        for hint in hints:
            say(hint)

    def heard(self, heard: Heard) -> None:
        """Show a request with its body, JSON indented."""
        request = heard.request
        say(
            f"{heard.at:%H:%M:%S} {request.method} {request.target}, {len(request.body)} bytes:"
            f" {'verified' if heard.verified else f'NOT VERIFIED, {heard.problem}'};"
            f" answered {heard.status}{f' ({heard.note})' if heard.note else ''}"
        )
        if heard.id:
            seen = f", seen {heard.times} times" if heard.times > 1 else ""
            say(f"  webhook-id {heard.id}{seen}")
        stamp = request.headers.get("webhook-timestamp", "")
        if heard.sent_at is not None and heard.age is not None:
            age = heard.age.total_seconds()
            say(f"  sent at {heard.sent_at:%Y-%m-%d %H:%M:%S}, {age:.1f} s before it came")
        elif stamp:
            say(f"  webhook-timestamp {stamp}, which is no time")
        for line in _shown(request.body) if request.body else ():
            say(f"  {line}")

    def refused(self, at: datetime, status: int, problem: str) -> None:
        """Show that something came that is not a request we take."""
        say(f"{at:%H:%M:%S} refused with {status}: {problem}")

    def ended(self, received: int, verified: int) -> None:
        """Sum up."""
        say(f"requests received: {received}, verified: {verified}")


class JsonLines:
    """For programs: every line is an object, and its `event` says of what. See `Display`."""

    def listening(self, url: str, hints: Sequence[str]) -> None:
        """Say where webhooks can be sent to."""
        _line("listening", {"url": url})

    def heard(self, heard: Heard) -> None:
        """Show a request: `body` is the parsed JSON, or a text if it is none or nests deeply."""
        request = heard.request
        parsed, is_json = _parsed(request.body)
        values = {
            "at": heard.at.isoformat(),
            "method": request.method,
            "target": request.target,
            "size": len(request.body),
            "verified": heard.verified,
            "problem": heard.problem,
            "status": heard.status,
            "note": heard.note,
            "webhook_id": heard.id,
            "times": heard.times,
            "sent_at": heard.sent_at.isoformat() if heard.sent_at else None,
            "age_seconds": heard.age.total_seconds() if heard.age is not None else None,
            "is_json": is_json,
            "body": parsed if is_json else _text(request.body),
        }
        _line("request", values)

    def refused(self, at: datetime, status: int, problem: str) -> None:
        """Show that something came that is not a request we take."""
        _line("refused", {"at": at.isoformat(), "status": status, "problem": problem})

    def ended(self, received: int, verified: int) -> None:
        """Sum up."""
        _line("ended", {"received": received, "verified": verified})


def _line(event: str, values: Mapping[str, Any]) -> None:
    say(json.dumps({"event": event, **values}))


def _shown(body: bytes) -> Iterator[str]:
    """Yield the lines of the body, JSON indented, up to a limit: indenting may lengthen it a lot."""
    parsed, is_json = _parsed(body)
    if not is_json:
        text = _text(body[: 4 * _MOST_SHOWN])
        whole = len(body) <= _MOST_SHOWN
        yield from text[:_MOST_SHOWN].split("\n")
    else:
        text, whole = _indented(parsed)
        yield from text.split("\n")
    if not whole:
        yield "… and more"


def _indented(parsed: object) -> tuple[str, bool]:
    """Return the beginning of the JSON, indented, and whether that is all of it."""
    pieces, length = [], 0
    for piece in json.JSONEncoder(indent=2, ensure_ascii=False).iterencode(parsed):
        pieces.append(piece)
        length += len(piece)
        if length > _MOST_SHOWN:
            return "".join(pieces)[:_MOST_SHOWN], False
    return "".join(pieces), True


def _parsed(body: bytes) -> tuple[Any, bool]:
    """Return what the JSON says, and whether it is JSON that can be written again."""
    try:
        parsed = json.loads(body.decode())
        if _is_deep(parsed):
            return None, False
        json.dumps(parsed, allow_nan=False)
    except (ValueError, RecursionError):
        return None, False
    return parsed, True


def _is_deep(parsed: object) -> bool:
    """Return whether lists and objects nest deeper than is shown; takes one level after the other."""
    level = [parsed]
    for _ in range(_DEEPEST):
        level = [
            inner for each in level for inner in _inside(each) if isinstance(inner, dict | list)
        ]
    return bool(level)


def _inside(value: object) -> Iterable[object]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _text(body: bytes) -> str:
    return body.decode("utf-8", "replace")
