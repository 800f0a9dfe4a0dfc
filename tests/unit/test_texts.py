"""Texts from elsewhere become texts that every database takes, and lines for terminals."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claimnotify.model.texts import printable, storable


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("the bank is closed", "the bank is closed"),
        ("zażółć\nline", "zażółć\nline"),
        ("bad \udc80 file", "bad \\udc80 file"),
        ("a\x00b", "a\\x00b"),
        (KeyError("x"), "'x'"),
        ("", ""),
    ],
)
def test_what_no_database_keeps_is_escaped(text: object, stored: str) -> None:
    assert storable(text, 100) == stored


@given(st.text(st.characters(codec=None)), st.integers(0, 20))
def test_any_text_can_be_stored_and_is_no_longer_than_asked(text: str, longest: int) -> None:
    stored = storable(text, longest)
    assert len(stored) <= longest
    assert b"\x00" not in stored.encode("utf-8")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[bold]zażółć[/x] :bomb: \\ 東京", "[bold]zażółć[/x] :bomb: \\ 東京"),
        ("1\xa0000\u3000km", "1\xa0000\u3000km"),
        ("\x1b[2Ja\x9bb\x07", "\\x1b[2Ja\\x9bb\\x07"),
        ("one\r\ntwo\u2028three", "one\\r\\ntwo\\u2028three"),
        ("cus_\u202e7", "cus_\\u202e7"),
        ("\udc80\U000e0041", "\\udc80\\U000e0041"),
        (KeyError("x"), "'x'"),
        ("", ""),
    ],
)
def test_what_would_act_on_a_terminal_is_escaped(text: object, line: str) -> None:
    assert printable(text) == line


@given(st.text(st.characters(codec=None)))
def test_any_text_can_be_printed_as_one_line(text: str) -> None:
    line = printable(text)
    assert len(line.splitlines()) <= 1
    assert "\x1b" not in line
    line.encode("utf-8")
