"""Keeps webhook endpoints and their encrypted keys."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, bindparam, or_, select

from claimnotify.model.endpoints import Endpoint, EndpointKey
from claimnotify.store.clock import DatabaseClock
from claimnotify.store.rows import endpoint_of, key_of
from claimnotify.store.tables import endpoint_keys, endpoints
from claimnotify.store.transactions import reading

__all__ = ["SqlEndpoints"]

_keys = endpoint_keys.c
_WITH_KEYS = (
    select(
        endpoints,
        _keys.id.label("key_id"),
        _keys.kind,
        _keys.ciphertext,
        _keys.public_key,
        _keys.created_at.label("key_created_at"),
        _keys.expires_at.label("key_expires_at"),
    )
    .outerjoin(
        endpoint_keys,
        (_keys.endpoint_id == endpoints.c.id)
        & (_keys.tenant == endpoints.c.tenant)
        & or_(_keys.expires_at.is_(None), _keys.expires_at > bindparam("now")),
    )
    .where(endpoints.c.id.in_(bindparam("ids", expanding=True)))
    .order_by(_keys.id.desc())
)
"""Endpoints with their unexpired keys, newest first; an endpoint without any once."""


class SqlEndpoints:
    """The endpoints of one store. See `claimnotify.ports.EndpointStore`."""

    def __init__(
        self,
        engine: Engine,
        *,
        clock: DatabaseClock,
        joined: Callable[[Any], AbstractContextManager[Connection]],
        let_parked_go: Callable[[Connection, str, datetime], None],
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._joined = joined
        self._let_parked_go = let_parked_go

    def add_endpoint(self, endpoint: Endpoint, key: EndpointKey, *, session: Any = None) -> None:
        """Keep a new endpoint and its first key."""
        with self._joined(session) as connection:
            connection.execute(
                endpoints.insert().values(
                    id=endpoint.id,
                    tenant=endpoint.tenant,
                    owner=endpoint.owner,
                    url=endpoint.url,
                    event_types=json.dumps(list(endpoint.event_types)),
                    description=endpoint.description,
                    enabled=endpoint.enabled,
                    disabled_reason=endpoint.disabled_reason,
                    rate_limit=endpoint.rate_limit,
                    created_at=endpoint.created_at,
                )
            )
            connection.execute(endpoint_keys.insert().values(_key_row(endpoint.tenant, key)))

    def get_endpoint(self, tenant: str, endpoint_id: str) -> Endpoint | None:
        """Return the endpoint, or None if this tenant has none of that id."""
        query = select(endpoints).where(endpoints.c.tenant == tenant, endpoints.c.id == endpoint_id)
        with reading(self._engine) as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else endpoint_of(row)

    def list_endpoints(self, tenant: str, owner: str | None = None) -> Sequence[Endpoint]:
        """Return the tenant's endpoints, or one owner's, oldest first."""
        query = select(endpoints).where(endpoints.c.tenant == tenant).order_by(endpoints.c.id)
        if owner is not None:
            query = query.where(endpoints.c.owner == owner)
        with reading(self._engine) as connection:
            return [endpoint_of(row) for row in connection.execute(query)]

    def set_endpoint_enabled(
        self, tenant: str, endpoint_id: str, *, enabled: bool, reason: str = "", session: Any = None
    ) -> bool:
        """Enable or disable; return whether there is such an endpoint."""
        with self._joined(session) as connection:
            changed = connection.execute(
                endpoints.update()
                .where(endpoints.c.tenant == tenant, endpoints.c.id == endpoint_id)
                .values(enabled=enabled, disabled_reason="" if enabled else reason)
            )
            if changed.rowcount:
                # What waits for its breaker goes out now, or is skipped.
                self._let_parked_go(connection, endpoint_id, self._clock.now(connection))
            return bool(changed.rowcount)

    def delete_endpoint(self, tenant: str, endpoint_id: str, *, session: Any = None) -> bool:
        """Remove the endpoint and its keys; return whether there was one."""
        with self._joined(session) as connection:
            connection.execute(
                endpoint_keys.delete().where(
                    endpoint_keys.c.tenant == tenant, endpoint_keys.c.endpoint_id == endpoint_id
                )
            )
            gone = connection.execute(
                endpoints.delete().where(
                    endpoints.c.tenant == tenant, endpoints.c.id == endpoint_id
                )
            )
            if gone.rowcount:
                self._let_parked_go(connection, endpoint_id, self._clock.now(connection))
            return bool(gone.rowcount)

    def add_endpoint_key(
        self, tenant: str, key: EndpointKey, *, retire_others_at: datetime, session: Any = None
    ) -> None:
        """Keep a new current key; the others that are live expire at `retire_others_at`."""
        columns = endpoint_keys.c
        with self._joined(session) as connection:
            connection.execute(
                endpoint_keys.update()
                .where(
                    columns.tenant == tenant,
                    columns.endpoint_id == key.endpoint_id,
                    or_(columns.expires_at.is_(None), columns.expires_at > retire_others_at),
                )
                .values(expires_at=retire_others_at)
            )
            connection.execute(endpoint_keys.insert().values(_key_row(tenant, key)))

    def load_endpoints(
        self, ids: Collection[tuple[str, str]]
    ) -> Mapping[tuple[str, str], tuple[Endpoint, Sequence[EndpointKey]]]:
        """Return, by (tenant, endpoint id), endpoints and their unexpired keys, newest first."""
        wanted = {endpoint_id for _, endpoint_id in ids}
        if not wanted:
            return {}
        found: dict[tuple[str, str], Endpoint] = {}
        keys: dict[tuple[str, str], list[EndpointKey]] = defaultdict(list)
        with reading(self._engine) as connection:
            values = {"ids": list(wanted), "now": self._clock.now(connection)}
            for row in connection.execute(_WITH_KEYS, values):
                each = row.tenant, row.id
                if each not in found:
                    found[each] = endpoint_of(row)
                if row.key_id is not None:
                    keys[each].append(key_of(row))
        return {key: (found[key], keys[key]) for key in set(ids) if key in found}


def _key_row(tenant: str, key: EndpointKey) -> dict[str, Any]:
    return {
        "id": key.id,
        "tenant": tenant,
        "endpoint_id": key.endpoint_id,
        "kind": key.kind,
        "ciphertext": key.ciphertext,
        "public_key": key.public_key,
        "created_at": key.created_at,
        "expires_at": key.expires_at,
    }
