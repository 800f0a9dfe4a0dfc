"""Knows which endpoints and channels have failed of late, as the last look into the store found."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from claimnotify.errors import StoreUnavailable
from claimnotify.policy.breaker import Trouble
from claimnotify.ports import WorkQueue

__all__ = ["Troubles"]

_log = logging.getLogger("claimnotify.delivery")


class Troubles:
    """What has failed of late. One thread calls `look`; any thread reads `known`.

    Args:
        work: Where it is kept.
    """

    def __init__(self, work: WorkQueue) -> None:
        self._work = work
        self.known: Mapping[str, Trouble] = {}
        """By the breaker's name."""

    def look(self) -> None:
        """Ask the store, if it can be reached."""
        try:
            self.known = self._work.troubles()
        except StoreUnavailable:
            # What was known a moment ago serves on; the next lease or record tells of the outage.
            _log.debug("breakers could not be read")
