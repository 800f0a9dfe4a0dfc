"""Makes texts from elsewhere, such as those of errors, fit for databases and terminals. No I/O."""

from __future__ import annotations

import unicodedata

__all__ = ["printable", "storable"]


def printable(text: object) -> str:
    """Return `text` as one line that does nothing to a terminal but be read.

    Control characters, such as those that begin an escape sequence, line breaks, and characters
    that cannot be seen or change the direction of writing, are written as Python's escapes.
    """
    line = str(text)
    if line.isprintable():
        return line
    return "".join(
        character if _is_seen(character) else character.encode("unicode_escape").decode("ascii")
        for character in line
    )


def _is_seen(character: str) -> bool:
    """Return whether it is a character one sees or a space, of whatever width."""
    return character.isprintable() or unicodedata.category(character) == "Zs"


def storable(text: object, longest: int) -> str:
    """Return `text` as text, with what no database keeps written as an escape, cut to `longest` characters.

    That is half a surrogate pair, as in the name of a file that is not UTF-8, and the character NUL.
    """
    short = str(text)[:longest]
    if short.isprintable():
        return short
    whole = short.encode("utf-8", "backslashreplace").decode("utf-8")
    return whole.replace("\x00", "\\x00")[:longest]
