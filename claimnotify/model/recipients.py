"""The person or system a notification is for, and the checks on their addresses."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any
from zoneinfo import ZoneInfo

from claimnotify.errors import InvalidRecipient

__all__ = ["Recipient", "check_email", "check_identifier", "check_phone", "check_tenant"]

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_PHONE = re.compile(r"\+[1-9][0-9]{6,14}", re.ASCII)
_LOCALE = re.compile(r"[A-Za-z]{2,3}(?:[-_][A-Za-z0-9]{2,8})*", re.ASCII)
_LOCAL_PART = re.compile(r"[^\s.()<>@,;:\\\"\[\]]+(?:\.[^\s.()<>@,;:\\\"\[\]]+)*")
_LABEL = r"[^\W_](?:(?:[^\W_]|-){0,61}[^\W_])?"
_DOMAIN = re.compile(rf"{_LABEL}(?:\.{_LABEL})*|\[(?:[0-9.]+|IPv6:[0-9A-Fa-f:.]+)\]")


def check_identifier(value: object, field: str, *, longest: int = 255) -> str:
    """Return `value` if it can serve as an id: 1 to `longest` characters, none a control character.

    Raises:
        InvalidRecipient: If it cannot.
    """
    if not isinstance(value, str) or not value.strip():
        raise InvalidRecipient(field, "must be text that is not empty", "Give an id of your own.")
    if len(value) > longest or _CONTROL.search(value):
        raise InvalidRecipient(
            field,
            f"is longer than {longest} characters or has control characters",
            "Give a short id without line breaks.",
        )
    return value


def check_tenant(value: object, field: str = "tenant") -> str:
    """Return `value` if it can be a tenant's name: an id of at most 64 characters.

    Raises:
        InvalidRecipient: If it cannot.
    """
    return check_identifier(value, field, longest=64)


def check_email(value: object, field: str = "email") -> str:
    """Return `value` if it is exactly one address (RFC 5321 section 4.1.2, SMTPUTF8 allowed).

    Raises:
        InvalidRecipient: If it has a line break, more than one address, or none.
    """
    remedy = "Give one address such as ana@example.com, without a display name."
    if not isinstance(value, str):
        raise InvalidRecipient(field, "must be text", remedy)
    if _CONTROL.search(value):
        raise InvalidRecipient(field, "has a line break or another control character", remedy)
    local, _, domain = value.rpartition("@")
    if not _LOCAL_PART.fullmatch(local) or not _DOMAIN.fullmatch(domain):
        raise InvalidRecipient(field, "is not exactly one e-mail address", remedy)
    if len(value.encode()) > 254 or len(local.encode()) > 64:
        raise InvalidRecipient(field, "is longer than RFC 5321 allows", remedy)
    return value


def check_phone(value: object, field: str = "phone") -> str:
    """Return `value` if it is one number in E.164 form.

    Raises:
        InvalidRecipient: If it is not.
    """
    if not isinstance(value, str) or not _PHONE.fullmatch(value):
        raise InvalidRecipient(
            field, "is not one number in E.164 form", "Give it as +, country code, number."
        )
    return value


def _check_timezone(value: object) -> str:
    try:
        ZoneInfo(value)  # type: ignore[arg-type]  # whatever was given, ZoneInfo judges it
    except (ValueError, OSError, TypeError, LookupError) as error:
        raise InvalidRecipient(
            "timezone", "is not a time zone's name", "Give an IANA name such as Europe/Berlin."
        ) from error
    return str(value)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Recipient:
    """Whom to tell, and where they can be reached.

    Args:
        id: Your own id for them; also the owner of their inbox and webhook endpoints.
        email: One address, or None.
        phone: One number in E.164 form (`+4915112345678`), or None.
        name: How to address them, or None.
        locale: A BCP 47 language tag; templates fall back to English.
        timezone: An IANA time zone name; times in messages are shown in it.

    Raises:
        InvalidRecipient: If a field is malformed.
    """

    id: str
    email: str | None = None
    phone: str | None = None
    name: str | None = None
    locale: str = "en"
    timezone: str = "UTC"

    def __post_init__(self) -> None:
        check_identifier(self.id, "id")
        if self.email is not None:
            check_email(self.email)
        if self.phone is not None:
            check_phone(self.phone)
        if self.name is not None:
            check_identifier(self.name, "name")
        if not isinstance(self.locale, str) or not _LOCALE.fullmatch(self.locale):
            raise InvalidRecipient(
                "locale", "is not a language tag", "Give one such as de or pt-BR."
            )
        _check_timezone(self.timezone)

    def __repr__(self) -> str:
        return f"Recipient(id={self.id!r})"

    def to_dict(self) -> dict[str, str]:
        """Return the fields that are set, ready for JSON."""
        values = [(name, getattr(self, name)) for name in _FIELDS]
        return {name: value for name, value in values if value is not None}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Recipient:
        """Return the recipient `to_dict` described; keys of a later version are ignored."""
        return cls(**{name: value for name, value in values.items() if name in _FIELDS})


_FIELDS = tuple(field.name for field in fields(Recipient))
