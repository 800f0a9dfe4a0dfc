"""The signing keys of endpoints: makes them, replaces them with a time of grace, and lists them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, get_args

from claimnotify.errors import (
    ConfigurationError,
    InvalidInput,
    NotFound,
    WebhookVerificationError,
)
from claimnotify.model.awaiting import awaited, on_thread
from claimnotify.model.checks import check_span
from claimnotify.model.endpoints import EndpointKey, KeyKind, secret_context
from claimnotify.model.recipients import check_identifier
from claimnotify.ports import Cipher, Clock, EndpointStore
from claimnotify.webhooks.keys import generate_secret
from claimnotify.webhooks.signing import Webhook

__all__ = ["DEFAULT_GRACE", "MOST_LIVE_KEYS", "KeyService", "no_such_endpoint"]

DEFAULT_GRACE = timedelta(hours=24)
MOST_LIVE_KEYS = 10
"""Every live key signs every attempt, and a header has to hold the signatures."""
_PREFIXES: dict[KeyKind, str] = {"v1": "whsec_", "v1a": "whsk_"}


class KeyService:
    """The keys of the endpoints of one tenant; a part of `notifier.endpoints`."""

    def __init__(
        self,
        store: EndpointStore,
        *,
        cipher: Cipher,
        clock: Clock,
        new_id: Callable[[], str],
        tenant: str,
    ) -> None:
        self._store = store
        self._cipher = cipher
        self._clock = clock
        self._new_id = new_id
        self._tenant = tenant

    def rotate(
        self,
        endpoint_id: str,
        *,
        grace: timedelta = DEFAULT_GRACE,
        key: KeyKind = "v1",
        secret: str | None = None,
        session: Any = None,
    ) -> str:
        """Give the endpoint a new key; for the time of `grace` the old ones sign as well.

        Args:
            endpoint_id: The endpoint.
            grace: How long the old keys go on; zero ends them at once, as after a leak.
            key: What the new key signs with: `v1`, HMAC-SHA256, or `v1a`, Ed25519.
            secret: A secret of your own (`whsec_…` or `whsk_…`); one is made unless it is given.
            session: The transaction to join.

        Returns:
            What the owner verifies with from now on: for `v1` the secret, which is shown this once;
            for `v1a` the public key.

        Raises:
            NotFound: This tenant has none of that id.
            InvalidInput: `grace` is no timedelta from zero to 100 years, the secret is malformed,
                or ten keys are live already.
        """
        new, shown, ends = self._next_key(endpoint_id, grace, key, secret)
        self._add(new, ends, session)
        return shown

    def keys(self, endpoint_id: str) -> Sequence[EndpointKey]:
        """Return the keys that sign for the endpoint now, newest first; never their secrets.

        Raises:
            NotFound: This tenant has none of that id.
        """
        check_identifier(endpoint_id, "endpoint_id")
        found = self._store.list_endpoint_keys(self._tenant, endpoint_id)
        if not found and self._store.get_endpoint(self._tenant, endpoint_id) is None:
            raise no_such_endpoint()
        return found

    async def arotate(
        self,
        endpoint_id: str,
        *,
        grace: timedelta = DEFAULT_GRACE,
        key: KeyKind = "v1",
        secret: str | None = None,
        session: Any = None,
    ) -> str:
        """Do what `rotate` does."""
        new, shown, ends = await on_thread(lambda: self._next_key(endpoint_id, grace, key, secret))
        await awaited(lambda joined: self._add(new, ends, joined), session)
        return shown

    async def akeys(self, endpoint_id: str) -> Sequence[EndpointKey]:
        """Do what `keys` does."""
        return await on_thread(lambda: self.keys(endpoint_id))

    def _next_key(
        self, endpoint_id: str, grace: timedelta, kind: KeyKind, secret: str | None
    ) -> tuple[EndpointKey, str, datetime]:
        check_identifier(endpoint_id, "endpoint_id")
        check_span(grace, "grace")
        now = self._clock.now()
        new, shown = self._new_key(endpoint_id, kind, secret, now)
        if secret is not None and secret in self._live_secrets(endpoint_id):
            raise InvalidInput(
                "secret", "signs for the endpoint already", "Leave it out to have another one made."
            )
        return new, shown, now + grace

    def _live_secrets(self, endpoint_id: str) -> set[str]:
        """Return the secrets of the keys that sign now, as far as they can be decrypted."""
        found = set()
        for key in self._store.list_endpoint_keys(self._tenant, endpoint_id):
            try:
                plaintext = self._cipher.decrypt(key.ciphertext, context=secret_context(key.id))
            except ConfigurationError:
                continue  # which is told where it is to sign
            found.add(plaintext.decode())
        return found

    def _add(self, key: EndpointKey, retire_others_at: datetime, session: Any) -> None:
        live = self._store.add_endpoint_key(
            self._tenant,
            key,
            retire_others_at=retire_others_at,
            most=MOST_LIVE_KEYS,
            session=session,
        )
        if live is None:
            raise no_such_endpoint()
        if live > MOST_LIVE_KEYS:
            raise InvalidInput(
                "endpoint",
                f"has {MOST_LIVE_KEYS} live keys already",
                "Wait until one has expired, or end them all with grace=timedelta(0).",
            )

    def _new_key(
        self, endpoint_id: str, kind: KeyKind, given: str | None, now: datetime
    ) -> tuple[EndpointKey, str]:
        """Return a key, and what its endpoint's owner is to be shown."""
        if kind not in get_args(KeyKind):
            raise InvalidInput("key", "is neither v1 nor v1a", "Give one of the two.")
        secret = generate_secret(kind=kind) if given is None else _checked_secret(given, kind)
        public = ""
        if kind == "v1a":
            from claimnotify.webhooks.asymmetric import public_key

            public = public_key(secret)
        key_id = self._new_id()
        key = EndpointKey(
            id=key_id,
            endpoint_id=endpoint_id,
            kind=kind,
            ciphertext=self._cipher.encrypt(secret.encode(), context=secret_context(key_id)),
            public_key=public,
            created_at=now,
        )
        return key, public or secret


def _checked_secret(secret: object, kind: KeyKind) -> str:
    """Return a secret of the caller's own, if it is one; errors never repeat it."""
    prefix = _PREFIXES[kind]
    remedy = f"Give {prefix} and base64, or leave it out to have one made."
    if not isinstance(secret, str) or not secret.startswith(prefix):
        raise InvalidInput("secret", f"does not begin with {prefix}, as keys of {kind} do", remedy)
    try:
        Webhook(secret)
    except WebhookVerificationError as error:
        raise InvalidInput("secret", error.problem, remedy) from None
    return secret


def no_such_endpoint() -> NotFound:
    """Return the error that a tenant has no endpoint of an id."""
    return NotFound("endpoint", "there is none of that id", "Look it up with endpoints.list().")
