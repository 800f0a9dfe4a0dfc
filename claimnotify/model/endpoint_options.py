"""What can be chosen for a webhook endpoint, and what of it is refused."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from itertools import islice
from typing import Any, TypedDict, get_args

from claimnotify.errors import InvalidInput
from claimnotify.model.checks import is_series
from claimnotify.model.endpoints import Ordering, check_event_types

__all__ = ["EndpointOptions", "check_tags", "check_text", "checked_options"]

LONGEST_TEXT = 255
_MOST_TAGS = 10
_MOST_METADATA, _LONGEST_METADATA = 50, 500
_MOST_HEADERS, _LONGEST_HEADER = 20, 1024
_SHORTEST_TIMEOUT = timedelta(seconds=1)
_UNSTORABLE = re.compile(r"[\x00\ud800-\udfff]")
_TAG = re.compile(r"[A-Za-z0-9_.:-]{1,64}", re.ASCII)
_METADATA_NAME = re.compile(r"[A-Za-z0-9_.:-]{1,64}", re.ASCII)
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}", re.ASCII)
_HEADER_VALUE = re.compile(r"[!-~](?:[ -~]*[!-~])?", re.ASCII)

_DENIED_HEADERS = frozenset(
    [
        # what the request itself is made of, and what is said by us
        "accept-encoding",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "expect",
        "host",
        "http2-settings",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "user-agent",
        # where it came from: receivers behind a proxy believe these
        "cf-connecting-ip",
        "client-ip",
        "remote-addr",
        "remote-user",
        "x-host",
        "x-http-method",
        "x-http-method-override",
        "x-method-override",
        "x-original-host",
        "x-originating-ip",
        "x-remote-addr",
        "x-remote-ip",
        "x-remote-user",
        "forwarded",
        "from",
        "origin",
        "referer",
        "true-client-ip",
        "via",
        "x-client-ip",
        "x-cluster-client-ip",
        "x-original-url",
        "x-real-ip",
        "x-rewrite-url",
        # what opens a cloud's metadata service
        "metadata",
        "metadata-flavor",
    ]
)
_DENIED_PREFIXES = (
    "proxy-",
    "sec-",
    "svix-",
    "webhook-",
    "x-aliyun-ecs-metadata-",
    "x-aws-ec2-metadata-",
    "x-forwarded",
    "x-google-metadata-",
)


class EndpointOptions(TypedDict, total=False):
    """What can be chosen for an endpoint when it is registered, and changed later.

    Attributes:
        event_types: Types (`claim.approved`), prefixes (`claim.*`) or `*`, which is also what an
            endpoint has that names none.
        tags: Up to 10 words; with any, the endpoint gets only events that are sent with one of them.
        description: Free text of at most 255 characters.
        metadata: Up to 50 of the application's own notes: short names, texts of up to 500 characters.
        headers: Up to 20 headers to send along, such as `Authorization`. They are stored encrypted
            and cannot be read again. Those that the request needs itself, or that say where it
            comes from, are refused.
        rate_limit: How often it is sent to at most, across all workers: `10/second`, `100/minute`,
            `5000/hour`; empty for no limit.
        timeout: How long one attempt may take, from a second to the channel's own deadline
            (`attempt_deadline_seconds`); None for that.
        ordering: `none`: several deliveries at once, as they come. `fifo`: one after the other; one
            that fails lets the next go while it waits for its next attempt. `strict`: it holds
            them up until it has come to its end.
    """

    event_types: Sequence[str]
    tags: Sequence[str]
    description: str
    metadata: Mapping[str, str]
    headers: Mapping[str, str]
    rate_limit: str
    timeout: timedelta | None
    ordering: Ordering


def checked_options(
    options: Mapping[str, Any],
    *,
    longest: timedelta,
    check_rate: Callable[[object], str],
) -> dict[str, Any]:
    """Return the options that were given, checked and copied.

    Args:
        options: See `EndpointOptions`.
        longest: The longest timeout.
        check_rate: Returns a rate limit in its one spelling.

    Raises:
        InvalidInput: One is malformed.
        TypeError: There is no such option.
    """
    checks: dict[str, Callable[[Any], Any]] = {
        "event_types": check_event_types,
        "tags": check_tags,
        "description": lambda value: check_text(value, "description"),
        "metadata": _metadata,
        "headers": _headers,
        "rate_limit": check_rate,
        "timeout": lambda value: _timeout(value, longest),
        "ordering": _ordering,
    }
    unknown = sorted(options.keys() - checks.keys())
    if unknown:
        raise TypeError(f"an endpoint has no option {unknown[0]!r}")
    return {name: checks[name](value) for name, value in options.items()}


def check_text(text: object, field: str) -> str:
    """Return `text` if it is short and can be stored.

    Raises:
        InvalidInput: It is not.
    """
    if not isinstance(text, str) or len(text) > LONGEST_TEXT or _UNSTORABLE.search(text):
        raise InvalidInput(
            field,
            f"is not text of at most {LONGEST_TEXT} characters, all of them valid Unicode",
            "Shorten it.",
        )
    return text


def check_tags(tags: object) -> tuple[str, ...]:
    """Return `tags` as a tuple without repetitions.

    Raises:
        InvalidInput: They are no list of up to 10 words.
    """
    if type(tags) is tuple and not tags:
        return ()
    remedy = "Give up to 10 words of letters, digits and _.:- with at most 64 characters each."
    if not is_series(tags):
        raise InvalidInput("tags", f"is a {type(tags).__name__}", remedy)
    words = list(islice(tags, _MOST_TAGS + 1))
    if len(words) > _MOST_TAGS or not all(isinstance(w, str) and _TAG.fullmatch(w) for w in words):
        raise InvalidInput("tags", "are too many, or one is not such a word", remedy)
    return tuple(dict.fromkeys(words))


def _metadata(metadata: object) -> dict[str, str]:
    remedy = (
        f"Give up to {_MOST_METADATA} names of letters, digits and _.:- with texts of at most "
        f"{_LONGEST_METADATA} characters."
    )
    if not isinstance(metadata, Mapping):
        raise InvalidInput("metadata", f"is a {type(metadata).__name__}", remedy)
    if len(metadata) > _MOST_METADATA:
        raise InvalidInput("metadata", f"has {len(metadata)} names", remedy)
    for name, value in metadata.items():
        if not isinstance(name, str) or not _METADATA_NAME.fullmatch(name):
            raise InvalidInput("metadata", "has a name of other characters, or too long", remedy)
        if (
            not isinstance(value, str)
            or len(value) > _LONGEST_METADATA
            or _UNSTORABLE.search(value)
        ):
            raise InvalidInput(f"metadata[{name!r}]", "is not such a text", remedy)
    return dict(metadata)


def _headers(headers: object) -> dict[str, str]:
    """Return the headers with their names in lower case; errors never repeat a value."""
    remedy = f"Give up to {_MOST_HEADERS} names with values of printable ASCII."
    if not isinstance(headers, Mapping):
        raise InvalidInput("headers", f"is a {type(headers).__name__}", remedy)
    if len(headers) > _MOST_HEADERS:
        raise InvalidInput("headers", f"are {len(headers)}", remedy)
    kept: dict[str, str] = {}
    meanings: set[str] = set()
    for name, value in headers.items():
        if not isinstance(name, str) or not _HEADER_NAME.fullmatch(name):
            raise InvalidInput("headers", "has a name that is no token of HTTP", remedy)
        lowered = name.lower()
        # Gateways hand both to an application under one name: HTTP_X_FORWARDED_FOR.
        meant = lowered.replace("_", "-")
        if meant in _DENIED_HEADERS or meant.startswith(_DENIED_PREFIXES):
            raise InvalidInput(
                f"headers[{name!r}]", "is not one that may be chosen", "Leave it out."
            )
        if (
            not isinstance(value, str)
            or len(value) > _LONGEST_HEADER
            or not _HEADER_VALUE.fullmatch(value)
        ):
            raise InvalidInput(
                f"headers[{name!r}]",
                f"is not printable ASCII of 1 to {_LONGEST_HEADER} characters without spaces around",
                "Encode what goes into a header.",
            )
        if meant in meanings:
            raise InvalidInput(f"headers[{name!r}]", "is given twice", "Give it once.")
        meanings.add(meant)
        kept[lowered] = value
    return kept


def _timeout(value: object, longest: timedelta) -> timedelta | None:
    if value is None:
        return None
    if not isinstance(value, timedelta) or not _SHORTEST_TIMEOUT <= value <= longest:
        raise InvalidInput(
            "timeout",
            f"is no timedelta from 1 to {longest.total_seconds():g} seconds",
            "Longer ones need a longer attempt_deadline_seconds.",
        )
    return value


def _ordering(value: object) -> Ordering:
    if value not in get_args(Ordering):
        raise InvalidInput(
            "ordering", "is none of none, fifo and strict", "Give one of these words."
        )
    return value  # type: ignore[return-value]  # it is one of them
