"""Header lines of an e-mail, encoded and folded so that no value can break out of its own line.

The standard library parses what is assigned to a header, encoded words included, and some of its
versions write the line breaks it finds there (CVE-2024-6923). Here values are only ever encoded.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping, Sequence

from claimnotify.errors import InvalidInput

__all__ = ["address_line", "ascii_domain", "extra_lines", "header_line", "one_line"]

_LINE = 76
_LONGEST = 900
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_ATOMS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~ -]+", re.ASCII)
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,63}", re.ASCII)

_OURS = frozenset(
    [
        "from",
        "sender",
        "to",
        "cc",
        "bcc",
        "subject",
        "date",
        "message-id",
        "mime-version",
        "auto-submitted",
        "return-path",
        "received",
        "dkim-signature",
        "delivered-to",
    ]
)
_OUR_PREFIXES = ("content-", "resent-", "arc-")
_STRUCTURED = frozenset(["reply-to", "references", "in-reply-to", "precedence", "feedback-id"])


def one_line(text: str) -> str:
    """Return `text` on one line: control characters and runs of white space become one space."""
    whole = text.encode("utf-8", "replace").decode("utf-8")
    return " ".join(_CONTROL.sub(" ", whole).split())


def header_line(name: str, text: str) -> str:
    """Return `Name: text` with its CRLF, folded; what is not plain ASCII becomes encoded words.

    Source: RFC 5322 section 2.2.3, RFC 2047 section 5 (1).
    """
    return _folded(name, _words(name, one_line(text)))


def address_line(name: str, display_name: str, address: str) -> str:
    """Return the header line for one mailbox: `Name: "Display" <address>` (RFC 5322 section 3.4).

    Args:
        name: `From` or `To`.
        display_name: Any text, or empty.
        address: An address that was checked; a non-ASCII local part stays as it is (RFC 6532).
    """
    display = one_line(display_name)
    words: Sequence[str]
    if not display:
        words = []
    elif display.isascii() and "=?" not in display and len(display) <= _LONGEST:
        quoted = re.sub(r'(["\\])', r"\\\1", display)
        words = (display if _ATOMS.fullmatch(display) else f'"{quoted}"').split(" ")
    else:
        words = list(_encoded_words(name, display))
    return _folded(name, [*words, f"<{address}>"])


def extra_lines(headers: Mapping[str, str]) -> Iterator[str]:
    """Yield a line for each of a message's own headers.

    Raises:
        InvalidInput: If a name or value would break out of its line or stand in for one of ours.
    """
    seen: set[str] = set()
    for name, value in headers.items():
        lowered = name.lower()
        if not _NAME.fullmatch(name):
            raise InvalidInput("headers", "has a name that is none", "Use letters and hyphens.")
        if lowered in _OURS or lowered.startswith(_OUR_PREFIXES) or lowered in seen:
            raise InvalidInput(f"header {name}", "is set by claimnotify or twice", "Leave it out.")
        if _CONTROL.search(value):
            raise InvalidInput(f"header {name}", "has a control character", "Give one line.")
        structured = lowered in _STRUCTURED or lowered.startswith("list-")
        if structured and not (value.isascii() and max(map(len, value.split()), default=0) < 900):
            raise InvalidInput(f"header {name}", "is not plain ASCII", "Encode it beforehand.")
        seen.add(lowered)
        yield _folded(name, value.split()) if structured else header_line(name, value)


def ascii_domain(address: str) -> str:
    """Return `address` with its domain in the form DNS and every SMTP server know (IDNA 2008).

    Raises:
        InvalidInput: If the domain is no internationalised domain name.
    """
    import idna

    local, _, domain = address.rpartition("@")
    if domain.isascii():
        return address
    try:
        return f"{local}@{idna.encode(domain, uts46=True).decode('ascii')}"
    except idna.IDNAError as error:
        raise InvalidInput(
            "e-mail address", "has a domain that cannot exist", "Correct the part after the @."
        ) from error


def _words(name: str, text: str) -> Sequence[str]:
    words = text.split(" ")
    if text.isascii() and "=?" not in text and max(map(len, words)) < _LONGEST:
        return words
    return list(_encoded_words(name, text))


def _encoded_words(name: str, text: str) -> Iterator[str]:
    """Yield `text` as encoded words that fit one line each and split no character."""
    room = (_LINE - len(name) - 2 - len("=?utf-8?b??=")) // 4 * 3
    piece = b""
    for character in text:
        encoded = character.encode()
        if len(piece) + len(encoded) > room:
            yield f"=?utf-8?b?{base64.b64encode(piece).decode()}?="
            piece = b""
        piece += encoded
    yield f"=?utf-8?b?{base64.b64encode(piece).decode()}?="


def _folded(name: str, words: Sequence[str]) -> str:
    lines = [f"{name}:"]
    for word in words:
        if len(lines[-1]) + 1 + len(word) > _LINE and lines != [f"{name}:"]:
            lines.append("")
        lines[-1] += f" {word}"
    return "\r\n".join(lines) + "\r\n"
