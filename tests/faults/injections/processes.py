"""Faults of processes: workers and acceptors that are killed, workers that are frozen."""

from __future__ import annotations

from datetime import timedelta

from tests.faults.fault import Fault
from tests.faults.world import World

__all__ = ["FAULTS"]


def worker_killed_before_send(world: World) -> None:
    """SIGKILL when deliveries are leased and the receiver has not answered."""
    strikes = world.dice.randint(1, 3)
    world.accept(world.dice.randint(30, 70))
    for _ in range(strikes):
        world.receiver.delay = timedelta(seconds=0.3)
        worker = world.start_worker()
        with world.accepting(world.dice.randint(10, 25)):
            world.strike(worker.kill, within=0.2)
    world.receiver.delay = timedelta(0)


FAULTS = [Fault(inject=worker_killed_before_send)]
