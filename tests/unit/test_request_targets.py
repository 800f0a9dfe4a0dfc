"""What stands in the request line: the registered path and query, in the characters of a URI."""

from __future__ import annotations

import re

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from claimnotify.errors import ForbiddenDestination
from claimnotify.http.destinations import parse_destination
from claimnotify.http.httpx_lane import url_of


@pytest.mark.parametrize(
    ("rest", "target"),
    [
        ("", "/"),
        ("?a=b", "/?a=b"),
        ("/a%2fb?c=%zz", "/a%2fb?c=%zz"),  # receivers may sign or route by the very letters
        ("//a//b/", "//a//b/"),
        ("/a/./b/../c", "/a/c"),
        ("/a/..", "/"),
        ("/a/b/.", "/a/b/"),
        ("/../../a", "/a"),
        ("/a?b=../c", "/a?b=../c"),
        ("/é?ü", "/%C3%A9?%C3%BC"),
        ("/{a}?{b}", "/%7Ba%7D?{b}"),
        ("/a#b", "/a"),
        ("/a?b#c?d", "/a?b"),
        ("/a?", "/a?"),
    ],
)
def test_the_target_is_path_and_query(rest: str, target: str) -> None:
    assert parse_destination(f"https://example.com{rest}").target == target


@pytest.mark.parametrize(
    ("url", "authority"),
    [
        ("https://Example.com:443/", "example.com"),
        ("http://example.com:80/", "example.com"),
        ("http://example.com:443/", "example.com:443"),
        ("https://[2606:2800:220:1::1]/", "[2606:2800:220:1::1]"),
        ("https://[2606:2800:220:1::1]:8443/", "[2606:2800:220:1::1]:8443"),
    ],
)
def test_the_authority_names_host_and_port(url: str, authority: str) -> None:
    where = parse_destination(url)
    assert where.authority == authority
    assert url_of(where).netloc.decode() == authority


@given(st.text(st.characters(exclude_categories=["C", "Z"]), max_size=40))
def test_no_target_breaks_the_request_line_and_httpx_reads_it_the_same_way(rest: str) -> None:
    try:
        where = parse_destination(f"https://example.com/{rest}")
    except ForbiddenDestination:
        return
    assert re.fullmatch(r"/[!-~]*", where.target)
    assert "#" not in where.target
    assert url_of(where).raw_path.decode() == where.target
    path = rest.partition("#")[0].partition("?")[0]
    if not path.endswith((".", "..")):  # httpx leaves out the slash after a last dot segment
        assert httpx.URL(f"https://example.com/{rest}").raw_path.decode() == where.target
