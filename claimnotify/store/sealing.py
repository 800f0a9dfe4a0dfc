"""Goes through what is kept encrypted, and puts one ciphertext in the place of another."""

from __future__ import annotations

import json
from collections.abc import Sequence

from sqlalchemy import Connection, Engine, select

from claimnotify.model.endpoints import headers_context, secret_context
from claimnotify.ports import Sealed
from claimnotify.store.tables import endpoint_keys, endpoints
from claimnotify.store.transactions import in_transaction, reading

__all__ = ["SqlSealing"]

_KEYS, _HEADERS = "endpoint_keys/", "endpoints/"
"""What names begin with: the table, and after it comes the row. Keys sort before headers."""


class SqlSealing:
    """The encrypted values of one store. See `claimnotify.ports.Sealing`.

    Args:
        engine: The database.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def sealed(self, after: str, limit: int) -> Sequence[Sealed]:
        """Return what is kept encrypted, of all tenants, in the order of its names."""
        with reading(self._engine) as connection:
            found = [] if after > _HEADERS else _sealed_keys(connection, after, limit)
            if len(found) < limit:
                found += _sealed_headers(connection, after, limit - len(found))
        return found

    def reseal(self, old: Sealed, ciphertext: str) -> bool:
        """Put another ciphertext in the place of `old`; return whether it still was there."""
        if old.name.startswith(_KEYS):
            return in_transaction(self._engine, lambda it: _reseal_key(it, old, ciphertext))
        return in_transaction(self._engine, lambda it: _reseal_headers(it, old, ciphertext))


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


def _reseal_key(connection: Connection, old: Sealed, ciphertext: str) -> bool:
    columns = endpoint_keys.c
    changed = connection.execute(
        endpoint_keys.update()
        .where(columns.id == old.name.removeprefix(_KEYS), columns.ciphertext == old.ciphertext)
        .values(ciphertext=ciphertext)
    )
    return bool(changed.rowcount)


def _reseal_headers(connection: Connection, old: Sealed, ciphertext: str) -> bool:
    mine = endpoints.c.id == old.name.removeprefix(_HEADERS)
    query = select(endpoints.c.headers).where(mine).with_for_update()
    kept = connection.execute(query).scalar()
    headers = None if kept is None else json.loads(kept)
    if headers is None or headers["sealed"] != old.ciphertext:
        return False
    new = json.dumps({**headers, "sealed": ciphertext})
    connection.execute(endpoints.update().where(mine).values(headers=new))
    return True
