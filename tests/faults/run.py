"""One run: a fault, on a stack, with a seed."""

from __future__ import annotations

import time
import traceback

from tests.faults.catalogue import CATALOGUE
from tests.faults.stacks import Stack
from tests.faults.verdict import Verdict, judge
from tests.faults.world import World

__all__ = ["run"]

_TAIL = 2_000


def run(stack: Stack, name: str, seed: int) -> Verdict:
    """Inject the fault `name`, let the system recover, and compare; `seed` makes it repeatable."""
    fault = CATALOGUE[name]
    began = time.monotonic()
    with World(stack, f"{name} {seed}", settings=fault.settings) as world:
        try:
            fault.inject(world)
        except Exception as error:  # told of as a problem; what was accepted is judged all the same
            world.problems += traceback.format_exception(error)
        world.settle(within=fault.within)
        lost, duplicates = judge(world)
        for worker in world.workers:
            if worker.alive and (code := worker.stop()):
                world.problems.append(f"a worker stopped with code {code}")
        if "unexpected error" in world.logged:
            world.problems.append("a worker met an error that it did not expect")
        if world.problems:
            world.problems.append(f"the workers' log ends: {world.logged[-_TAIL:]}")
        return Verdict(
            stack=stack.name,
            fault=name,
            seed=seed,
            accepted=len(world.accepted),
            strikes=world.strikes,
            in_flight=world.in_flight,
            lost=lost,
            duplicates=duplicates,
            seconds=time.monotonic() - began,
            problems=tuple(world.problems),
        )
