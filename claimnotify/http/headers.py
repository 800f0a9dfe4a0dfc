"""What stands before a body, in both directions: what may be sent, and what is taken. No I/O."""

from __future__ import annotations

import re
from collections.abc import Iterable

from claimnotify.errors import InvalidInput, ResponseBroken
from claimnotify.model.http import HttpRequest

__all__ = ["HEAD_LIMIT", "most_bytes", "received", "sendable"]

HEAD_LIMIT = 64 * 1024
"""Bytes that may arrive before a response's headers are complete, interim responses included."""
_HEADER_LIMIT = 32 * 1024
_MOST_FIELDS = 128
_MOST_FRAMING = 256 * 1024
_FRAMING_PER_BYTE = 8
_OURS = ("accept-encoding", "content-length", "host", "transfer-encoding")
_NAME = r"[!#$%&'*+.^_`|~0-9a-z-]+"
_LIST_OF_NAMES = re.compile(f"{_NAME}(?:,{_NAME})*")
_METHOD = re.compile(_NAME, re.ASCII | re.IGNORECASE)


def sendable(request: HttpRequest) -> dict[str, str]:
    """Return the headers with names in lower case, without those the engine itself sets.

    Raises:
        InvalidInput: The method or a name is no token, or a value has a line break or another
            character that is not printable ASCII (RFC 9110 sections 5 and 9.1).
    """
    if not isinstance(request.method, str) or not _METHOD.fullmatch(request.method):
        raise InvalidInput("method", "is not a token", "Give a method such as POST.")
    kept = {name.lower(): value for name, value in request.headers.items()}
    for name in _OURS:
        kept.pop(name, None)
    values = "".join(kept.values())
    if kept and (
        not _LIST_OF_NAMES.fullmatch(",".join(kept))
        or not values.isascii()
        or not values.isprintable()
    ):
        raise InvalidInput(
            "headers",
            "a name is not a token, or a value is not printable ASCII",
            "Encode what goes into a header.",
        )
    return kept


def received(status: int, raw: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Return a response's headers by name in lower case; of repeated ones the last.

    The engines' parsers differ in how much they forgive; what is refused here none may accept.

    Raises:
        ResponseBroken: They are too many or too long, there is a space before a colon, or it is not
            beyond doubt where the body ends (RFC 9112 section 6.3): two lengths, a length and a
            transfer coding, any coding but `chunked`, a body where the status has none. Or the
            status is 101, and what follows is not HTTP, which we never asked for.
    """
    if status == 101:
        raise ResponseBroken("the response switches to a protocol that was not asked for")
    size = count = 0
    headers: dict[str, str] = {}
    for name, value in raw:
        size += len(name) + len(value)
        count += 1
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        if key.endswith((" ", "\t")):
            raise ResponseBroken("the response has a header with a space before its colon")
        if key == "content-length" and headers.get(key, text) != text:
            raise ResponseBroken("the response has two values of Content-Length")
        if key == "transfer-encoding" and (key in headers or text.strip().lower() != "chunked"):
            raise ResponseBroken("the response has a transfer coding other than chunked")
        headers[key] = text
    if size > _HEADER_LIMIT or count > _MOST_FIELDS:
        raise ResponseBroken(
            f"the response has more than {_MOST_FIELDS} headers or {_HEADER_LIMIT} bytes of them"
        )
    if "transfer-encoding" in headers and "content-length" in headers:
        raise ResponseBroken("the response has a Content-Length and a Transfer-Encoding")
    length = headers.get("content-length", "0").strip("0")
    if status == 204 and (length or "transfer-encoding" in headers):
        raise ResponseBroken("the response has a body, and a status that has none")
    return headers


def most_bytes(body: int) -> int:
    """Return how many bytes may arrive for `body` bytes of a response's body.

    A chunk of one byte takes six; what goes far beyond that hides in chunk sizes and extensions,
    or in trailers, and would keep us busy until the deadline.
    """
    return _MOST_FRAMING + _FRAMING_PER_BYTE * body
