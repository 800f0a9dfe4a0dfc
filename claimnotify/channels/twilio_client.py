"""Gives the requests of the `twilio` client to our HTTP engine, and logs none of them.

The only module that imports `twilio`; it is imported lazily, by the transport.
"""

from __future__ import annotations

import asyncio
import base64
import logging
from datetime import timedelta
from random import Random
from typing import Any
from urllib.parse import urlencode, urlsplit, urlunsplit

from twilio.base.exceptions import TwilioException
from twilio.http import AsyncHttpClient
from twilio.http.response import Response
from twilio.rest import Client
from twilio.rest.api import Api

from claimnotify.errors import ConnectFailed
from claimnotify.model.http import HttpRequest, HttpResponse
from claimnotify.policy.quick_tries import with_quick_tries
from claimnotify.ports import HttpEngine

__all__ = ["Api", "Client", "EngineHttpClient", "TwilioException"]
# `Client` would import `Api` at its first use, on the loop, in a third of a second.

_MAX_RESPONSE = 256 * 1024
"""Bytes; an answer about one message has about one thousand."""


class EngineHttpClient(AsyncHttpClient):  # type: ignore[misc]  # twilio ships no types, so its classes are Any
    """The HTTP client of one send; `answer` is what came back, headers included.

    Args:
        engine: Carries the requests.
        api_url: Scheme and host in place of Twilio's own, or empty.
        deadline: For the whole send, quick tries included.
        random: Randomness for the quick tries.
    """

    def __init__(
        self, engine: HttpEngine, *, api_url: str, deadline: timedelta, random: Random
    ) -> None:
        super().__init__(logging.getLogger(__name__), is_async=True)
        self.answer: HttpResponse | None = None
        self._engine = engine
        self._api_url = api_url
        self._deadline = deadline
        self._random = random

    async def request(
        self,
        method: str,
        uri: str,
        params: dict[str, Any] | None = None,
        data: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
        auth: tuple[str, str] | None = None,
        timeout: float | None = None,
        allow_redirects: bool = False,
    ) -> Response:
        """Send one request as the `twilio` client asks; it never asks for a redirect to be followed.

        Raises:
            HttpEngineError: No answer came.
        """
        url = self._located(uri)
        if params:
            url = f"{url}?{urlencode(params, doseq=True)}"
        sent_headers = {**(headers or {}), "Accept-Encoding": "identity"}
        if auth is not None:
            pair = base64.b64encode(f"{auth[0]}:{auth[1]}".encode()).decode()
            sent_headers["Authorization"] = f"Basic {pair}"
        loop = asyncio.get_running_loop()
        ends = loop.time() + self._deadline.total_seconds()

        async def once() -> HttpResponse:
            return await self._engine.send(
                HttpRequest(
                    method=method.upper(),
                    url=url,
                    headers=sent_headers,
                    body=urlencode(data or {}, doseq=True).encode(),
                    deadline=max(ends - loop.time(), 0.001),
                    max_response_bytes=_MAX_RESPONSE,
                )
            )

        self.answer = await with_quick_tries(
            once, deadline=self._deadline, retry_on=ConnectFailed, random=self._random
        )
        text = self.answer.body.decode("utf-8", "replace")
        return Response(self.answer.status, text, self.answer.headers)

    def _located(self, uri: str) -> str:
        """Return `uri` at the configured host."""
        if not self._api_url:
            return uri
        base, wanted = urlsplit(self._api_url), urlsplit(uri)
        path = base.path.rstrip("/") + wanted.path
        return urlunsplit((base.scheme, base.netloc, path, wanted.query, ""))
