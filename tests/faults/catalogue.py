"""Every fault by its name."""

from __future__ import annotations

from tests.faults.fault import Fault
from tests.faults.injections import clocks, databases, peers, processes, queues, rendering, rings

__all__ = ["CATALOGUE"]

_ROOMS = (processes, rings, databases, queues, clocks, peers, rendering)

CATALOGUE: dict[str, Fault] = {fault.name: fault for room in _ROOMS for fault in room.FAULTS}
