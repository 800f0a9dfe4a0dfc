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


_SECRET = "hunter2-and-more"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("public_url", "nonsense"),
        ("public_url", "javascript:alert(1)"),
        ("public_url", f"http://u:{_SECRET}@x"),
        ("public_url", "https://x/?a=b"),
        ("public_url", "https://[x"),
        ("public_url", "https://x\r\ny"),
        ("app", "nonsense"),
        ("app", "a:b:c"),
        ("app", "a-b:c"),
        ("smtp_host", "mail example\r\nx"),
        ("smtp_host", "mail.example.com:25"),
        ("smtp_host", "smtp://mail.example.com"),
        ("smtp_ca_file", "/nowhere/ca.pem"),
        ("smtp_username", "u\r\nv"),
        ("twilio_account_sid", "AC\n1"),
        ("twilio_api_url", "nonsense"),
        ("twilio_api_url", f"https://u:{_SECRET}@x"),
    ],
)
def test_a_wrong_value_is_refused_though_its_channel_is_off(field: str, value: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        Settings.load(**{field: value})
    assert refused.value.field == field
    assert refused.value.remedy
    assert _SECRET not in str(refused.value)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("public_url", "https://notify.example.com/pages/"),
        ("public_url", "http://[::1]:8000"),
        ("app", "shop.notifications:make"),
        ("app", "shop:site.notifier"),
        ("smtp_host", "mail.example.com."),
        ("smtp_host", "mail_1"),
        ("smtp_host", "::1"),
        ("twilio_api_url", "http://127.0.0.1:8080"),
    ],
)
def test_a_right_value_is_taken(field: str, value: str) -> None:
    options = {"smtp_from_email": "a@example.com"} if field == "smtp_host" else {}
    assert getattr(Settings.load(**{field: value}, **options), field) == value


@pytest.mark.parametrize("field", ["template_dir", "brand", "smtp_ca_file"])
def test_an_empty_path_is_none(field: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"CLAIMNOTIFY_{field.upper()}", "")
    assert getattr(Settings.load(), field) is None
