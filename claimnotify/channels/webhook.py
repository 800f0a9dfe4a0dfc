"""The webhook channel: posts a signed body to a registered endpoint (Standard Webhooks 1.0)."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version

from claimnotify.channels.webhook_log import blanked, received_headers, secrets_of, sent_headers
from claimnotify.errors import (
    ConnectFailed,
    DeliveryError,
    DeliverySkipped,
    ForbiddenDestination,
    HttpEngineError,
    NotFound,
    PermanentDeliveryError,
    TransientDeliveryError,
)
from claimnotify.http.egress import EgressPolicy
from claimnotify.model.http import HttpRequest, HttpResponse
from claimnotify.model.messages import Message, WebhookMessage
from claimnotify.model.notifications import Delivery, Receipt
from claimnotify.model.recipients import Recipient
from claimnotify.model.states import DeliveryStatus, Reason
from claimnotify.policy.quick_tries import quick_tries_after
from claimnotify.ports import ChannelContext, SigningEndpoint
from claimnotify.webhooks.signing import Webhook, signed_headers

__all__ = ["WebhookChannel", "factory"]

_EXCERPT = 512
_MOST_SIGNERS = 4096
_LONGEST_RETRY_AFTER = timedelta(hours=24)
_OVERLOADED = frozenset({429, 502, 504})
"""By which an endpoint says that it has too much to do (Standard Webhooks, "Response codes")."""


def factory(context: ChannelContext) -> WebhookChannel:
    """Return the channel. It needs no settings: endpoints bring their own URLs and keys."""
    return WebhookChannel(context)


class WebhookChannel:
    """Delivers to webhook endpoints. See `claimnotify.ports.Channel`.

    A 2xx is a delivery. A 410 ends it and the endpoint with it; a redirect ends it, because its
    target was never checked. Every other status, the 4xx included, is tried again, as the Standard
    Webhooks specification asks: receivers answer 401 or 404 while they are being deployed.
    """

    name = "webhook"
    ready = True
    by_endpoint = True
    """Deliveries are fanned out to the owner's endpoints at accept, not to addresses."""

    def __init__(self, context: ChannelContext) -> None:
        settings = context.settings
        policy = EgressPolicy(
            allow_networks=settings.webhook_allow_networks,
            allow_http=settings.webhook_allow_http,
            allow_ports=settings.webhook_allow_ports,
        )
        self.attempt_deadline = timedelta(seconds=settings.attempt_deadline_seconds)
        self._seconds = self.attempt_deadline.total_seconds()
        self._signer = lru_cache(_MOST_SIGNERS)(Webhook)
        self._http = context.http(policy)
        self._endpoints = context.endpoints
        self._random = context.random
        self._clock = context.clock
        self._user_agent = f"claimnotify/{_version()}"

    def addresses(self, recipient: Recipient) -> Sequence[str]:
        """Return nothing: endpoints, not people, are reached here."""
        return ()

    async def send(self, message: Message, delivery: Delivery) -> Receipt:
        """Post `message` to the delivery's endpoint.

        Raises:
            TransientDeliveryError: No response, or one that asks for another try.
            PermanentDeliveryError: 410, a redirect, or a destination the egress guard refuses.
            DeliverySkipped: The endpoint was disabled or deleted.
        """
        if not isinstance(message, WebhookMessage):
            raise PermanentDeliveryError(f"a {type(message).__name__} is no webhook's content")
        found = self._endpoint(delivery)
        seconds = self._seconds_for(found)
        ends = time.monotonic() + seconds
        signers = [self._signer(secret) for secret in found.secrets]
        headers = signed_headers(signers, delivery.notification_id, self._clock.now(), message.body)
        headers["content-type"] = "application/json"
        headers["user-agent"] = self._user_agent
        if own := found.headers:
            headers = {**own, **headers}  # whatever was stored, ours are ours
        exchange = _Exchange(
            url=found.endpoint.url,
            sent=sent_headers(headers, own or ()),
            secrets=secrets_of(headers, own or {}),
        )
        request = HttpRequest(
            method="POST",
            url=found.endpoint.url,
            headers=headers,
            body=message.body,
            deadline=seconds,
        )
        try:
            try:
                response = await self._http.send(request)
            except ConnectFailed as failure:
                response = await self._again(request, failure, ends)
        except ForbiddenDestination as error:
            raise PermanentDeliveryError(str(error), reason=Reason.FORBIDDEN_DESTINATION) from None
        except HttpEngineError as error:
            # Safe to repeat even if it was received: receivers know it by its webhook-id.
            problem = f"{type(error).__name__}: {error}"
            failed = TransientDeliveryError(problem, our_fault=error.our_fault)
            failed.request_headers, failed.sent_to = exchange.sent, exchange.url
            raise failed from None
        return self._receipt(response, exchange)

    async def open(self) -> None:
        """Do nothing: connections are made when they are needed."""

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def _again(
        self, request: HttpRequest, failure: ConnectFailed, ends: float
    ) -> HttpResponse:
        """Post once or twice more, within the attempt's deadline, after nothing could be sent."""

        async def post() -> HttpResponse:
            left = max(ends - time.monotonic(), 0.001)
            return await self._http.send(replace(request, deadline=left))

        return await quick_tries_after(
            failure, post, ends=ends, retry_on=ConnectFailed, random=self._random
        )

    def _endpoint(self, delivery: Delivery) -> SigningEndpoint:
        try:
            found = self._endpoints.get(delivery.tenant, delivery.endpoint_id or "")
        except NotFound:
            problem = "the endpoint was not looked up yet"
            raise TransientDeliveryError(problem, our_fault=True) from None
        if found is None or not found.endpoint.enabled:
            problem = "was deleted" if found is None else "is disabled"
            raise DeliverySkipped(f"the endpoint {problem}", reason=Reason.ENDPOINT_DISABLED)
        if not found.secrets:
            raise TransientDeliveryError(
                "none of the endpoint's keys can be decrypted; add the key they were encrypted with "
                "to CLAIMNOTIFY_SECRET_KEYS, or rotate",
                our_fault=True,
            )
        if found.headers is None:
            raise TransientDeliveryError(
                "the endpoint's own headers cannot be decrypted; add the key they were encrypted "
                "with to CLAIMNOTIFY_SECRET_KEYS, or set them anew",
                our_fault=True,
            )
        return found

    def _seconds_for(self, found: SigningEndpoint) -> float:
        """Return how long an attempt may take: the endpoint's timeout, but no longer than ours."""
        timeout = found.endpoint.timeout
        return self._seconds if timeout is None else min(timeout.total_seconds(), self._seconds)

    def _receipt(self, response: HttpResponse, exchange: _Exchange) -> Receipt:
        """Return the receipt of a 2xx; raise for every other status."""
        status, excerpt = response.status, _excerpt(response.body, exchange.secrets)
        received = received_headers(response.headers, exchange.secrets)
        if 200 <= status < 300:
            return Receipt(
                status=DeliveryStatus.DELIVERED,
                status_code=status,
                excerpt=excerpt,
                request_headers=exchange.sent,
                response_headers=received,
            )
        refusal = self._refusal(response, excerpt)
        refusal.request_headers, refusal.response_headers = exchange.sent, received
        refusal.sent_to = exchange.url
        raise refusal

    def _refusal(self, response: HttpResponse, excerpt: str) -> DeliveryError:
        status = response.status
        problem = f"the endpoint answered {status}"
        if status == 410:
            return PermanentDeliveryError(
                problem, reason=Reason.ENDPOINT_GONE, status_code=status, excerpt=excerpt
            )
        if 300 <= status < 400:
            return PermanentDeliveryError(
                f"{problem}, and redirects are not followed",
                reason="redirect",
                status_code=status,
                excerpt=excerpt,
            )
        retry_after = _retry_after(response.headers.get("retry-after", ""), self._clock.now())
        return TransientDeliveryError(
            problem,
            retry_after=retry_after,
            status_code=status,
            excerpt=excerpt,
            overloaded=status in _OVERLOADED or (status == 503 and retry_after is not None),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Exchange:
    """What is kept of what was sent, and what of it must not come back into the audit."""

    url: str
    sent: Mapping[str, str]
    secrets: Sequence[str]


def _excerpt(body: bytes, secrets: Sequence[str]) -> str:
    """Return the beginning of the body as text that any database takes, without our secrets."""
    # Blanked before it is cut: else the beginning of a secret might stay at the end.
    text = blanked(body.decode("utf-8", "replace"), secrets)[:_EXCERPT] if body else ""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else " " for char in text)


def _retry_after(header: str, now: datetime) -> timedelta | None:
    """Return the wait a Retry-After header asks for (RFC 9110 section 10.2.3), at most 24 hours."""
    text = header.strip()
    first = text.partition(",")[0].rstrip()  # a header that was given twice
    if first.isascii() and first.isdigit():
        text = first
        wait = timedelta(seconds=min(int(text[:9]), 999_999))
    else:
        try:
            moment = parsedate_to_datetime(text)
        except (ValueError, TypeError, IndexError, OverflowError):
            return None
        aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
        wait = max(aware - now, timedelta(0))
    return min(wait, _LONGEST_RETRY_AFTER)


def _version() -> str:
    try:
        return version("claimnotify")
    except PackageNotFoundError:  # a source tree that was never installed
        return "unknown"
