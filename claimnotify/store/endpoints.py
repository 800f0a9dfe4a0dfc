"""Keeps webhook endpoints and their encrypted keys."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
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
        let_parked_go: Callable[[Connection, str, str, datetime], None],
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
                    enabled=endpoint.enabled,
                    disabled_reason=endpoint.disabled_reason,
                    created_at=endpoint.created_at,
                    **_columns({name: getattr(endpoint, name) for name in _CHANGEABLE}),
                )
            )
            connection.execute(endpoint_keys.insert().values(_key_row(endpoint.tenant, key)))

    def get_endpoint(
        self, tenant: str, endpoint_id: str, *, session: Any = None
    ) -> Endpoint | None:
        """Return the endpoint, or None if this tenant has none of that id."""
        query = select(endpoints).where(*_one(tenant, endpoint_id))
        with reading(self._engine) if session is None else self._joined(session) as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else endpoint_of(row)

    def list_endpoints(
        self,
        tenant: str,
        owner: str | None = None,
        *,
        limit: int | None = None,
        after: str | None = None,
    ) -> Sequence[Endpoint]:
        """Return the tenant's endpoints, or one owner's, oldest first, younger than `after`."""
        query = select(endpoints).where(endpoints.c.tenant == tenant).order_by(endpoints.c.id)
        if owner is not None:
            query = query.where(endpoints.c.owner == owner)
        if after is not None:
            query = query.where(endpoints.c.id > after)
        with reading(self._engine) as connection:
            return [endpoint_of(row) for row in connection.execute(query.limit(limit))]

    def update_endpoint(
        self, tenant: str, endpoint_id: str, changes: Mapping[str, Any], *, session: Any = None
    ) -> bool:
        """Change some of an endpoint's values; return whether there is such an endpoint."""
        with self._joined(session) as connection:
            if "url" in changes:
                self._let_parked_go(connection, tenant, endpoint_id, self._clock.now(connection))
            now = self._clock.now(connection)
            changed = connection.execute(
                endpoints.update()
                .where(*_one(tenant, endpoint_id))
                .values(updated_at=now, **_columns(changes))
            )
            return bool(changed.rowcount)

    def set_endpoint_enabled(
        self, tenant: str, endpoint_id: str, *, enabled: bool, reason: str = "", session: Any = None
    ) -> bool:
        """Enable or disable; return whether there is such an endpoint."""
        with self._joined(session) as connection:
            # What waits for its breaker goes out now, or is skipped.
            self._let_parked_go(connection, tenant, endpoint_id, self._clock.now(connection))
            changed = connection.execute(
                endpoints.update()
                .where(*_one(tenant, endpoint_id))
                .values(enabled=enabled, disabled_reason="" if enabled else reason, told_at=None)
            )
            return bool(changed.rowcount)

    def delete_endpoint(self, tenant: str, endpoint_id: str, *, session: Any = None) -> bool:
        """Remove the endpoint and its keys; return whether there was one."""
        with self._joined(session) as connection:
            self._let_parked_go(connection, tenant, endpoint_id, self._clock.now(connection))
            # Before its keys, as whoever adds a key or encrypts them anew does.
            _lock(connection, tenant, endpoint_id)
            connection.execute(
                endpoint_keys.delete().where(
                    endpoint_keys.c.tenant == tenant, endpoint_keys.c.endpoint_id == endpoint_id
                )
            )
            gone = connection.execute(endpoints.delete().where(*_one(tenant, endpoint_id)))
            return bool(gone.rowcount)

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
        mine = (_keys.tenant == tenant, _keys.endpoint_id == key.endpoint_id)
        with self._joined(session) as connection:
            # Locked, so that the count below still holds when the key is written.
            if not _lock(connection, tenant, key.endpoint_id):
                return None
            others = select(_keys.expires_at).where(*mine).with_for_update()
            now = self._clock.now(connection)
            ends: list[datetime] = [
                min(row.expires_at or retire_others_at, retire_others_at)
                for row in connection.execute(others)
            ]
            live = 1 + sum(end > now for end in ends)
            if live > most:
                return live
            connection.execute(
                endpoint_keys.update()
                .where(*mine, or_(_keys.expires_at.is_(None), _keys.expires_at > retire_others_at))
                .values(expires_at=retire_others_at)
            )
            # What signs no more is not kept: nobody could ever encrypt it anew without its old key.
            connection.execute(endpoint_keys.delete().where(*mine, _keys.expires_at <= now))
            connection.execute(endpoint_keys.insert().values(_key_row(tenant, key)))
            return live

    def list_endpoint_keys(self, tenant: str, endpoint_id: str) -> Sequence[EndpointKey]:
        """Return the keys of an endpoint that have not expired, newest first."""
        with reading(self._engine) as connection:
            values = {"ids": [endpoint_id], "now": self._clock.now(connection)}
            rows = connection.execute(_WITH_KEYS, values).all()
        return [key_of(row) for row in rows if row.tenant == tenant and row.key_id is not None]

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


_CHANGEABLE = (
    "owner",
    "url",
    "event_types",
    "description",
    "rate_limit",
    "tags",
    "metadata",
    "header_names",
    "sealed_headers",
    "timeout",
    "ordering",
)
"""What of an endpoint is given when it is registered, and can be changed."""


def _one(tenant: str, endpoint_id: str) -> tuple[Any, ...]:
    return endpoints.c.tenant == tenant, endpoints.c.id == endpoint_id


def _lock(connection: Connection, tenant: str, endpoint_id: str) -> bool:
    query = select(endpoints.c.id).where(*_one(tenant, endpoint_id)).with_for_update()
    return connection.execute(query).first() is not None


def _columns(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return columns and what they hold, of values by the names of `Endpoint`."""
    columns: dict[str, Any] = {}
    for name, value in values.items():
        if name == "timeout":
            columns["timeout_ms"] = None if value is None else value // timedelta(milliseconds=1)
        elif name == "sealed_headers":
            sealed = {"names": list(values["header_names"]), "sealed": value}
            columns["headers"] = json.dumps(sealed) if value else None
        elif name in ("event_types", "tags"):
            columns[name] = json.dumps(list(value))
        elif name == "metadata":
            columns[name] = json.dumps(dict(value))
        elif name != "header_names":
            columns[name] = value
    return columns


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
