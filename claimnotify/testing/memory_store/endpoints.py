"""Webhook endpoints and their encrypted keys in the in-memory store."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from claimnotify.model.endpoints import Endpoint, EndpointKey
from claimnotify.testing.memory_store.breakers import close
from claimnotify.testing.memory_store.kept import Kept, KeptKey, refuse_session

__all__ = ["MemoryEndpoints", "lives"]


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

    def get_endpoint(
        self, tenant: str, endpoint_id: str, *, session: Any = None
    ) -> Endpoint | None:
        """Return the endpoint, or None if this tenant has none of that id."""
        refuse_session(session)
        with self._kept.lock:
            found = self._kept.tables.endpoints.get(endpoint_id)
        return found if found is not None and found.tenant == tenant else None

    def list_endpoints(
        self,
        tenant: str,
        owner: str | None = None,
        *,
        limit: int | None = None,
        after: str | None = None,
    ) -> Sequence[Endpoint]:
        """Return the tenant's endpoints, or one owner's, oldest first, younger than `after`."""
        with self._kept.lock:
            rows = list(self._kept.tables.endpoints.values())
        found = [
            each
            for each in rows
            if each.tenant == tenant
            and owner in (None, each.owner)
            and (after is None or each.id > after)
        ]
        return sorted(found, key=lambda each: each.id)[:limit]

    def update_endpoint(
        self, tenant: str, endpoint_id: str, changes: Mapping[str, Any], *, session: Any = None
    ) -> bool:
        """Change some of an endpoint's values; return whether there is such an endpoint."""
        refuse_session(session)
        with self._kept.changing() as tables:
            found = self.get_endpoint(tenant, endpoint_id)
            if found is None:
                return False
            now = self._kept.clock.now()
            tables.endpoints[endpoint_id] = replace(found, updated_at=now, **changes)
            if "url" in changes:
                close(tables, endpoint_id, now)
            return True

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
            tables.told.pop(endpoint_id, None)
            close(tables, endpoint_id, self._kept.clock.now())
            return True

    def delete_endpoint(self, tenant: str, endpoint_id: str, *, session: Any = None) -> bool:
        """Remove the endpoint and its keys; return whether there was one."""
        refuse_session(session)
        with self._kept.changing() as tables:
            if self.get_endpoint(tenant, endpoint_id) is None:
                return False
            del tables.endpoints[endpoint_id]
            tables.told.pop(endpoint_id, None)
            for row in list(tables.endpoint_keys.values()):
                if row.key.endpoint_id == endpoint_id:
                    del tables.endpoint_keys[row.key.id]
            close(tables, endpoint_id, self._kept.clock.now())
            return True

    def add_endpoint_key(
        self,
        tenant: str,
        key: EndpointKey,
        *,
        retire_others_at: datetime,
        most: int,
        session: Any = None,
    ) -> int | None:
        """Keep a new current key, if not too many others stay live; see the port."""
        refuse_session(session)
        with self._kept.changing() as tables:
            if self.get_endpoint(tenant, key.endpoint_id) is None:
                return None
            others = [
                replace(each, expires_at=min(each.expires_at or retire_others_at, retire_others_at))
                for each in self.list_endpoint_keys(tenant, key.endpoint_id)
            ]
            now = self._kept.clock.now()
            live = 1 + sum(lives(each, now) for each in others)
            if live <= most:
                for row in list(tables.endpoint_keys.values()):
                    if row.key.endpoint_id == key.endpoint_id:
                        del tables.endpoint_keys[row.key.id]
                for each in (*others, key):
                    if lives(each, now):
                        tables.endpoint_keys[each.id] = KeptKey(tenant, each)
            return live

    def list_endpoint_keys(self, tenant: str, endpoint_id: str) -> Sequence[EndpointKey]:
        """Return the keys of an endpoint that have not expired, newest first."""
        with self._kept.lock:
            now = self._kept.clock.now()
            found = [
                row.key
                for row in self._kept.tables.endpoint_keys.values()
                if (row.tenant, row.key.endpoint_id) == (tenant, endpoint_id)
                and lives(row.key, now)
            ]
        return sorted(found, key=lambda key: key.id, reverse=True)

    def load_endpoints(
        self, ids: Collection[tuple[str, str]]
    ) -> Mapping[tuple[str, str], tuple[Endpoint, Sequence[EndpointKey]]]:
        """Return, by (tenant, endpoint id), endpoints and their unexpired keys, newest first."""
        with self._kept.lock:
            found = {}
            for tenant, endpoint_id in set(ids):
                endpoint = self.get_endpoint(tenant, endpoint_id)
                if endpoint is not None:
                    keys = self.list_endpoint_keys(tenant, endpoint_id)
                    found[tenant, endpoint_id] = (endpoint, keys)
            return found


def lives(key: EndpointKey, moment: datetime) -> bool:
    """Return whether a key signs at `moment`."""
    return key.expires_at is None or key.expires_at > moment
