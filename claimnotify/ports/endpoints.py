"""The seams of webhook endpoints: where they are kept, and where the channel finds them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from claimnotify.model.endpoints import Endpoint, EndpointKey
from claimnotify.model.notifications import Delivery

__all__ = ["EndpointDirectory", "EndpointStore", "Sealed", "Sealing", "SigningEndpoint"]


@dataclass(frozen=True, slots=True)
class Sealed:
    """An encrypted value where it is kept.

    Args:
        name: Says where: table, row and column.
        context: What it was encrypted under.
        ciphertext: The encrypted value.
    """

    name: str
    context: str
    ciphertext: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class SigningEndpoint:
    """An endpoint with the secrets that sign for it now, newest first, and headers of its own.

    `headers` is None where they cannot be decrypted.
    """

    endpoint: Endpoint
    secrets: Sequence[str] = field(repr=False)
    headers: Mapping[str, str] | None = field(default_factory=dict, repr=False)


class EndpointDirectory(Protocol):
    """Finds endpoints for the webhook channel; answers from a short-lived cache."""

    def load(self, deliveries: Sequence[Delivery]) -> None:
        """Fetch what `get` will be asked for, in one query. May block; not called on the loop."""

    def get(self, tenant: str, endpoint_id: str) -> SigningEndpoint | None:
        """Return the endpoint with its live secrets, or None if it was deleted. Never blocks.

        Raises:
            NotFound: It was not loaded.
        """


class EndpointStore(Protocol):
    """Where webhook endpoints and their encrypted keys are kept. Every call is bound to a tenant."""

    def add_endpoint(self, endpoint: Endpoint, key: EndpointKey, *, session: Any = None) -> None:
        """Keep a new endpoint and its first key, in the caller's transaction if one is given."""

    def get_endpoint(
        self, tenant: str, endpoint_id: str, *, session: Any = None
    ) -> Endpoint | None:
        """Return the endpoint, or None if this tenant has none of that id."""

    def list_endpoints(
        self,
        tenant: str,
        owner: str | None = None,
        *,
        limit: int | None = None,
        after: str | None = None,
    ) -> Sequence[Endpoint]:
        """Return the tenant's endpoints, or one owner's, oldest first, younger than `after`."""

    def update_endpoint(
        self, tenant: str, endpoint_id: str, changes: Mapping[str, Any], *, session: Any = None
    ) -> bool:
        """Change some of an endpoint's values; return whether there is such an endpoint.

        What waits for its breaker is let go where it gets another URL.

        Args:
            tenant: Whose it is.
            endpoint_id: Its id.
            changes: New values by the names of `Endpoint`.
            session: The transaction to join.
        """

    def set_endpoint_enabled(
        self, tenant: str, endpoint_id: str, *, enabled: bool, reason: str = "", session: Any = None
    ) -> bool:
        """Enable or disable; return whether there is such an endpoint."""

    def delete_endpoint(self, tenant: str, endpoint_id: str, *, session: Any = None) -> bool:
        """Remove the endpoint and its keys; return whether there was one."""

    def add_endpoint_key(
        self,
        tenant: str,
        key: EndpointKey,
        *,
        retire_others_at: datetime,
        most: int,
        session: Any = None,
    ) -> int | None:
        """Keep a new current key; the other live keys of the endpoint expire at `retire_others_at`.

        Those that have expired are deleted. Nothing is written if more than `most` keys would be live then, however many callers there
        are at once.

        Returns how many keys are live with it, or None if the tenant has no such endpoint.
        """

    def list_endpoint_keys(self, tenant: str, endpoint_id: str) -> Sequence[EndpointKey]:
        """Return the keys of an endpoint that have not expired, newest first."""

    def load_endpoints(
        self, ids: Collection[tuple[str, str]]
    ) -> Mapping[tuple[str, str], tuple[Endpoint, Sequence[EndpointKey]]]:
        """Return, for (tenant, endpoint id) pairs, endpoint and unexpired keys, newest first."""


class Sealing(Protocol):
    """What is kept encrypted, to be encrypted anew under another key."""

    def forget_expired(self) -> int:
        """Delete the keys of endpoints, of all tenants, that have expired; return how many."""

    def sealed(self, after: str, limit: int) -> Sequence[Sealed]:
        """Return what is kept encrypted, of all tenants, in an order of its names.

        Args:
            after: The name to go on after; empty to begin.
            limit: At most how many.
        """

    def reseal(self, changes: Sequence[tuple[Sealed, str]]) -> int:
        """Put other ciphertexts in the place of those that are still there, in one transaction.

        Args:
            changes: What was kept, each with what is to be kept instead; each name once.

        Returns:
            How many still were there as they are given.
        """
