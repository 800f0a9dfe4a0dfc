"""Faults of the application's own code in a worker: a template's filter that raises, or exits."""

from __future__ import annotations

from pathlib import Path

from claimnotify.model.states import Reason
from tests.faults.fault import Fault
from tests.faults.poison import EXITS, MODE, POISON, RAISES
from tests.faults.world import World
from tests.waiting import until

__all__ = ["FAULTS"]

_HUNDRED = 100
_TEMPLATES = {"template_dir": str(Path(__file__).parents[1] / "fragile")}
_ALL_CRASHES = 180.0
_CRASHES = 3
"""How often it may at least kill its worker before it counts as poison."""


def renderer_raises(world: World) -> None:
    """One mail among a hundred cannot be rendered: it fails, and the others never hear of it."""
    world.once = True
    before = world.dice.randint(40, _HUNDRED - 1)
    world.accept(before)
    world.start_worker(extra={MODE: RAISES})
    world.strike(lambda: _accept_poison(world, Reason.TEMPLATE_ERROR))
    world.accept(_HUNDRED - 1 - before)


def renderer_exits(world: World) -> None:
    """One mail among a hundred ends every worker that renders it, until it counts as poison."""
    before = world.dice.randint(0, _HUNDRED - 1)
    world.accept(before)
    poison = _accept_poison(world, Reason.POISON)
    world.accept(_HUNDRED - 1 - before)

    def start() -> None:
        world.start_worker(extra={MODE: EXITS})

    for _ in range(2):  # when one has died, the other takes over meanwhile
        start()
    buried: set[int] = set()

    def over() -> bool:
        for worker in list(world.workers):
            if not worker.alive and worker.pid not in buried:
                buried.add(worker.pid)
                world.struck(start)
        return _ended(world, poison)

    until(over, "the poison has failed", seconds=_ALL_CRASHES)
    if len(buried) < _CRASHES:
        world.problems.append(f"it was given up after {len(buried)} crashes")


def _accept_poison(world: World, reason: Reason) -> str:
    """Accept the one whose mail breaks the filter, and must fail for `reason`; return its id."""
    poison = world.accept_one(POISON).id
    world.accepted.add(poison)
    world.broken_mails[poison] = reason
    return poison


def _ended(world: World, notification: str) -> bool:
    return not world.stack.count(
        f"notification_id = '{notification}' AND channel = 'email' AND finished_at IS NULL"
    )


FAULTS = [
    Fault(inject=renderer_raises, settings={**_TEMPLATES, "lease_seconds": "30"}),
    Fault(inject=renderer_exits, settings={**_TEMPLATES, "lease_seconds": "1.5"}),
]
