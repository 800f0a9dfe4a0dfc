"""Encrypts what is kept encrypted anew under the first of the keys, after a key was added."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from claimnotify.errors import ConfigurationError
from claimnotify.ports import Sealed, Sealing
from claimnotify.webhooks.keys import KeyRing

__all__ = ["Resealed", "reseal_all"]

_log = logging.getLogger(__name__)
_PAGE = 500


@dataclass(frozen=True, slots=True)
class Resealed:
    """What was encrypted anew.

    Args:
        changed: How many values are under the first key now that were not.
        unreadable: How many none of the keys can decrypt; they were left as they are.
    """

    changed: int
    unreadable: int


def reseal_all(sealing: Sealing, ring: KeyRing) -> Resealed:
    """Encrypt under the first key what is under another, of all tenants, in constant memory.

    Keys of endpoints that have expired are deleted.

    It may be broken off and called again, and run while endpoints are registered and rotated.
    """
    # An expired key signs nothing; were it under a key that is lost, it could never be read again.
    sealing.forget_expired()
    changed = unreadable = 0
    after = ""
    while page := sealing.sealed(after, _PAGE):
        changes: list[tuple[Sealed, str]] = []
        for each in page:
            if ring.is_current(each.ciphertext):
                continue
            try:
                plaintext = ring.decrypt(each.ciphertext, context=each.context)
            except ConfigurationError as error:
                _log.error("%s: %s", each.name, error)
                unreadable += 1
                continue
            changes.append((each, ring.encrypt(plaintext, context=each.context)))
        if changes:
            changed += sealing.reseal(changes)
        after = page[-1].name
    return Resealed(changed, unreadable)
