"""Sends a webhook that was received on to a local application, and brings its answer back."""

from __future__ import annotations

from collections.abc import Mapping

from claimnotify.errors import ClaimnotifyError, DeadlineExceeded
from claimnotify.model.http import HttpRequest
from claimnotify.ports import HttpEngine
from claimnotify.testing.http_peer import Answer, Request

__all__ = ["Forwarder"]

_SECONDS = 14.0
"""A little less than a sender waits, so that it hears what became of it."""
_OF_ONE_CONNECTION = frozenset(
    {"connection", "expect", "keep-alive", "proxy-authenticate", "proxy-authorization"}
    | {"proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"}
)
_MARK = "claimnotify-listen"
"""The header that names, with commas between, the receivers that a request was forwarded by."""
_BROUGHT_BACK = ("content-encoding", "content-type", "retry-after")


class Forwarder:
    """Sends to one URL.

    Args:
        url: Where to, as the operator named it; the path of what was received is not added.
        http: What carries the requests.
        mark: What no other has; what is sent on bears it, so that it is known if it comes back.
    """

    def __init__(self, url: str, http: HttpEngine, *, mark: str) -> None:
        self._url = url
        self._http = http
        self._mark = mark

    def has_sent(self, request: Request) -> bool:
        """Return whether `request` was forwarded from here already, and so leads round in a circle."""
        return self._mark in _marks(request.headers)

    async def send(self, request: Request) -> tuple[Answer, str]:
        """Send `request` on, with its method, headers and body, and our mark.

        Returns:
            What the application answered, or 502 or 504 if it did not; and why it did not, or
            an empty text.
        """
        try:
            response = await self._http.send(
                HttpRequest(
                    method=request.method,
                    url=self._url,
                    headers=_end_to_end(request.headers)
                    | {_MARK: ", ".join([*_marks(request.headers), self._mark])},
                    body=request.body,
                    deadline=_SECONDS,
                )
            )
        except ClaimnotifyError as error:
            return Answer.text(504 if isinstance(error, DeadlineExceeded) else 502), str(error)
        if response.status < 200:
            return Answer.text(502), f"the application answered {response.status}"
        headers = {
            name: value
            for name in _BROUGHT_BACK
            if (value := response.headers.get(name, "")) and value.isascii() and value.isprintable()
        }
        return Answer(status=response.status, headers=headers, body=response.body), ""


def _marks(headers: Mapping[str, str]) -> list[str]:
    return [mark for part in headers.get(_MARK, "").split(",") if (mark := part.strip())]


def _end_to_end(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers that are not about the connection they came over (RFC 9110 section 7.6.1)."""
    listed = {name.strip().lower() for name in headers.get("connection", "").split(",")}
    return {
        name: value for name, value in headers.items() if name not in _OF_ONE_CONNECTION | listed
    }
