"""Bounds how many slots endpoints may hold together that are not known to answer promptly."""

from __future__ import annotations

from collections import OrderedDict

from claimnotify.delivery.lines import Line

__all__ = ["Probation"]


class Probation:
    """Counts the slots of lines that are not trusted, and holds lines for which there are too many.

    A send cannot be called back, so slots that endpoints which hang hold are gone until the deadline
    of the attempts. Those of one tenant hold at most half of all slots; only the first send to an
    endpoint, which shows how it answers, may be begun until three quarters are taken. An eighth is
    left to lines that are trusted, whatever the others do.

    Args:
        slots: How many slots there are.
    """

    def __init__(self, slots: int) -> None:
        self._most_of_tenant = max(1, slots // 2)
        self._most_for_first = max(1, slots * 3 // 4)
        self._most = max(1, slots * 7 // 8)
        self._of_tenant: dict[str, int] = {}
        self._held: OrderedDict[tuple[str, bool], OrderedDict[Line, None]] = OrderedDict()
        self.total = 0
        """How many slots are held on probation."""

    def admit(self, line: Line) -> bool:
        """Return whether a line that is not trusted may begin a send; if so, that is counted."""
        # What was begun while it was trusted counts from now on as well.
        self._count(line, len(line.began))
        if not self._has_room(*_kind(line)):
            return False
        self._count(line, len(line.began) + 1)
        return True

    def hold(self, line: Line, now: float) -> None:
        """Keep a line that was not admitted until it is its turn, or it answers promptly."""
        line.held_since, line.in_turn = now, True
        self._held.setdefault(_kind(line), OrderedDict())[line] = None

    def has_next(self) -> bool:
        """Return whether a line that is held may begin a send."""
        return any(self._has_room(*kind) for kind in self._held)

    def next(self) -> Line | None:
        """Return a line that was held and begins a send now, which is counted; tenants in turn."""
        for kind in list(self._held):
            lines = self._held[kind]
            while lines and self._has_room(*kind):
                line, _ = lines.popitem(last=False)
                line.held_since, line.in_turn = None, False
                if line.waiting:
                    self._held.move_to_end(kind)
                    self._count(line, len(line.began) + 1)
                    return line
            if not lines:
                del self._held[kind]
        return None

    def ended(self, line: Line) -> None:
        """Note that a send of a line of which some are counted has ended."""
        self._count(line, min(line.counted, len(line.began)))

    def passed(self, line: Line) -> None:
        """Note that a line answered promptly: none of its sends counts, and it is not held."""
        self._count(line, 0)
        if line.held_since is not None:
            line.held_since, line.in_turn = None, False
            for lines in self._held.values():
                lines.pop(line, None)

    def _has_room(self, tenant: str, first: bool) -> bool:
        most = self._most_for_first if first else self._most_of_tenant
        return self.total < self._most and self._of_tenant.get(tenant, 0) < most

    def _count(self, line: Line, count: int) -> None:
        added = count - line.counted
        if added:
            tenant = line.tenant or ""
            line.counted = count
            self.total += added
            left = self._of_tenant.get(tenant, 0) + added
            if left:
                self._of_tenant[tenant] = left
            else:
                del self._of_tenant[tenant]


def _kind(line: Line) -> tuple[str, bool]:
    return line.tenant or "", line.first
