"""Faults of clocks: one host an hour off, and the one clock that steps for everybody."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

from claimnotify.store.clock import DatabaseClock
from tests.faults.fault import Fault
from tests.faults.workers import ROOT
from tests.faults.world import World
from tests.waiting import pause

__all__ = ["FAULTS"]

_HOUR = timedelta(hours=1)
_SKEWED = Path(__file__).parents[1] / "skewed"


def clock_skewed_in_one_worker(world: World) -> None:
    """One worker's host is an hour ahead or behind; the other one, that is right, is killed."""
    world.receiver.delay = timedelta(seconds=0.1)
    world.wrong_time = world.stack.name == "sqlite"  # which has no time but the host's
    shift = world.dice.choice([-_HOUR, _HOUR]).total_seconds()
    path = os.pathsep.join((str(_SKEWED), str(ROOT)))
    world.start_worker(extra={"PYTHONPATH": path, "FAULTS_CLOCK_SHIFT": str(shift)}).ready()
    right = world.start_worker()
    right.ready()
    for _ in range(2):
        with world.accepting(world.dice.randint(30, 60)):
            world.strike(right.kill)
        right = world.start_worker()


def clock_stepped_for_all(world: World) -> None:
    """The one clock steps an hour ahead and stays, or an hour back until that is corrected."""
    world.receiver.delay = timedelta(seconds=0.1)
    world.wrong_time = True
    clock = DatabaseClock(world.stack.engine)
    world.accept(world.dice.randint(40, 70))
    for _ in range(world.dice.randint(1, 2)):
        world.start_worker()
    ahead = world.dice.random() < 0.5
    with world.accepting(world.dice.randint(20, 40)):
        world.strike(lambda: clock.shift(_HOUR if ahead else -_HOUR))
    if not ahead:
        # What was accepted before is due an hour after now: it waits until somebody sets the clock.
        pause(world.dice.uniform(0.5, 2.0))
        clock.shift(_HOUR)


FAULTS = [Fault(inject=clock_skewed_in_one_worker), Fault(inject=clock_stepped_for_all)]
