"""Registers, lists, switches and removes customers' webhook endpoints, and rotates their keys."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

from claimnotify.errors import ConfigurationError, InvalidInput, NotFound
from claimnotify.http.egress import EgressPolicy
from claimnotify.model.awaiting import awaited, on_thread
from claimnotify.model.checks import check_span
from claimnotify.model.endpoints import Endpoint, EndpointKey, check_event_types
from claimnotify.model.recipients import check_identifier
from claimnotify.policy.rates import RateLimit
from claimnotify.ports import Cipher, Clock, EndpointStore
from claimnotify.webhooks.keys import generate_secret, secret_context

__all__ = ["EndpointService"]

_LONGEST_TEXT = 255
_UNSTORABLE = re.compile(r"[\x00\ud800-\udfff]")
DEFAULT_GRACE = timedelta(hours=24)


class EndpointService:
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
    ) -> None:
        self._store = store
        self._cipher = cipher
        self._policy = policy
        self._clock = clock
        self._new_id = new_id
        self._tenant = tenant

    def register(
        self,
        url: str,
        *,
        owner: str,
        event_types: Sequence[str] = ("*",),
        description: str = "",
        rate_limit: str = "",
        session: Any = None,
    ) -> tuple[Endpoint, str]:
        """Register a URL to be told about its owner's events.

        A name that does not resolve may be registered; where it leads is checked at each attempt.

        Args:
            url: An https URL of a public host, or what the egress settings allow besides.
            owner: The id of the recipient or partner whose events it gets.
            event_types: Types (`claim.approved`), prefixes (`claim.*`) or `*`.
            description: Free text of at most 255 characters.
            rate_limit: How often it is sent to at most, across all workers: `10/second`,
                `100/minute`, `5000/hour`; empty for no limit.
            session: The transaction to join.

        Returns:
            The endpoint, and its signing secret. The secret is shown this once.

        Raises:
            ForbiddenDestination: The egress policy refuses the URL.
            InvalidInput: Another argument is malformed.
        """
        endpoint, key, secret = self._new(url, owner, event_types, description, rate_limit)
        self._store.add_endpoint(endpoint, key, session=session)
        return endpoint, secret

    def get(self, endpoint_id: str) -> Endpoint:
        """Return one endpoint.

        Raises:
            NotFound: This tenant has none of that id.
        """
        check_identifier(endpoint_id, "endpoint_id")
        endpoint = self._store.get_endpoint(self._tenant, endpoint_id)
        if endpoint is None:
            raise _not_found()
        return endpoint

    def list(self, owner: str | None = None) -> Sequence[Endpoint]:
        """Return all endpoints, or one owner's, oldest first."""
        if owner is not None:
            check_identifier(owner, "owner")
        return self._store.list_endpoints(self._tenant, owner)

    def disable(self, endpoint_id: str, *, reason: str = "disabled", session: Any = None) -> None:
        """Send nothing to the endpoint from now on, and remember why.

        Raises:
            NotFound: This tenant has none of that id.
            InvalidInput: The reason is longer than 255 characters.
        """
        _check_text(reason, "reason")
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
            raise _not_found()

    def rotate(
        self, endpoint_id: str, *, grace: timedelta = DEFAULT_GRACE, session: Any = None
    ) -> str:
        """Give the endpoint a new secret; for the time of `grace` the old ones sign as well.

        Returns:
            The new secret. It is shown this once.

        Raises:
            NotFound: This tenant has none of that id, or it is not committed yet.
            InvalidInput: `grace` is no timedelta from zero to 100 years.
        """
        key, secret, now = self._next_key(endpoint_id, grace)
        self._store.add_endpoint_key(
            self._tenant, key, retire_others_at=now + grace, session=session
        )
        return secret

    async def aregister(
        self,
        url: str,
        *,
        owner: str,
        event_types: Sequence[str] = ("*",),
        description: str = "",
        rate_limit: str = "",
        session: Any = None,
    ) -> tuple[Endpoint, str]:
        """Do what `register` does."""
        endpoint, key, secret = await on_thread(
            lambda: self._new(url, owner, event_types, description, rate_limit)
        )
        await awaited(
            lambda joined: self._store.add_endpoint(endpoint, key, session=joined), session
        )
        return endpoint, secret

    async def aget(self, endpoint_id: str) -> Endpoint:
        """Do what `get` does."""
        return await on_thread(lambda: self.get(endpoint_id))

    async def alist(self, owner: str | None = None) -> Sequence[Endpoint]:
        """Do what `list` does."""
        return await on_thread(lambda: self.list(owner))

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

    async def arotate(
        self, endpoint_id: str, *, grace: timedelta = DEFAULT_GRACE, session: Any = None
    ) -> str:
        """Do what `rotate` does."""
        key, secret, now = await on_thread(lambda: self._next_key(endpoint_id, grace))
        await awaited(
            lambda joined: self._store.add_endpoint_key(
                self._tenant, key, retire_others_at=now + grace, session=joined
            ),
            session,
        )
        return secret

    def _new(
        self, url: str, owner: str, event_types: Sequence[str], description: str, rate_limit: str
    ) -> tuple[Endpoint, EndpointKey, str]:
        self._policy.check_url(url)
        check_identifier(owner, "owner")
        _check_text(description, "description")
        endpoint = Endpoint(
            id=self._new_id(),
            tenant=self._tenant,
            owner=owner,
            url=url,
            event_types=check_event_types(event_types),
            description=description,
            rate_limit=_checked_rate(rate_limit),
            created_at=self._clock.now(),
        )
        key, secret = self._new_key(endpoint.id, endpoint.created_at)
        return endpoint, key, secret

    def _next_key(self, endpoint_id: str, grace: timedelta) -> tuple[EndpointKey, str, datetime]:
        check_span(grace, "grace")
        self.get(endpoint_id)
        now = self._clock.now()
        return *self._new_key(endpoint_id, now), now

    def _new_key(self, endpoint_id: str, now: datetime) -> tuple[EndpointKey, str]:
        secret = generate_secret()
        key_id = self._new_id()
        ciphertext = self._cipher.encrypt(secret.encode(), context=secret_context(key_id))
        key = EndpointKey(id=key_id, endpoint_id=endpoint_id, ciphertext=ciphertext, created_at=now)
        return key, secret

    def _switch(self, endpoint_id: str, *, enabled: bool, reason: str, session: Any) -> None:
        check_identifier(endpoint_id, "endpoint_id")
        found = self._store.set_endpoint_enabled(
            self._tenant, endpoint_id, enabled=enabled, reason=reason, session=session
        )
        if not found:
            raise _not_found()


def _check_text(text: object, field: str) -> None:
    if not isinstance(text, str) or len(text) > _LONGEST_TEXT or _UNSTORABLE.search(text):
        raise InvalidInput(
            field,
            f"is not text of at most {_LONGEST_TEXT} characters, all of them valid Unicode",
            "Shorten it.",
        )


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


def _not_found() -> NotFound:
    return NotFound("endpoint", "there is none of that id", "Look it up with endpoints.list().")
