"""Faults of processes: workers and acceptors that are killed, a worker that is frozen."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta

from tests.faults.fault import Fault
from tests.faults.workers import ROOT, environment
from tests.faults.world import World
from tests.waiting import NotInTime, pause, until

__all__ = ["FAULTS"]

_HELD = timedelta(seconds=0.3)
_FIRST = 1_000
"""Where the numbers of the process that is killed begin."""
_FREEZING = 20.0
_TAKE_OVER = 20.0
"""Seconds for another worker to take over all that a frozen one had."""


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
    """SIGKILL of a process that accepts, anywhere: before, in and after a commit.

    Ids that it told of are accepted. What it was at may be or not; as an application would after a
    restart, the same keys are given again, and each must end as one notification.
    """
    world.receiver.delay = _HELD
    world.start_worker().ready()
    with _acceptor(world, _FIRST) as acceptor:
        told = [_line(acceptor) for _ in range(world.dice.randint(20, 80))]
        pause(world.dice.uniform(0.0, 0.02))
        world.struck(acceptor.kill)
        _check_what_it_told(world, _FIRST, told, acceptor)


def acceptor_killed_before_ring(world: World) -> None:
    """SIGKILL in the gap between a commit and its ring; nobody rings until it was delivered."""
    world.receiver.delay = _HELD
    world.start_worker().ready()
    with _acceptor(world, _FIRST, world.dice.randint(1, 40)) as acceptor:
        world.struck(acceptor.wait)
        _check_what_it_told(world, _FIRST, [], acceptor)
    # And once more when the workers are idle: nothing but a look of their own can wake them.
    with _acceptor(world, 2 * _FIRST, 1, busy=False) as acceptor:
        world.struck(acceptor.wait)
        _check_what_it_told(world, 2 * _FIRST, [], acceptor)


@contextmanager
def _acceptor(world: World, *numbers: int, busy: bool = True) -> Iterator[subprocess.Popen[str]]:
    """Start a process that accepts; it begins when deliveries are in flight, or else when none is."""
    acceptor = subprocess.Popen(
        [sys.executable, "-m", "tests.faults.acceptor", *map(str, numbers)],
        env=environment(world.settings),
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with acceptor:
        try:
            _line(acceptor)
            if busy:
                world.accept(world.dice.randint(20, 50))
                world.await_flight()
            else:
                world.settle(within=20.0)
            assert acceptor.stdin is not None
            acceptor.stdin.write("begin\n")
            acceptor.stdin.flush()
            yield acceptor
        finally:
            acceptor.kill()


def _line(acceptor: subprocess.Popen[str]) -> str:
    assert acceptor.stdout is not None
    return acceptor.stdout.readline()


def _check_what_it_told(
    world: World, first: int, told: list[str], acceptor: subprocess.Popen[str]
) -> None:
    assert acceptor.stdout is not None
    told = [*told, *acceptor.stdout.readlines()]
    # The pipe may end in the middle of a line, which then told nothing.
    ids = [line.strip() for line in told if line.endswith("\n")]
    world.accepted.update(ids)
    world.settle(within=20.0)
    repeated = [world.accept_one(first + number).id for number in range(len(ids) + 1)]
    if repeated[:-1] != ids:
        world.problems.append("a key that was told of gave another notification")
    world.accepted.add(repeated[-1])


def worker_frozen(world: World) -> None:
    """SIGSTOP past the lease, while another takes over; SIGCONT: it must overwrite nothing."""
    world.receiver.delay = _HELD
    world.accept(world.dice.randint(60, 100))
    frozen = world.start_worker()

    def freeze() -> None:
        frozen.freeze()
        ends = time.monotonic() + _FREEZING
        while world.stack.in_transaction():  # then nobody could take over, which shows nothing
            if time.monotonic() > ends:
                raise NotInTime(f"in a transaction all the time, for {_FREEZING:g} s")
            frozen.thaw()
            pause(world.dice.uniform(0.0, 0.02))
            frozen.freeze()

    world.strike(freeze, within=0.5)
    world.receiver.delay = timedelta(0)
    other = world.start_worker()
    with world.accepting(world.dice.randint(10, 30)):
        other.ready()
        try:
            until(lambda: not world.unfinished, "the other has taken over", seconds=_TAKE_OVER)
        finally:
            before = _ended(world)
            frozen.thaw()
    with suppress(NotInTime):  # if it had sent nothing, it has nothing to be late with
        until(lambda: "taken over by another worker" in frozen.said, "it notices", seconds=1.0)
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
    Fault(inject=acceptor_killed_before_ring),
    Fault(inject=worker_frozen),
]
