"""Faults of those we send to: mail servers that fall silent, webhook receivers that mean harm."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from tests.faults.fault import Fault
from tests.faults.hostile import HostileReceiver, Misdeed
from tests.faults.workers import Worker
from tests.faults.world import World
from tests.waiting import until

__all__ = ["FAULTS"]

_VERBS = ("CONNECT", "EHLO", "MAIL", "RCPT", "DATA", "BODY", "ACCEPTED")
"""Where the server falls silent; at the last one it has kept the mail."""
_MOST_MEMORY = 100 * 1024
"""Kilobytes by which a worker's memory may grow over answers that inflate to much more."""


def smtp_hangs(world: World) -> None:
    """The mail server gives no answer, at each verb once."""
    world.accept(world.dice.randint(40, 70))
    world.start_worker()
    verbs = list(_VERBS)
    world.dice.shuffle(verbs)
    for verb in verbs:
        with world.accepting(world.dice.randint(4, 10)):
            before = world.smtp.verbs[verb]
            world.strike(partial(world.smtp.hang, verb), within=0.05)
        if verb not in ("CONNECT", "EHLO"):  # those come when another has cost a connection
            until(partial(_made, world, verb, before + 1), f"a {verb} was made", seconds=10.0)
    world.settle(within=30.0)
    if not _failures(world, "email"):
        world.problems.append("no attempt met a silent server")


def webhook_slow_loris(world: World) -> None:
    """Receivers answer a byte at a time, without end."""
    _misbehave(world, ["slow_loris"])


def webhook_reset(world: World) -> None:
    """Receivers reset the connection, before the answer and in the middle of it."""
    _misbehave(world, ["reset", "reset_in_answer"])


def webhook_gzip_bomb(world: World) -> None:
    """Receivers answer with a megabyte that inflates to a quarter of a gigabyte."""
    _misbehave(world, ["gzip_bomb"])


def _misbehave(world: World, misdeeds: list[Misdeed]) -> None:
    with HostileReceiver() as hostile:
        world.send_webhooks_to(hostile)
        world.accept(world.dice.randint(40, 70))
        worker = world.start_worker()
        worker.ready()
        memory = _peak(worker)
        strikes = world.dice.randint(4, 9)
        for _ in range(strikes):
            with world.accepting(world.dice.randint(5, 10)):
                misdeed = world.dice.choice(misdeeds)
                world.strike(partial(hostile.misbehave, misdeed), within=0.05)
        world.settle(within=30.0)
        if hostile.done != strikes:
            world.problems.append(f"{hostile.done} of {strikes} misdeeds were done")
        grown = _peak(worker) - memory
        if grown > _MOST_MEMORY:
            world.problems.append(f"the worker's memory grew by {grown // 1024} MB")


def _made(world: World, verb: str, count: int) -> bool:
    return world.smtp.verbs[verb] >= count


def _failures(world: World, channel: str) -> int:
    return sum(
        attempt.outcome in ("transient", "unknown")
        for note in world.history()
        for delivery in note.deliveries
        if delivery.channel == channel
        for attempt in delivery.history
    )


def _peak(worker: Worker) -> int:
    """Return the most memory the worker has had so far, in kilobytes."""
    lines = Path(f"/proc/{worker.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


FAULTS = [
    Fault(inject=smtp_hangs),
    Fault(inject=webhook_slow_loris),
    Fault(inject=webhook_reset),
    Fault(inject=webhook_gzip_bomb),
]
