"""One HTTP request of ours and its response, as every `HttpEngine` takes and gives them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["HttpRequest", "HttpResponse"]


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpRequest:
    """What to send.

    Args:
        method: `POST`, `GET` …
        url: An absolute http or https URL.
        headers: Header names and values; `Host` and `Content-Length` are added.
        body: The raw bytes.
        deadline: Seconds for everything: DNS, connecting, TLS, sending, the whole response.
        max_response_bytes: How much of the raw response body to keep; the rest is not read.
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)
    deadline: float = 15.0
    max_response_bytes: int = 16 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpResponse:
    """What came back, whatever its status.

    Args:
        status: The HTTP status code. Redirects are not followed.
        headers: Header names in lower case; of repeated ones the last.
        body: At most `max_response_bytes` of the raw body (never decompressed).
        truncated: Whether there was more.
    """

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    truncated: bool = False
