"""Decides which names may be looked up at the same time, so that silent DNS servers leave room. No I/O.

Whoever chooses a webhook's URL chooses the server that answers for its name, and a look-up cannot be
called off. So a name has places by what is known of it, and its domain has a part of them.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

__all__ = ["LookUpPlaces", "Standing"]

_PLACES = 256
_PLACES_OF_DOMAIN = {2: 32, 3: 16}
"""By the number of labels, counted from the end. There is no list of public suffixes to tell whose a
domain is: `co.uk` is shared by many, and `example.com` belongs to one who can make any name in it."""
_SLOW_AFTER = 1.0
_MOST_KNOWN = 8192


class Standing(IntEnum):
    """What is known of a name, from the best to the worst."""

    PROMPT = 0
    """Its last look-up took no longer than a second, whatever it found."""
    UNKNOWN = 1
    """It was not looked up yet, or so long ago that it was forgotten."""
    SLOW = 2
    """Its last look-up took longer, or is taking longer."""


_SHARES = {Standing.PROMPT: 1.0, Standing.UNKNOWN: 0.75, Standing.SLOW: 0.25}
"""The part of all places that names of a standing may hold together with those of worse standing."""


@dataclass(frozen=True, slots=True)
class _Running:
    began: float
    standing: Standing
    domains: tuple[str, ...]


class LookUpPlaces:
    """Gives places and takes them back. Not for several threads at once.

    Each limit is one of all names and one of each domain (the last two labels, and the last three),
    so that neither many names nor one domain with any number of names takes all. A share of every
    limit is kept for names that were prompt, another for names that are new.

    Args:
        monotonic: Seconds that never go back.
    """

    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._running: dict[str, _Running] = {}
        self._slow: OrderedDict[str, bool] = OrderedDict()

    def standing(self, name: str) -> Standing:
        """Return what is known of a name from its last look-up."""
        slow = self._slow.get(name)
        if slow is None:
            return Standing.UNKNOWN
        return Standing.SLOW if slow else Standing.PROMPT

    def take(self, name: str) -> bool:
        """Return whether `name`, which has no place, got one."""
        now, standing, domains = self._monotonic(), self.standing(name), _domains(name)
        share = _SHARES[standing]
        held = [each for each in self._running.values() if _now(each, now) >= standing]
        if len(held) >= share * _PLACES:
            return False
        for labels, domain in enumerate(domains, 2):
            count = sum(domain in each.domains for each in held)
            if count >= share * _PLACES_OF_DOMAIN[labels]:
                return False
        self._running[name] = _Running(now, standing, domains)
        return True

    def give_back(self, name: str) -> None:
        """Take note that the look-up of `name` is over, and of how long it took."""
        took = self._monotonic() - self._running.pop(name).began
        self._slow[name] = took > _SLOW_AFTER
        self._slow.move_to_end(name)
        if len(self._slow) > _MOST_KNOWN:
            self._slow.popitem(last=False)


def _now(running: _Running, now: float) -> Standing:
    return Standing.SLOW if now - running.began > _SLOW_AFTER else running.standing


def _domains(name: str) -> tuple[str, ...]:
    """Return the name's last two labels, and its last three if it has as many."""
    labels = name.lower().split(".")
    return tuple(".".join(labels[-count:]) for count in (2, 3) if count <= max(len(labels), 2))
