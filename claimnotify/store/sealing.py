"""Goes through what is kept encrypted, and puts one ciphertext in the place of another."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import TypeAlias

from sqlalchemy import Connection, Engine, bindparam, select

from claimnotify.model.endpoints import headers_context, secret_context
from claimnotify.ports import Sealed
from claimnotify.store.clock import DatabaseClock
from claimnotify.store.tables import endpoint_keys, endpoints
from claimnotify.store.transactions import in_transaction, reading

__all__ = ["SqlSealing"]

_KEYS, _HEADERS = "endpoint_keys/", "endpoints/"
"""What names begin with: the table, and after it comes the row. Keys sort before headers."""
_AT_ONCE = 500
"""How many keys are deleted together."""

_Changes: TypeAlias = Mapping[str, tuple[Sealed, str]]
"""What was kept and what is to be kept instead, by the id of its row."""


class SqlSealing:
    """The encrypted values of one store. See `claimnotify.ports.Sealing`.

    Args:
        engine: The database.
        clock: The one clock.
    """

    def __init__(self, engine: Engine, *, clock: DatabaseClock) -> None:
        self._engine = engine
        self._clock = clock

    def forget_expired(self) -> int:
        """Delete the keys that have expired, of all tenants; return how many."""
        columns = endpoint_keys.c
        with reading(self._engine) as connection:
            expired = columns.expires_at <= self._clock.now(connection)
        gone, after = 0, ""
        while True:
            query = select(columns.id, columns.endpoint_id).where(expired, columns.id > after)
            with reading(self._engine) as connection:
                rows = connection.execute(query.order_by(columns.id).limit(_AT_ONCE)).all()
            if not rows:
                return gone
            owner_of = {row.id: row.endpoint_id for row in rows}
            gone += in_transaction(self._engine, partial(_delete, owner_of=owner_of))
            after = rows[-1].id

    def sealed(self, after: str, limit: int) -> Sequence[Sealed]:
        """Return what is kept encrypted, of all tenants, in the order of its names."""
        with reading(self._engine) as connection:
            found = [] if after > _HEADERS else _sealed_keys(connection, after, limit)
            if len(found) < limit:
                found += _sealed_headers(connection, after, limit - len(found))
        return found

    def reseal(self, changes: Sequence[tuple[Sealed, str]]) -> int:
        """Put other ciphertexts in the place of those that are still there, in one transaction."""
        keys = {old.name.removeprefix(_KEYS): (old, new) for old, new in changes if _is_key(old)}
        headers = {
            old.name.removeprefix(_HEADERS): (old, new) for old, new in changes if not _is_key(old)
        }
        return in_transaction(self._engine, lambda it: _reseal(it, keys, headers))


def _is_key(sealed: Sealed) -> bool:
    return sealed.name.startswith(_KEYS)


def _delete(connection: Connection, owner_of: Mapping[str, str]) -> int:
    _lock(connection, set(owner_of.values()))
    mine = endpoint_keys.c.id.in_(list(owner_of))
    return connection.execute(endpoint_keys.delete().where(mine)).rowcount


def _lock(connection: Connection, endpoint_ids: Collection[str]) -> None:
    """Lock endpoints before their keys, as who rotates does, so that the two do not deadlock."""
    columns = endpoints.c
    query = select(columns.id).where(columns.id.in_(endpoint_ids)).order_by(columns.id)
    connection.execute(query.with_for_update())


def _sealed_keys(connection: Connection, after: str, limit: int) -> list[Sealed]:
    columns = endpoint_keys.c
    query = (
        select(columns.id, columns.ciphertext)
        .where(columns.id > after.removeprefix(_KEYS))
        .order_by(columns.id)
        .limit(limit)
    )
    return [
        Sealed(f"{_KEYS}{row.id}", secret_context(row.id), row.ciphertext)
        for row in connection.execute(query)
    ]


def _sealed_headers(connection: Connection, after: str, limit: int) -> list[Sealed]:
    columns = endpoints.c
    last = after.removeprefix(_HEADERS) if after.startswith(_HEADERS) else ""
    query = (
        select(columns.id, columns.headers)
        .where(columns.headers.is_not(None), columns.id > last)
        .order_by(columns.id)
        .limit(limit)
    )
    return [
        Sealed(f"{_HEADERS}{row.id}", headers_context(row.id), json.loads(row.headers)["sealed"])
        for row in connection.execute(query)
    ]


def _reseal(connection: Connection, keys: _Changes, headers: _Changes) -> int:
    owners: set[str] = set()
    if keys:
        query = select(endpoint_keys.c.endpoint_id).where(endpoint_keys.c.id.in_(list(keys)))
        owners = set(connection.execute(query).scalars())
    _lock(connection, owners | headers.keys())
    return _reseal_keys(connection, keys) + _reseal_headers(connection, headers)


def _reseal_keys(connection: Connection, changes: _Changes) -> int:
    if not changes:
        return 0
    columns = endpoint_keys.c
    query = select(columns.id, columns.ciphertext).where(columns.id.in_(list(changes)))
    rows = [
        {"of": row.id, "to": changes[row.id][1]}
        for row in connection.execute(query.with_for_update())
        if row.ciphertext == changes[row.id][0].ciphertext
    ]
    update = endpoint_keys.update().where(columns.id == bindparam("of"))
    if rows:
        connection.execute(update.values(ciphertext=bindparam("to")), rows)
    return len(rows)


def _reseal_headers(connection: Connection, changes: _Changes) -> int:
    if not changes:
        return 0
    columns = endpoints.c
    query = select(columns.id, columns.headers).where(columns.id.in_(list(changes)))
    rows = []
    for row in connection.execute(query.with_for_update()):
        old, new = changes[row.id]
        headers = None if row.headers is None else json.loads(row.headers)
        if headers is not None and headers["sealed"] == old.ciphertext:
            rows.append({"of": row.id, "to": json.dumps({**headers, "sealed": new})})
    update = endpoints.update().where(columns.id == bindparam("of"))
    if rows:
        connection.execute(update.values(headers=bindparam("to")), rows)
    return len(rows)
