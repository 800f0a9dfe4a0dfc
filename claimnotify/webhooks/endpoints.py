"""Registers, lists, changes, switches and removes customers' webhook endpoints."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, Unpack

from claimnotify.errors import ConfigurationError, InvalidInput
from claimnotify.http.egress import EgressPolicy
from claimnotify.http.registering import RegistrationCheck
from claimnotify.model.awaiting import awaited, on_thread
from claimnotify.model.checks import check_page
from claimnotify.model.endpoint_options import EndpointOptions, check_text, checked_options
from claimnotify.model.endpoints import Endpoint, EndpointKey, KeyKind, headers_context
from claimnotify.model.recipients import check_identifier
from claimnotify.policy.rates import RateLimit
from claimnotify.ports import Cipher, Clock, EndpointStore
from claimnotify.webhooks.ping import PingService, SendTo
from claimnotify.webhooks.rotation import no_such_endpoint

__all__ = ["EndpointService"]


class EndpointService(PingService):
    """The webhook endpoints of one tenant; `notifier.endpoints`.

    Every write takes `session=`: a SQLAlchemy `Session` whose transaction it joins. Every method
    has an a-twin (`aregister`, `alist` …) that does not block the event loop and takes an
    `AsyncSession`.

    Args:
        store: Where endpoints and their encrypted keys are kept.
        cipher: Encrypts the keys.
        policy: Which URLs may be registered.
        clock: The clock.
        new_id: Makes ids that sort by time.
        tenant: The tenant that all calls are bound to.
        check: Checks URLs when they are registered; `policy.check_url` unless given.
        longest_timeout: The most that an endpoint's timeout may be.
        send: Accepts an event for one endpoint.
    """

    def __init__(
        self,
        store: EndpointStore,
        *,
        cipher: Cipher,
        policy: EgressPolicy,
        clock: Clock,
        new_id: Callable[[], str],
        tenant: str,
        check: RegistrationCheck | None = None,
        longest_timeout: timedelta = timedelta(seconds=15),
        send: SendTo | None = None,
    ) -> None:
        super().__init__(store, cipher=cipher, clock=clock, new_id=new_id, tenant=tenant, send=send)
        self._check_url = policy.check_url if check is None else check.check
        self._longest_timeout = longest_timeout

    def register(
        self,
        url: str,
        *,
        owner: str,
        key: KeyKind = "v1",
        secret: str | None = None,
        session: Any = None,
        **options: Unpack[EndpointOptions],
    ) -> tuple[Endpoint, str]:
        """Register a URL to be told about its owner's events.

        A name that does not resolve may be registered; where it leads is checked again at each
        attempt.

        Args:
            url: An https URL of a public host, or what the egress settings allow besides.
            owner: The id of the recipient or partner whose events it gets.
            key: What its webhooks are signed with: `v1`, HMAC-SHA256, or `v1a`, Ed25519.
            secret: A secret of your own to sign with (`whsec_…` or `whsk_…`), as when an endpoint
                moves here from elsewhere; one is made unless it is given.
            session: The transaction to join.
            **options: See `EndpointOptions`.

        Returns:
            The endpoint, and what its owner verifies with: for `v1` the signing secret, which is
            shown this once; for `v1a` the public key.

        Raises:
            ForbiddenDestination: The egress policy refuses the URL, or an address of its host.
            InvalidInput: Another argument is malformed.
        """
        endpoint, first, shown = self._new(url, owner, key, secret, options)
        self._store.add_endpoint(endpoint, first, session=session)
        return endpoint, shown

    def get(self, endpoint_id: str, *, session: Any = None) -> Endpoint:
        """Return one endpoint.

        Raises:
            NotFound: This tenant has none of that id.
        """
        check_identifier(endpoint_id, "endpoint_id")
        endpoint = self._store.get_endpoint(self._tenant, endpoint_id, session=session)
        if endpoint is None:
            raise no_such_endpoint()
        return endpoint

    def list(
        self, owner: str | None = None, *, limit: int | None = None, after: str | None = None
    ) -> Sequence[Endpoint]:
        """Return all endpoints, or one owner's, oldest first.

        Args:
            owner: Whose.
            limit: At most how many, 1 to 1000; None for all.
            after: Only those younger than this endpoint's id, to page.
        """
        check_page(1 if limit is None else limit, owner=owner, after=after)
        return self._store.list_endpoints(self._tenant, owner, limit=limit, after=after)

    def update(
        self,
        endpoint_id: str,
        *,
        url: str | None = None,
        session: Any = None,
        **options: Unpack[EndpointOptions],
    ) -> Endpoint:
        """Change what is given, and leave the rest as it is.

        Args:
            endpoint_id: The endpoint.
            url: Another URL; what waited for the old one to work again goes there.
            session: The transaction to join.
            **options: See `EndpointOptions`; `headers`, `metadata` and the lists replace what was
                there as a whole.

        Returns:
            The endpoint as it is now.

        Raises:
            NotFound: This tenant has none of that id.
            ForbiddenDestination: The egress policy refuses the URL.
            InvalidInput: Another argument is malformed; nothing was changed.
        """
        changes = self._changes(endpoint_id, url, options)
        self._write_changes(endpoint_id, changes, session)
        return self.get(endpoint_id, session=session)

    def disable(self, endpoint_id: str, *, reason: str = "disabled", session: Any = None) -> None:
        """Send nothing to the endpoint from now on, and remember why.

        Raises:
            NotFound: This tenant has none of that id.
            InvalidInput: The reason is longer than 255 characters.
        """
        check_text(reason, "reason")
        self._switch(endpoint_id, enabled=False, reason=reason, session=session)

    def enable(self, endpoint_id: str, *, session: Any = None) -> None:
        """Send to the endpoint again; what was skipped meanwhile is not sent.

        Raises:
            NotFound: This tenant has none of that id.
        """
        self._switch(endpoint_id, enabled=True, reason="", session=session)

    def delete(self, endpoint_id: str, *, session: Any = None) -> None:
        """Remove the endpoint and its keys.

        Raises:
            NotFound: This tenant has none of that id.
        """
        check_identifier(endpoint_id, "endpoint_id")
        if not self._store.delete_endpoint(self._tenant, endpoint_id, session=session):
            raise no_such_endpoint()

    async def aregister(
        self,
        url: str,
        *,
        owner: str,
        key: KeyKind = "v1",
        secret: str | None = None,
        session: Any = None,
        **options: Unpack[EndpointOptions],
    ) -> tuple[Endpoint, str]:
        """Do what `register` does."""
        endpoint, first, shown = await on_thread(
            lambda: self._new(url, owner, key, secret, options)
        )
        await awaited(
            lambda joined: self._store.add_endpoint(endpoint, first, session=joined), session
        )
        return endpoint, shown

    async def aget(self, endpoint_id: str, *, session: Any = None) -> Endpoint:
        """Do what `get` does."""
        return await awaited(lambda joined: self.get(endpoint_id, session=joined), session)

    async def alist(
        self, owner: str | None = None, *, limit: int | None = None, after: str | None = None
    ) -> Sequence[Endpoint]:
        """Do what `list` does."""
        return await on_thread(lambda: self.list(owner, limit=limit, after=after))

    async def aupdate(
        self,
        endpoint_id: str,
        *,
        url: str | None = None,
        session: Any = None,
        **options: Unpack[EndpointOptions],
    ) -> Endpoint:
        """Do what `update` does."""
        changes = await on_thread(lambda: self._changes(endpoint_id, url, options))
        await awaited(lambda joined: self._write_changes(endpoint_id, changes, joined), session)
        return await self.aget(endpoint_id, session=session)

    async def adisable(
        self, endpoint_id: str, *, reason: str = "disabled", session: Any = None
    ) -> None:
        """Do what `disable` does."""
        await awaited(
            lambda joined: self.disable(endpoint_id, reason=reason, session=joined), session
        )

    async def aenable(self, endpoint_id: str, *, session: Any = None) -> None:
        """Do what `enable` does."""
        await awaited(lambda joined: self.enable(endpoint_id, session=joined), session)

    async def adelete(self, endpoint_id: str, *, session: Any = None) -> None:
        """Do what `delete` does."""
        await awaited(lambda joined: self.delete(endpoint_id, session=joined), session)

    def _new(
        self, url: str, owner: str, kind: KeyKind, secret: str | None, options: EndpointOptions
    ) -> tuple[Endpoint, EndpointKey, str]:
        self._check_url(url)
        check_identifier(owner, "owner")
        endpoint_id, now = self._new_id(), self._clock.now()
        endpoint = Endpoint(
            id=endpoint_id,
            tenant=self._tenant,
            owner=owner,
            url=url,
            created_at=now,
            **self._checked(endpoint_id, options),
        )
        return endpoint, *self._new_key(endpoint_id, kind, secret, now)

    def _changes(self, endpoint_id: str, url: str | None, options: EndpointOptions) -> Any:
        check_identifier(endpoint_id, "endpoint_id")
        changes = self._checked(endpoint_id, options)
        if url is not None:
            self._check_url(url)
            changes["url"] = url
        return changes

    def _write_changes(self, endpoint_id: str, changes: Any, session: Any) -> None:
        if changes and not self._store.update_endpoint(
            self._tenant, endpoint_id, changes, session=session
        ):
            raise no_such_endpoint()

    def _checked(self, endpoint_id: str, options: EndpointOptions) -> dict[str, Any]:
        """Return the options as an `Endpoint` has them."""
        found = checked_options(options, longest=self._longest_timeout, check_rate=_checked_rate)
        headers = found.pop("headers", None)
        if headers is not None:
            context = headers_context(endpoint_id)
            text = json.dumps(headers).encode()
            found["header_names"] = tuple(headers)
            found["sealed_headers"] = self._cipher.encrypt(text, context=context) if headers else ""
        return found

    def _switch(self, endpoint_id: str, *, enabled: bool, reason: str, session: Any) -> None:
        check_identifier(endpoint_id, "endpoint_id")
        found = self._store.set_endpoint_enabled(
            self._tenant, endpoint_id, enabled=enabled, reason=reason, session=session
        )
        if not found:
            raise no_such_endpoint()


def _checked_rate(text: object) -> str:
    if text is None or text == "":
        return ""
    if not isinstance(text, str):
        raise InvalidInput(
            "rate_limit", f"is a {type(text).__name__}", "Give a text such as 100/minute."
        )
    try:
        return str(RateLimit.parse(text))
    except ConfigurationError as error:
        raise InvalidInput(error.field, error.problem, error.remedy) from None
