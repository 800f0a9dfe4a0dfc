"""A whole store in the memory of one process, for tests: no database, no file, a clock to move on."""

from __future__ import annotations

from claimnotify.testing.memory_store.store import MemoryStore

__all__ = ["MemoryStore"]
