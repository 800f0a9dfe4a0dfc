"""Keeps endpoints and their decrypted secrets at hand for the webhook channel, for a second or two."""

from __future__ import annotations

import json
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from claimnotify.errors import ConfigurationError, NotFound
from claimnotify.model.endpoints import (
    Endpoint,
    EndpointKey,
    headers_context,
    secret_context,
)
from claimnotify.model.locks import ProcessLock
from claimnotify.model.notifications import Delivery
from claimnotify.ports import Cipher, EndpointStore, SigningEndpoint

__all__ = ["CachedEndpointDirectory"]

_logger = logging.getLogger(__name__)
_Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class _Entry:
    found: SigningEndpoint | None = field(repr=False)
    fresh_until: float


class CachedEndpointDirectory:
    """Finds endpoints by tenant and id. See `claimnotify.ports.EndpointDirectory`.

    `load` fetches what is absent or older than `ttl`; `get` answers from memory, however old, as
    the sends of one batch may take longer than that.

    Args:
        store: Where endpoints are kept.
        cipher: Decrypts their keys.
        monotonic: Seconds that never go back.
        ttl: How long what was loaded counts as fresh: how soon a change takes effect.
        size: How many endpoints to hold; at least those of all batches in hand.
    """

    def __init__(
        self,
        store: EndpointStore,
        *,
        cipher: Cipher,
        monotonic: Callable[[], float] = time.monotonic,
        ttl: timedelta = timedelta(seconds=1),
        size: int = 10_000,
    ) -> None:
        self._store = store
        self._cipher = cipher
        self._monotonic = monotonic
        self._ttl = ttl.total_seconds()
        self._size = size
        self._entries: OrderedDict[_Key, _Entry] = OrderedDict()
        self._lock = ProcessLock()

    def load(self, deliveries: Sequence[Delivery]) -> None:
        """Fetch the endpoints of `deliveries`, in one query. Blocks; not for the event loop.

        Raises:
            StoreUnavailable: The database cannot be reached.
        """
        now = self._monotonic()
        wanted = {(each.tenant, each.endpoint_id) for each in deliveries if each.endpoint_id}
        # Replays are asked for when an endpoint was just enabled or moved, which must count already.
        again = {(each.tenant, each.endpoint_id) for each in deliveries if each.replay_of}
        with self._lock:
            stale = [key for key in wanted if key in again or not self._is_fresh(key, now)]
        if not stale:
            return
        loaded = self._store.load_endpoints(stale)
        entries = {}
        for key in stale:
            row = loaded.get(key)
            found = None if row is None else self._signing(*row)
            entries[key] = _Entry(found, now + self._ttl)
        self._keep(entries, in_use=wanted)

    def get(self, tenant: str, endpoint_id: str) -> SigningEndpoint | None:
        """Return the endpoint with its live secrets, or None if it was deleted.

        Raises:
            NotFound: It was not loaded, so nothing is known about it.
        """
        entry = self._entries.get((tenant, endpoint_id))
        if entry is None:
            raise NotFound("endpoint", "it was not loaded", "Call load() with the delivery first.")
        return entry.found

    def _is_fresh(self, key: _Key, now: float) -> bool:
        entry = self._entries.get(key)
        return entry is not None and now < entry.fresh_until

    def _keep(self, entries: Mapping[_Key, _Entry], *, in_use: Iterable[_Key]) -> None:
        with self._lock:
            self._entries.update(entries)
            for key in in_use:
                if key in self._entries:
                    self._entries.move_to_end(key)
            while len(self._entries) > self._size:
                self._entries.popitem(last=False)

    def _signing(self, endpoint: Endpoint, keys: Sequence[EndpointKey]) -> SigningEndpoint:
        return SigningEndpoint(endpoint, self._secrets(keys), self._headers(endpoint))

    def _headers(self, endpoint: Endpoint) -> Mapping[str, str] | None:
        if not endpoint.sealed_headers:
            return {}
        try:
            plaintext = self._cipher.decrypt(
                endpoint.sealed_headers, context=headers_context(endpoint.id)
            )
        except ConfigurationError as error:
            _logger.error("headers of endpoint %s: %s", endpoint.id, error)
            return None
        headers: Mapping[str, str] = json.loads(plaintext)
        return headers

    def _secrets(self, keys: Sequence[EndpointKey]) -> tuple[str, ...]:
        """Return what can be decrypted; one unreadable key must not stop the others' deliveries."""
        secrets = []
        for key in keys:
            try:
                plaintext = self._cipher.decrypt(key.ciphertext, context=secret_context(key.id))
            except ConfigurationError as error:
                _logger.error("key %s of endpoint %s: %s", key.id, key.endpoint_id, error)
            else:
                secrets.append(plaintext.decode())
        return tuple(secrets)
