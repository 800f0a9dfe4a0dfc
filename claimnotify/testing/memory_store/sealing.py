"""Goes through what the in-memory store keeps encrypted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from claimnotify.model.endpoints import headers_context, secret_context
from claimnotify.ports import Sealed
from claimnotify.testing.memory_store.endpoints import lives
from claimnotify.testing.memory_store.kept import Kept, KeptKey, Tables

__all__ = ["MemorySealing"]


class MemorySealing:
    """The encrypted values of one store. See `claimnotify.ports.Sealing`."""

    def __init__(self, kept: Kept) -> None:
        self._kept = kept

    def forget_expired(self) -> int:
        """Delete the keys that have expired, of all tenants; return how many."""
        with self._kept.changing() as tables:
            expired = [
                key
                for key, row in tables.endpoint_keys.items()
                if not lives(row.key, self._kept.clock.now())
            ]
            for key in expired:
                del tables.endpoint_keys[key]
            return len(expired)

    def sealed(self, after: str, limit: int) -> Sequence[Sealed]:
        """Return what is kept encrypted, of all tenants, in the order of its names."""
        with self._kept.lock:
            found = _all(self._kept.tables)
        return [found[name] for name in sorted(found) if name > after][:limit]

    def reseal(self, changes: Sequence[tuple[Sealed, str]]) -> int:
        """Put other ciphertexts in the place of those that are still there."""
        with self._kept.changing() as tables:
            there = _all(tables)
            still = [(old, new) for old, new in changes if there.get(old.name) == old]
            for old, new in still:
                _put(tables, old.name, new)
            return len(still)


def _put(tables: Tables, name: str, ciphertext: str) -> None:
    table, _, key = name.partition("/")
    if table == "endpoint_keys":
        row = tables.endpoint_keys[key]
        sealed = replace(row.key, ciphertext=ciphertext)
        tables.endpoint_keys[key] = KeptKey(row.tenant, sealed)
    else:
        tables.endpoints[key] = replace(tables.endpoints[key], sealed_headers=ciphertext)


def _all(tables: Tables) -> dict[str, Sealed]:
    """Return every encrypted value by its name."""
    rows = [
        Sealed(f"endpoint_keys/{row.key.id}", secret_context(row.key.id), row.key.ciphertext)
        for row in tables.endpoint_keys.values()
    ]
    rows += [
        Sealed(f"endpoints/{each.id}", headers_context(each.id), each.sealed_headers)
        for each in tables.endpoints.values()
        if each.sealed_headers
    ]
    return {row.name: row for row in rows}
