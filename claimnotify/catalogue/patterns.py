"""Makes a text that a regular expression matches, for the expressions that fields are bound by.

It knows what pydantic's own engine and Python's have in common, without look-around and references
back. It is not asked whether the text fits: whoever calls it checks that.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Iterator

__all__ = ["texts_for"]

_LIKED = "aA1" + string.ascii_letters + string.digits + "-_.,:;/+@#% " + string.printable
_LONGEST = 48
_BRANCHES = 3
_SETS = {
    "d": string.digits,
    "w": string.ascii_letters + string.digits + "_",
    "s": " \t\n\r\f\v",
}
_CONTROLS = {"t": "\t", "n": "\n", "r": "\r", "f": "\f", "v": "\v", "a": "\a", "0": "\0"}
_DIGITS = {"x": 2, "u": 4, "U": 8}
_ANCHORS = "bBAzZ"

_Part = Callable[[int, int], str]
"""Gives the text of a part: with so many repeats where that is free, and this branch if it can."""


class _Unknown(Exception):
    """The expression has what is not understood here."""


def texts_for(pattern: str) -> Iterator[str]:
    """Yield texts that `pattern` should match, short ones first; none if it is not understood."""
    reader = _Reader(pattern)
    try:
        part = reader.alternatives()
        if reader.left():
            return
    except (_Unknown, IndexError, ValueError):
        return
    for repeats in (1, 0, *range(2, _LONGEST)):
        for branch in range(_BRANCHES):
            yield part(repeats, branch)


class _Reader:
    """Reads a regular expression from left to right."""

    def __init__(self, pattern: str) -> None:
        self._text = pattern
        self._at = 0

    def left(self) -> str:
        return self._text[self._at :]

    def alternatives(self) -> _Part:
        branches = [self._sequence()]
        while self._skip("|"):
            branches.append(self._sequence())
        return lambda repeats, branch: branches[min(branch, len(branches) - 1)](repeats, branch)

    def _sequence(self) -> _Part:
        parts: list[_Part] = []
        while self.left() and self.left()[0] not in "|)":
            parts.append(self._repeated(self._atom()))
        return lambda repeats, branch: "".join(part(repeats, branch) for part in parts)

    def _atom(self) -> _Part:
        char = self._next()
        if char == "(":
            return self._group()
        if char in "^$":
            return _always("")
        if char == "[":
            return _always(self._class())
        if char == ".":
            return _always("a")
        if char != "\\":
            return _always(char)
        char = self._next()
        return _always("" if char in _ANCHORS else _liked(self._escaped(char)))

    def _group(self) -> _Part:
        if self._skip("?"):
            if self._skip("P<") or (self._skip("<") and self.left()[0] not in "=!"):
                self._until(">")
            elif not self._skip(":"):
                raise _Unknown
        part = self.alternatives()
        if not self._skip(")"):
            raise _Unknown
        return part

    def _repeated(self, part: _Part) -> _Part:
        low, high = 1, 1
        if self._skip("?"):
            low, high = 0, 1
        elif self._skip("*"):
            low, high = 0, _LONGEST
        elif self._skip("+"):
            low, high = 1, _LONGEST
        elif self._skip("{"):
            least, comma, most = self._until("}").partition(",")
            low = int(least or 0)
            high = (int(most) if most else max(low, _LONGEST)) if comma else low
        else:
            return part
        self._skip("?")  # lazy or not, the same texts match
        return lambda repeats, branch: part(repeats, branch) * max(low, min(repeats, high))

    def _class(self) -> str:
        negated = self._skip("^")
        members = ""
        first = True
        while first or not self._skip("]"):
            first = False
            char = self._next()
            if char == "[" or self.left().startswith("&&"):
                raise _Unknown
            found = self._escaped(self._next()) if char == "\\" else char
            if len(found) == 1 and self.left().startswith("-") and self.left()[1] != "]":
                self._next()
                end = self._next()
                end = self._escaped(self._next()) if end == "\\" else end
                inside = [liked for liked in _LIKED if found <= liked <= end]
                found = "".join(inside) or found
            members += found
        return _liked("".join(set(_LIKED) - set(members)) if negated else members)

    def _escaped(self, char: str) -> str:
        """Return the characters that an escape stands for."""
        if char in _SETS:
            return _SETS[char]
        if char.lower() in _SETS:
            return "".join(each for each in _LIKED if each not in _SETS[char.lower()])
        if char in _CONTROLS:
            return _CONTROLS[char]
        if char in _DIGITS and not self.left().startswith("{"):
            digits = "".join(self._next() for _ in range(_DIGITS[char]))
            return chr(int(digits, 16))
        if char.isalnum():
            raise _Unknown
        return char

    def _next(self) -> str:
        char = self._text[self._at]
        self._at += 1
        return char

    def _skip(self, text: str) -> bool:
        found = self._text.startswith(text, self._at)
        self._at += len(text) if found else 0
        return found

    def _until(self, end: str) -> str:
        start = self._at
        self._at = self._text.index(end, start) + len(end)
        return self._text[start : self._at - len(end)]


def _always(text: str) -> _Part:
    return lambda _repeats, _branch: text


def _liked(members: str) -> str:
    for char in _LIKED:
        if char in members:
            return char
    if not members:
        raise _Unknown
    return members[0]
