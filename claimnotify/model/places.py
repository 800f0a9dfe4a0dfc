"""Checks of what says where something is: a site's URL, a server's name, an object in a module. No I/O."""

from __future__ import annotations

import re
from ipaddress import ip_address
from urllib.parse import urlsplit

from claimnotify.errors import InvalidInput

__all__ = ["check_host", "check_object", "check_site"]

_NOT_IN_URLS = re.compile(r"[\s\x00-\x1f\x7f<>\"'`\\]")
_NOT_IN_HOSTS = re.compile(r"[\s\x00-\x1f\x7f/\\@:?#\[\],;<>\"']")


def check_site(value: str, field: str) -> str:
    """Return `value` if it is the http or https URL of a site, to which a path can be added.

    Raises:
        InvalidInput: If it is another text, or has a user, a password, a query or a fragment. The
            message does not contain it.
    """
    remedy = "Give one such as https://notify.example.com."
    try:
        parts = urlsplit(value)
        known = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        known = False
    if not known or _NOT_IN_URLS.search(value):
        raise InvalidInput(field, "is no http or https URL", remedy)
    if "@" in parts.netloc:
        raise InvalidInput(field, "has a user name or password, which would be shown", remedy)
    if parts.query or parts.fragment:
        raise InvalidInput(field, "has a query or a fragment, so no path can follow", remedy)
    return value


def check_host(value: str, field: str) -> str:
    """Return `value` if it can be the name or the address of one server.

    Raises:
        InvalidInput: If it has what neither can have, such as a line break, a scheme or a port.
    """
    try:
        ip_address(value)
    except ValueError:
        if not value.strip(".") or _NOT_IN_HOSTS.search(value):
            raise InvalidInput(
                field,
                "is no server's name or address",
                "Give one such as mail.example.com, without scheme and port.",
            ) from None
    return value


def check_object(value: str, field: str) -> str:
    """Return `value` if it names an object in a module: `package.module:attribute`.

    Raises:
        InvalidInput: If it does not.
    """
    sides = value.split(":")
    words = [word for side in sides for word in side.split(".")]
    if len(sides) != 2 or not all(word.isidentifier() for word in words):
        raise InvalidInput(
            field,
            f"{value!r} is not of the form module:attribute",
            "Name a Notifier or a function that returns one.",
        )
    return value
