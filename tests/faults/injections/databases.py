"""Faults of databases: connections that are dropped or half open, a lock that stays, a full disk."""

from __future__ import annotations

import resource
import subprocess
import sys
from datetime import timedelta

from sqlalchemy import make_url

from tests.faults.disk import may_be_full
from tests.faults.fault import SERVERS, Fault
from tests.faults.proxy import Proxy
from tests.faults.world import World
from tests.waiting import pause, until

__all__ = ["FAULTS"]

_LOCKED_SECONDS = 7
_NOTICED = 10.0
_FIRST_PAGES = 16_384
_LOCK = """
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=20)
sys.stdin.readline()
connection.execute("BEGIN EXCLUSIVE")
print("locked", flush=True)
time.sleep(float(sys.argv[2]))
connection.execute("COMMIT")
"""


def connections_dropped(world: World) -> None:
    """The server ends every connection, the acceptor's too: `pg_terminate_backend`, `KILL`."""
    world.accept(world.dice.randint(40, 70))
    world.start_worker()
    for _ in range(world.dice.randint(2, 4)):
        with world.accepting(world.dice.randint(10, 20)):
            world.strike(world.stack.drop_connections, within=0.15)


def connections_half_open(world: World) -> None:
    """A worker's connections carry nothing any more and do not close; past its lease they are reset."""
    url = make_url(world.stack.url)
    assert url.host is not None
    assert url.port is not None
    world.receiver.delay = timedelta(seconds=0.1)
    world.accept(world.dice.randint(50, 90))
    with Proxy(url.host, url.port) as proxy:
        through = url.set(host="127.0.0.1", port=proxy.port).render_as_string(hide_password=False)
        worker = world.start_worker({"database_url": through})
        world.strike(proxy.stall, within=0.15)
        world.start_worker()
        with world.accepting(world.dice.randint(10, 30)):
            pause(world.dice.uniform(2.2, 3.2))
        proxy.reset()
        world.settle(within=20.0)
        if code := worker.stop():
            world.problems.append(f"the worker behind the proxy stopped with code {code}")


def sqlite_locked(world: World) -> None:
    """Another process holds `BEGIN EXCLUSIVE` for longer than writers wait."""
    database = make_url(world.stack.url).database or ""
    holder = subprocess.Popen(
        [sys.executable, "-c", _LOCK, database, str(_LOCKED_SECONDS)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdin is not None
    assert holder.stdout is not None
    orders, answers = holder.stdin, holder.stdout

    def lock() -> None:
        orders.write("lock\n")
        orders.flush()
        answers.readline()

    try:
        world.receiver.delay = timedelta(seconds=0.1)
        world.accept(world.dice.randint(50, 90))
        world.start_worker()
        with world.accepting(world.dice.randint(10, 30)):
            world.strike(lock, within=0.05)
    finally:
        holder.communicate(timeout=30)
    if holder.returncode:
        world.problems.append("the lock was not held")


def disk_full(world: World) -> None:
    """SQLite may take no further page, in any process, for a while: "database or disk is full"."""
    flag = world.stack.folder / "disk-is-full"
    world.receiver.delay = timedelta(seconds=0.1)
    with may_be_full(flag):
        world.accept(world.dice.randint(50, 90))
        world.start_worker()
        world.strike(flag.touch, within=0.1)
        with world.accepting(world.dice.randint(10, 20)):
            until(
                lambda: "is full" in world.logged, "the worker meets a full disk", seconds=_NOTICED
            )
            until(
                lambda: "is full" in "".join(world.refusals),
                "so does the acceptor",
                seconds=_NOTICED,
            )
            pause(world.dice.uniform(0.0, 2.0))
            flag.unlink()
        world.settle(within=20.0)


def file_writes_refused(world: World) -> None:
    """The kernel refuses the worker every write beyond a file's first pages: RLIMIT_FSIZE."""
    world.receiver.delay = timedelta(seconds=0.1)
    world.accept(world.dice.randint(50, 90))
    worker = world.start_worker()

    def limit(size: int) -> None:
        resource.prlimit(worker.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    with world.accepting(world.dice.randint(5, 15)):
        world.strike(lambda: limit(_FIRST_PAGES), within=0.1)
        try:
            until(lambda: "disk I/O error" in world.logged, "a write is refused", seconds=_NOTICED)
            pause(world.dice.uniform(0.0, 2.0))
        finally:
            limit(resource.RLIM_INFINITY)


_SQLITE = ("sqlite",)
FAULTS = [
    Fault(inject=connections_dropped, stacks=SERVERS, why="SQLite has no connections"),
    Fault(inject=connections_half_open, stacks=SERVERS, why="SQLite has no connections"),
    Fault(inject=sqlite_locked, stacks=_SQLITE),
    Fault(
        inject=disk_full,
        stacks=_SQLITE,
        why="a server's disk is not ours to fill: it takes a file system of its own, mounted by root",
    ),
    Fault(inject=file_writes_refused, stacks=_SQLITE, why="a server writes its files itself"),
]
