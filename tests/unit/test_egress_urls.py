"""The guard refuses hostile URLs, and lets the ordinary ones beside them pass."""

from __future__ import annotations

import pytest

from claimnotify.errors import ForbiddenDestination
from claimnotify.http.egress import EgressPolicy
from tests.hostile_urls import BOUNDARY_URLS, HOSTILE_URLS, ORDINARY_URLS

_SHORTENED = 60


def _name(url: object) -> str:
    return ascii(url)[1:-1][:_SHORTENED]


def test_the_table_is_as_long_as_promised() -> None:
    assert len(HOSTILE_URLS) >= 95
    assert all(HOSTILE_URLS.values()), "each has its reason"


@pytest.mark.parametrize("url", HOSTILE_URLS, ids=_name)
def test_a_hostile_url_is_refused(url: str) -> None:
    with pytest.raises(ForbiddenDestination):
        EgressPolicy().check_url(url)


@pytest.mark.parametrize("url", [*ORDINARY_URLS, *BOUNDARY_URLS], ids=_name)
def test_an_ordinary_url_passes(url: str) -> None:
    EgressPolicy().check_url(url)


@pytest.mark.parametrize("url", [None, b"https://example.com/", 5, ["https://example.com/"]])
def test_what_is_no_text_is_refused(url: object) -> None:
    with pytest.raises(ForbiddenDestination):
        EgressPolicy().check_url(url)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "url",
    [
        "https://user:hunter2@example.com/hunter2",
        "https://example.com:22/hunter2",
        "https://127.0.0.1/hunter2",
        "https://localhost/?token=hunter2",
        "hunter2",
    ],
)
def test_a_refusal_does_not_repeat_the_url(url: str) -> None:
    with pytest.raises(ForbiddenDestination) as caught:
        EgressPolicy().check_url(url)
    assert "hunter2" not in f"{caught.value} {caught.value!r}"
