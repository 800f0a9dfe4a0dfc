"""The settings page lists every setting under every name it goes by, and no other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import AliasChoices

from claimnotify.errors import ConfigurationError
from claimnotify.settings import Settings

_PAGE = Path(__file__).parents[2] / "docs" / "reference" / "settings.md"
_ROW = re.compile(r"^\| `(\w+)` \| (`[^|]+`) \|", re.MULTILINE)
_LISTED = {
    name: re.findall(r"`(\w+)`", environment)
    for name, environment in _ROW.findall(_PAGE.read_text(encoding="utf-8"))
}


def test_every_setting_is_listed_and_nothing_else() -> None:
    assert set(_LISTED) == set(Settings.model_fields)


@pytest.mark.parametrize("name", Settings.model_fields)
def test_the_names_in_the_environment_are_the_ones_that_are_read(name: str) -> None:
    alias = Settings.model_fields[name].validation_alias
    if isinstance(alias, AliasChoices):
        expected = [str(choice) for choice in alias.choices if str(choice).isupper()]
    else:
        expected = [f"CLAIMNOTIFY_{name.upper()}"]
    assert _LISTED[name] == expected


def test_a_conventional_name_gives_way_to_the_prefixed_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMTP_FROM_NAME", "conventional")
    assert Settings.load().smtp_from_name == "conventional"
    monkeypatch.setenv("CLAIMNOTIFY_SMTP_FROM_NAME", "prefixed")
    assert Settings.load().smtp_from_name == "prefixed"


@pytest.mark.parametrize(
    ("name", "given", "expected"),
    [
        ("CLAIMNOTIFY_WEBHOOK_ALLOW_NETWORKS", "127.0.0.0/8, ::1/128", ("127.0.0.0/8", "::1/128")),
        ("CLAIMNOTIFY_WEBHOOK_ALLOW_PORTS", "8443,9443", (8443, 9443)),
        ("CLAIMNOTIFY_WEBHOOK_ALLOW_PORTS", "", ()),
    ],
)
def test_lists_are_comma_separated(
    monkeypatch: pytest.MonkeyPatch, name: str, given: str, expected: tuple[object, ...]
) -> None:
    monkeypatch.setenv(name, given)
    assert getattr(Settings.load(), name.removeprefix("CLAIMNOTIFY_").lower()) == expected


@pytest.mark.parametrize("tenant", ["", "t" * 65, "a\nb"])
def test_a_tenant_that_could_not_be_written_is_refused(tenant: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^tenant: "):
        Settings.load(tenant=tenant)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            {"rate_limits": "email=5/week"},
            "rate_limits: 'email=5/week' is not a rate. Give a whole ",
        ),
        (
            {"rate_limits": "email=1/second,email=2/second"},
            "rate_limits: there are two limits for 'email'; only one can hold. Correct it ",
        ),
        ({"smtp_from_email": "a@b\nc"}, "smtp_from_email: has a line break"),
        ({"smtp_host": "mail"}, "smtp_from_email: is needed because smtp_host is set. Correct it "),
    ],
)
def test_a_refusal_names_the_setting_once(options: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Settings.load(**options)
    text = str(caught.value)
    assert text.startswith(said)
    assert ".." not in text
    assert text.count(f"{caught.value.field}: ") == 1
