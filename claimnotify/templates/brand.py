"""One brand as data: name, logo, colours and footer. It is checked here and drawn by the layouts."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from claimnotify.errors import ClaimnotifyError, ConfigurationError
from claimnotify.model.recipients import check_email

__all__ = ["Brand", "Colours", "is_web_url"]

_HEX = re.compile(r"#(?:[0-9a-fA-F]{3}|[0-9a-fA-F]{6})")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_NOT_IN_URLS = re.compile(r"[\s<>\"'`\\\x00-\x20\x7f-\x9f\ud800-\udfff]")


def is_web_url(value: object) -> bool:
    """Return whether `value` is an absolute http or https URL that fits into an attribute."""
    if not isinstance(value, str) or _NOT_IN_URLS.search(value):
        return False
    try:
        parts = urlsplit(value)
        return parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Colours:
    """The colours of e-mails in a light scheme, each `#rgb` or `#rrggbb`.

    Args:
        primary: The header's line and the buttons.
        on_primary: Text on a button; choose it readable on `primary`.
        background: Behind the card.
        surface: The card itself.
        text: Body text on `surface`.
        muted: Footer and labels.
        border: Lines.

    Raises:
        ConfigurationError: If one is not a hexadecimal colour.
    """

    primary: str = "#1f5fbf"
    on_primary: str = "#ffffff"
    background: str = "#f2f4f7"
    surface: str = "#ffffff"
    text: str = "#1d2733"
    muted: str = "#5c6773"
    border: str = "#dde2e8"

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            if not isinstance(value, str) or not _HEX.fullmatch(value):
                raise ConfigurationError(
                    f"brand.colours.{each.name}", "is not a colour", "Give it as #rrggbb."
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class Brand:
    """Who the messages come from. Every part may be left out.

    Args:
        name: Shown at the top of e-mails and before the text of an SMS.
        logo_url: An http(s) URL of an image, shown instead of the name; about 40 pixels high.
        website: An http(s) URL that the header and the footer link to.
        support_email: The address the footer gives for questions.
        footer: Small print under every e-mail; may have several lines.
        colours: The colours of e-mails.

    Raises:
        ConfigurationError: If a part is malformed; it names the part.
    """

    name: str = ""
    logo_url: str | None = None
    website: str | None = None
    support_email: str | None = None
    footer: str = ""
    colours: Colours = field(default_factory=Colours)

    def __post_init__(self) -> None:
        _check_text("name", self.name)
        if not isinstance(self.footer, str):
            raise ConfigurationError("brand.footer", "is not text", "Put it in quotes.")
        _check_text("footer", self.footer.replace("\n", " "))
        for part, url in (("logo_url", self.logo_url), ("website", self.website)):
            if url is not None and not is_web_url(url):
                raise ConfigurationError(
                    f"brand.{part}", "is not an http(s) URL", "Give one such as https://example.com"
                )
        if self.support_email is not None:
            try:
                check_email(self.support_email, "brand.support_email")
            except ClaimnotifyError as error:
                raise ConfigurationError(error.field, error.problem, error.remedy) from None
        if not isinstance(self.colours, Colours):
            raise ConfigurationError("brand.colours", "is not a set of colours", "Give a table.")

    @classmethod
    def load(cls, path: Path | str) -> Brand:
        """Return the brand in a `.json` or `.toml` file whose keys are the arguments of `Brand`.

        Raises:
            ConfigurationError: If the file cannot be read, or a part is unknown or malformed.
        """
        values = _read(Path(path))
        colours = values.pop("colours", {})
        _check_keys("brand.", values, cls)
        if not isinstance(colours, Mapping):
            raise ConfigurationError("brand.colours", "is not a table", "Give names and colours.")
        _check_keys("brand.colours.", colours, Colours)
        return cls(**values, colours=Colours(**colours))


def _read(path: Path) -> dict[str, Any]:
    where = f"brand file {path.name}"
    try:
        text = path.read_text(encoding="utf-8")
        values = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except OSError as error:
        raise ConfigurationError(
            where, f"cannot be read ({error.strerror})", "Check the path in CLAIMNOTIFY_BRAND."
        ) from None
    except ValueError as error:
        kind = "JSON" if path.suffix == ".json" else "TOML"
        raise ConfigurationError(where, f"is not {kind}: {error}", "Correct the file.") from None
    if not isinstance(values, dict):
        raise ConfigurationError(where, "is not a table of names and values", "Correct the file.")
    return values


def _check_keys(prefix: str, values: Mapping[str, Any], cls: type[Brand | Colours]) -> None:
    known = {each.name for each in fields(cls)}
    unknown = sorted(set(values) - known)
    if unknown:
        raise ConfigurationError(
            prefix + unknown[0],
            "is not a part of a brand",
            f"Known are {', '.join(sorted(known))}.",
        )


def _check_text(part: str, value: object) -> None:
    if not isinstance(value, str):
        raise ConfigurationError(f"brand.{part}", "is not text", "Put it in quotes.")
    if _CONTROL.search(value):
        raise ConfigurationError(
            f"brand.{part}", "has a line break or another control character", "Remove it."
        )
