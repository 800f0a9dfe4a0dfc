"""Every fault by its name."""

from __future__ import annotations

from tests.faults.fault import Fault
from tests.faults.injections import clocks, databases, peers, processes, queues

__all__ = ["CATALOGUE"]

CATALOGUE: dict[str, Fault] = {
    fault.name: fault
    for fault in (
        *processes.FAULTS,
        *databases.FAULTS,
        *queues.FAULTS,
        *clocks.FAULTS,
        *peers.FAULTS,
    )
}
