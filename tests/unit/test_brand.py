"""A brand is data, and what could break a message is refused where it is loaded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from claimnotify.errors import ConfigurationError
from claimnotify.templates.brand import Brand, Colours, is_web_url

VALUES: dict[str, Any] = {
    "name": "Sky",
    "logo_url": "https://cdn.example.com/logo.png",
    "website": "https://example.com",
    "support_email": "help@example.com",
    "footer": "Sky GmbH\nBerlin",
    "colours": {"primary": "#aa1122", "text": "#123"},
}


def test_a_brand_is_read_from_json_and_toml(tmp_path: Path) -> None:
    as_json = tmp_path / "brand.json"
    as_json.write_text(json.dumps(VALUES))
    as_toml = tmp_path / "brand.toml"
    lines = [f"{name} = {json.dumps(value)}" for name, value in VALUES.items() if name != "colours"]
    colours = [f"{name} = {json.dumps(value)}" for name, value in VALUES["colours"].items()]
    as_toml.write_text("\n".join([*lines, "[colours]", *colours]))
    brand = Brand.load(as_json)
    assert brand == Brand.load(str(as_toml))
    assert brand.name == "Sky"
    assert brand.footer == "Sky GmbH\nBerlin"
    assert brand.colours == Colours(primary="#aa1122", text="#123")


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"name": "two\r\nlines"}, "brand.name"),
        ({"name": 7}, "brand.name"),
        ({"footer": "bell\x07"}, "brand.footer"),
        ({"footer": "carriage\rreturn"}, "brand.footer"),
        ({"logo_url": "javascript:alert(1)"}, "brand.logo_url"),
        ({"logo_url": "/logo.png"}, "brand.logo_url"),
        ({"website": "https://exa mple.com"}, "brand.website"),
        ({"website": 'https://example.com/"x'}, "brand.website"),
        ({"support_email": "a@example.com, b@example.com"}, "brand.support_email"),
        ({"colours": {"primary": "red"}}, "brand.colours.primary"),
        ({"colours": {"primary": "#12345;x:y"}}, "brand.colours.primary"),
        ({"colours": {"primry": "#123456"}}, "brand.colours.primry"),
        ({"colours": "#123456"}, "brand.colours"),
        ({"nam": "Sky"}, "brand.nam"),
    ],
)
def test_a_malformed_part_is_named(tmp_path: Path, values: dict[str, Any], field: str) -> None:
    path = tmp_path / "brand.json"
    path.write_text(json.dumps(values))
    with pytest.raises(ConfigurationError) as caught:
        Brand.load(path)
    assert caught.value.field == field
    assert caught.value.problem
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("brand.json", "{", "is not JSON"),
        ("brand.toml", "name =", "is not TOML"),
        ("brand.json", "[]", "not a table"),
        ("brand.toml", None, "cannot be read"),
    ],
)
def test_an_unreadable_file_is_named(
    tmp_path: Path, name: str, content: str | None, problem: str
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_text(content)
    with pytest.raises(ConfigurationError, match=problem) as caught:
        Brand.load(path)
    assert name in caught.value.field


def test_only_absolute_http_urls_are_web_urls() -> None:
    good = ["https://example.com", "http://localhost:8000/a?b=c#d", "https://bücher.example/ä"]
    bad = [
        "",
        "example.com",
        "//example.com",
        "ftp://example.com",
        "https://",
        "https://[::1",
        "https://example.com/\n",
        "https://example.com/<b>",
        " https://example.com",
        None,
        7,
    ]
    assert [url for url in good if not is_web_url(url)] == []
    assert [url for url in bad if is_web_url(url)] == []
