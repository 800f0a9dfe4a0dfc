"""Attachments: what a file may be, and what a list of them is."""

from __future__ import annotations

from typing import Any

import pytest

from claimnotify import Attachment
from claimnotify.errors import InvalidInput
from claimnotify.model.messages import check_attachments

FILE = Attachment(filename="a.txt", content=b"a")


@pytest.mark.parametrize(
    ("field", "value"),
    [("filename", value) for value in ("", None, 5, b"a.txt", ["a"], "a/b", "a\nb", 'a"', "\ud800")]
    + [("filename", "x" * 256)]
    + [("content", value) for value in ("text", None, 5, ["a"], bytearray(b"a"))]
    + [("content_type", value) for value in ("", None, 5, b"text/csv", "text", "a/b\n")]
    + [("content_id", value) for value in (5, b"logo", ["a"], "<logo>", "ä", "x" * 256)],
)
def test_a_field_of_a_file_that_is_none_is_named(field: str, value: Any) -> None:
    given: dict[str, Any] = {"filename": "a.txt", "content": b"a", field: value}
    with pytest.raises(InvalidInput) as refused:
        Attachment(**given)
    assert refused.value.field == f"attachment.{field}"
    assert refused.value.remedy


@pytest.mark.parametrize("given", ["abc", "", b"", None, 5, FILE, ["x"], [b"x"], [None], {"a": 1}])
def test_what_is_no_list_of_files_is_refused(given: Any) -> None:
    with pytest.raises(InvalidInput, match=r"attachments: (is|has) a .*Give a list of Attachments"):
        check_attachments(given)


def test_files_of_any_series_are_a_tuple() -> None:
    assert check_attachments([]) == check_attachments(()) == ()
    assert check_attachments([FILE]) == check_attachments(iter([FILE])) == (FILE,)


def test_files_that_are_too_large_together_are_refused() -> None:
    half = Attachment(filename="a", content=bytes(10 * 1024 * 1024))
    assert check_attachments([half, half])
    with pytest.raises(InvalidInput, match="larger than 20 MiB together"):
        check_attachments([half, half, FILE])
