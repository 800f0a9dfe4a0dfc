"""Texts for patterns: those that are understood give one that fits, the others none."""

from __future__ import annotations

from itertools import islice

import pytest
from hypothesis import given, reject
from hypothesis import strategies as st
from pydantic_core import SchemaError, SchemaValidator, core_schema

from claimnotify.catalogue.patterns import texts_for


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (r"^[A-Z]{3}$", "AAA"),
        (r"^\+[1-9]\d{6,14}$", "+1111111"),
        (r"^(?:EUR|USD)$", "EUR"),
        (r"^(a|b)(?P<x>c)(?<y>d)$", "acd"),
        (r"^[^a-z]+$", "A"),
        (r"^[^\x00-\x1f\x7f]*$", "a"),
        (r"^\w+@\w+\.\w{2,}$", "a@a.aa"),
        (r"\A\S+\Z", "a"),
        (r"^[\d.\-]{2}$", "11"),
        (r"^[]a]$", "a"),
        (r"^\u0041\x42$", "AB"),
        (r"^a{2}b{2,}c{0,3}?$", "aabbc"),
        (r"^(?:[a-z]{2}-)?[A-Z]{2}$", "aa-AA"),
        (r"^.{3}$", "aaa"),
        (r"^\.\*$", ".*"),
        (r"^$", ""),
        ("abc", "abc"),
    ],
)
def test_the_first_text_is_short_and_likely(pattern: str, text: str) -> None:
    assert next(texts_for(pattern)) == text


@pytest.mark.parametrize(
    "pattern",
    [r"(?=a)b", r"(?<!a)b", r"(a)\1", r"(a", r"[a", "a{", "a)", "\\", r"\pL", "[[:alpha:]]", "(?i)a"],
)  # fmt: skip
def test_what_is_not_understood_gives_nothing(pattern: str) -> None:
    assert list(texts_for(pattern)) == []


def test_more_repeats_follow_so_that_a_length_can_be_met() -> None:
    assert any(len(text) == 30 for text in texts_for("^a+$"))
    assert "b" in texts_for("^(?:aaaa|b)$")


_ATOMS = st.sampled_from(
    ["a", "B", "7", r"\d", r"\w", r"\S", "[a-f]", "[^a-f]", "[0-9_]", ".", "-"]
)
_REPEATS = st.sampled_from(["", "?", "*", "+", "{3}", "{2,}", "{1,4}", "+?"])
_PATTERNS = st.recursive(
    st.builds(str.__add__, _ATOMS, _REPEATS),
    lambda inner: st.one_of(
        st.builds(str.__add__, inner, inner),
        st.builds(lambda one, two, more: f"(?:{one}|{two}){more}", inner, inner, _REPEATS),
    ),
)


@given(pattern=_PATTERNS)
def test_every_text_for_a_pattern_that_is_understood_matches(pattern: str) -> None:
    """Pydantic's engine is asked: to Python's own, which tries all ways, some of these take for ever."""
    found = list(islice(texts_for(f"^{pattern}$"), 12))
    assert found
    try:
        matching = SchemaValidator(core_schema.str_schema(pattern=f"^(?:{pattern})$"))
    except SchemaError as error:
        if "size limit" not in str(error):
            raise
        reject()
    for text in found:
        assert matching.isinstance_python(text), text


@given(pattern=st.text(alphabet="ab01()[]{}|?*+^$\\-,.:<>=!Pdwsx", max_size=20))
def test_nothing_makes_it_fail(pattern: str) -> None:
    for _ in islice(texts_for(pattern), 3):
        pass
