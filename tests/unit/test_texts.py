"""Texts from elsewhere become texts that every database takes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claimnotify.model.texts import storable


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
