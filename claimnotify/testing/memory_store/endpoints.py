"""Webhook endpoints and their encrypted keys in the in-memory store."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from claimnotify.model.endpoints import Endpoint, EndpointKey
from claimnotify.testing.memory_store.breakers import close
from claimnotify.testing.memory_store.kept import Kept, KeptKey, refuse_session

__all__ = ["MemoryEndpoints"]


class MemoryEndpoints:
    """The endpoints of one store. See `claimnotify.ports.EndpointStore`."""

    def __init__(self, kept: Kept) -> None:
        self._kept = kept

    def add_endpoint(self, endpoint: Endpoint, key: EndpointKey, *, session: Any = None) -> None:
        """Keep a new endpoint and its first key."""
        refuse_session(session)
        with self._kept.changing() as tables:
            tables.endpoints[endpoint.id] = endpoint
            tables.endpoint_keys[key.id] = KeptKey(endpoint.tenant, key)

    def get_endpoint(self, tenant: str, endpoint_id: str) -> Endpoint | None:
        """Return the endpoint, or None if this tenant has none of that id."""
        with self._kept.lock:
            found = self._kept.tables.endpoints.get(endpoint_id)
        return found if found is not None and found.tenant == tenant else None

    def list_endpoints(self, tenant: str, owner: str | None = None) -> Sequence[Endpoint]:
        """Return the tenant's endpoints, or one owner's, oldest first."""
        with self._kept.lock:
            rows = list(self._kept.tables.endpoints.values())
        found = [each for each in rows if each.tenant == tenant and owner in (None, each.owner)]
        return sorted(found, key=lambda each: each.id)

    def set_endpoint_enabled(
        self, tenant: str, endpoint_id: str, *, enabled: bool, reason: str = "", session: Any = None
    ) -> bool:
        """Enable or disable; return whether there is such an endpoint."""
        refuse_session(session)
        with self._kept.changing() as tables:
            found = self.get_endpoint(tenant, endpoint_id)
            if found is None:
                return False
            tables.endpoints[endpoint_id] = replace(
                found, enabled=enabled, disabled_reason="" if enabled else reason
            )
            close(tables, endpoint_id, self._kept.clock.now())
            return True

    def delete_endpoint(self, tenant: str, endpoint_id: str, *, session: Any = None) -> bool:
        """Remove the endpoint and its keys; return whether there was one."""
        refuse_session(session)
        with self._kept.changing() as tables:
            if self.get_endpoint(tenant, endpoint_id) is None:
                return False
            del tables.endpoints[endpoint_id]
            for row in list(tables.endpoint_keys.values()):
                if row.key.endpoint_id == endpoint_id:
                    del tables.endpoint_keys[row.key.id]
            close(tables, endpoint_id, self._kept.clock.now())
            return True

    def add_endpoint_key(
        self, tenant: str, key: EndpointKey, *, retire_others_at: datetime, session: Any = None
    ) -> None:
        """Keep a new current key; the others that are live expire at `retire_others_at`."""
        refuse_session(session)
        with self._kept.changing() as tables:
            for row in list(tables.endpoint_keys.values()):
                mine = (row.tenant, row.key.endpoint_id) == (tenant, key.endpoint_id)
                if mine and _lives(row.key, retire_others_at):
                    retired = replace(row.key, expires_at=retire_others_at)
                    tables.endpoint_keys[retired.id] = KeptKey(tenant, retired)
            tables.endpoint_keys[key.id] = KeptKey(tenant, key)

    def load_endpoints(
        self, ids: Collection[tuple[str, str]]
    ) -> Mapping[tuple[str, str], tuple[Endpoint, Sequence[EndpointKey]]]:
        """Return, by (tenant, endpoint id), endpoints and their unexpired keys, newest first."""
        with self._kept.lock:
            now, tables = self._kept.clock.now(), self._kept.tables
            found: dict[tuple[str, str], tuple[Endpoint, Sequence[EndpointKey]]] = {}
            for tenant, endpoint_id in set(ids):
                endpoint = self.get_endpoint(tenant, endpoint_id)
                if endpoint is not None:
                    keys = [
                        row.key
                        for row in tables.endpoint_keys.values()
                        if (row.tenant, row.key.endpoint_id) == (tenant, endpoint_id)
                        and _lives(row.key, now)
                    ]
                    keys.sort(key=lambda key: key.id, reverse=True)
                    found[tenant, endpoint_id] = (endpoint, keys)
            return found


def _lives(key: EndpointKey, moment: datetime) -> bool:
    return key.expires_at is None or key.expires_at > moment
