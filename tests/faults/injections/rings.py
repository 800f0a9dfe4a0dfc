"""A fault between commit and ring: nobody is told of what was accepted, and it is delivered all the same."""

from __future__ import annotations

import signal
import subprocess
import sys
from datetime import timedelta

from tests.faults.fault import Fault
from tests.faults.workers import ROOT, environment
from tests.faults.world import World
from tests.waiting import until

__all__ = ["FAULTS"]

_FIRST = 5_000
_SOON = 10.0
"""Seconds in which a worker must find by itself what nobody rang for; it looks every second."""


def acceptor_killed_before_ring(world: World) -> None:
    """SIGKILL when the commit has returned and the ring is about to go; earlier rings are lost too.

    The worker is idle before, and nothing rings after it, so that one which only listens for rings
    finds nothing. What is in flight here are the deliveries that nobody was told of.
    """
    count = world.dice.randint(5, 20)
    world.receiver.delay = timedelta(seconds=0.4)
    world.start_worker().ready()
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.faults.unrung", str(_FIRST), str(count)],
        env=environment(world.settings),
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    orders, answers = process.stdin, process.stdout
    told: list[str] = []

    def accept_and_die() -> None:
        orders.write("go\n")
        orders.close()
        told.extend(line.strip() for line in answers)
        process.wait(30)

    try:
        answers.readline()
        world.accept(world.dice.randint(20, 40))
        until(lambda: not world.unfinished, "the worker is idle", seconds=_SOON)
        accept_and_die()
        world.strikes += 1
        world.in_flight += world.unfinished > 0
    finally:
        process.kill()
        process.wait()
        answers.close()
    if process.returncode != -signal.SIGKILL:
        world.problems.append(f"the acceptor ended with code {process.returncode}")
    world.settle(within=_SOON)
    world.accepted.update(told)
    # Given again, each key tells which notification it was; the last was committed, and not told of.
    repeated = [world.accept_one(_FIRST + number) for number in range(count)]
    world.accepted.update(each.id for each in repeated)
    if not all(each.replayed for each in repeated):
        world.problems.append("a key whose commit had returned was not known")
    if [each.id for each in repeated[:-1]] != told:
        world.problems.append("a key that was told of gave another notification")


FAULTS = [Fault(inject=acceptor_killed_before_ring)]
