"""Faults of processes: workers and acceptors that are killed, a worker that is frozen."""

from __future__ import annotations

import subprocess
import sys
from contextlib import suppress
from datetime import timedelta

from tests.faults.fault import Fault
from tests.faults.waiting import NotInTime, pause, until
from tests.faults.workers import ROOT, environment
from tests.faults.world import World

__all__ = ["FAULTS"]

_HELD = timedelta(seconds=0.3)
_RATHER_LONG = 6.0
"""Seconds for another worker to take over all that a frozen one had, unless it froze holding a lock."""


def worker_killed_before_send(world: World) -> None:
    """SIGKILL when deliveries are leased and the receiver has not answered."""
    world.accept(world.dice.randint(40, 80))
    for _ in range(world.dice.randint(1, 3)):
        world.receiver.delay = _HELD
        worker = world.start_worker()
        with world.accepting(world.dice.randint(10, 25)):
            world.strike(worker.kill, within=0.2)
    world.receiver.delay = timedelta(0)


def worker_killed_after_send(world: World) -> None:
    """SIGKILL at the moment a receiver takes a webhook: it is answered, and the outcome is not recorded."""
    world.receiver.delay = timedelta(seconds=0.03)
    world.accept(world.dice.randint(40, 80))
    for _ in range(world.dice.randint(1, 3)):
        worker = world.start_worker()
        with world.accepting(world.dice.randint(10, 25)):
            so_far = len(world.receiver.received)
            world.receiver.wait_for(so_far + world.dice.randint(1, 15), 30.0)
            world.struck(worker.kill)


def acceptor_killed(world: World) -> None:
    """SIGKILL of a process that accepts, anywhere: before, in and after the commit, before the ring.

    Ids that it told of are accepted. What it was at may be or not; as an application would after a
    restart, the same keys are given again, and each must end as one notification.
    """
    world.receiver.delay = _HELD
    world.start_worker().ready()
    first = 1_000
    for _ in range(2):
        command = [sys.executable, "-m", "tests.faults.acceptor", str(first)]
        process = subprocess.Popen(
            command, env=environment(world.settings), cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        told = [process.stdout.readline() for _ in range(world.dice.randint(25, 60))]
        pause(world.dice.uniform(0.0, 0.02))
        world.struck(process.kill)
        told += process.stdout.readlines()
        process.wait()
        # The pipe may end in the middle of a line, which then told nothing.
        ids = [line.strip() for line in told if line.endswith("\n")]
        world.accepted.update(ids)
        repeated = [world.accept_one(first + number).id for number in range(len(ids) + 1)]
        if repeated[:-1] != ids:
            world.problems.append("a key that was told of gave another notification")
        world.accepted.add(repeated[-1])
        first += 1_000
    world.receiver.delay = timedelta(0)


def worker_frozen(world: World) -> None:
    """SIGSTOP past the lease, while another takes over; SIGCONT: it must overwrite nothing."""
    world.receiver.delay = _HELD
    world.accept(world.dice.randint(60, 100))
    frozen = world.start_worker()
    world.strike(frozen.freeze, within=0.5)
    world.receiver.delay = timedelta(0)
    other = world.start_worker()
    with world.accepting(world.dice.randint(10, 30)):
        other.ready()
        # If it froze in the middle of a write, SQLite lets nobody else write until it goes on.
        with suppress(NotInTime):
            until(lambda: not world.unfinished, _RATHER_LONG, "the other has taken over")
        before = _ended(world)
        frozen.thaw()
    with suppress(NotInTime):  # if it had sent nothing, it has nothing to be late with
        until(lambda: "taken over by another worker" in frozen.said, 1.0, "it notices")
    code = frozen.stop()
    if code:
        world.problems.append(f"the worker that was frozen stopped with code {code}")
    after = _ended(world)
    changed = [key for key, row in before.items() if after.get(key) != row]
    if changed:
        world.problems.append(
            f"{len(changed)} rows that had ended were overwritten: {changed[0]} …"
        )


def _ended(world: World) -> dict[str, tuple[object, ...]]:
    """Return the rows that have come to their end."""
    rows = world.stack.rows(
        "SELECT id, status, reason, attempts, leases, finished_at, lease_token, provider_id"
        " FROM claimnotify_deliveries WHERE finished_at IS NOT NULL"
    )
    return {row[0]: tuple(row[1:]) for row in rows}


FAULTS = [
    Fault(inject=worker_killed_before_send),
    Fault(inject=worker_killed_after_send),
    Fault(inject=acceptor_killed),
    Fault(inject=worker_frozen),
]
