"""Faults of the queue: it forgets, it is down, it rings a hundred times."""

from __future__ import annotations

from tests.faults.fault import SERVERS, Fault
from tests.faults.world import World
from tests.waiting import pause

__all__ = ["FAULTS"]

_RINGS = 100


def redis_flushed(world: World) -> None:
    """FLUSHALL: every ring that was on its way is gone."""
    assert world.stack.redis is not None
    world.accept(world.dice.randint(40, 70))
    world.start_worker()
    for _ in range(world.dice.randint(2, 5)):
        with world.accepting(world.dice.randint(10, 20)):
            world.strike(world.stack.redis.flush)


def redis_down(world: World) -> None:
    """Redis is killed and stays away until all is delivered, or comes back empty before that."""
    assert world.stack.redis is not None
    world.accept(world.dice.randint(40, 70))
    world.start_worker()
    with world.accepting(world.dice.randint(10, 20)):
        world.strike(world.stack.redis.kill)
    if world.dice.random() < 0.5:
        pause(world.dice.uniform(0.0, 1.5))
        world.stack.redis.start()
        with world.accepting(world.dice.randint(10, 20)):
            world.strike(world.stack.redis.kill)
    world.settle(within=20.0)
    world.accept(5)  # which an idle worker finds by itself
    world.settle(within=20.0)
    world.stack.redis.start()


def two_consumers_hundred_rings(world: World) -> None:
    """Two workers, and far more rings than there is work: nothing is delivered twice."""
    world.once = True
    world.accept(world.dice.randint(30, 60))
    for _ in range(2):
        world.start_worker()

    def ring() -> None:
        for _ in range(_RINGS):
            world.notifier.dispatcher.ring("notifications")

    for _ in range(2):
        with world.accepting(world.dice.randint(15, 30)):
            world.strike(ring)


FAULTS = [
    Fault(inject=redis_flushed, stacks=SERVERS, why="SQLite's queue is a file"),
    Fault(inject=redis_down, stacks=SERVERS, why="SQLite's queue is a file"),
    # So long a lease that none runs out on a machine that is busy with something else.
    Fault(inject=two_consumers_hundred_rings, settings={"lease_seconds": "30"}),
]
