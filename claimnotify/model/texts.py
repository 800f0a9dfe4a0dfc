"""Makes a text from elsewhere, such as that of an error, one that every database takes. No I/O."""

from __future__ import annotations

__all__ = ["storable"]


def storable(text: object, longest: int) -> str:
    """Return `text` as text, with what no database keeps written as an escape, cut to `longest` characters.

    That is half a surrogate pair, as in the name of a file that is not UTF-8, and the character NUL.
    """
    short = str(text)[:longest]
    if short.isprintable():
        return short
    whole = short.encode("utf-8", "backslashreplace").decode("utf-8")
    return whole.replace("\x00", "\\x00")[:longest]
