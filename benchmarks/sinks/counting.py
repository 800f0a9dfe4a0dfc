"""What every sink does: count distinct ids, note arrivals, obey commands from standard input."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any


class Counted:
    """What has come in since the last reset."""

    def __init__(self) -> None:
        self.changed = asyncio.Event()
        self.reset()

    def reset(self, *, delay: float = 0.0, arrivals: bool = False) -> None:
        """Forget everything; answer after `delay` seconds; note `arrivals` by number if asked."""
        self.delay = delay
        self.ids: set[bytes] = set()
        self.requests = 0
        self.first = self.last = 0.0
        self.arrivals: dict[int, float] | None = {} if arrivals else None

    def take(self, identity: bytes, number: int | None = None) -> None:
        """Count one. Times are those of the monotonic clock, which processes share."""
        now = time.monotonic()
        if not self.requests:
            self.first = now
        self.last = now
        self.requests += 1
        self.ids.add(identity)
        if self.arrivals is not None and number is not None:
            self.arrivals.setdefault(number, now)
        self.changed.set()

    def summary(self) -> dict[str, Any]:
        """Return the counts and the times of the first and the last."""
        return {
            "distinct": len(self.ids),
            "requests": self.requests,
            "first": self.first,
            "last": self.last,
        }

    async def wait(self, *, distinct: int, at_most: float) -> dict[str, Any]:
        """Return the summary when so many distinct ids are in, or after `at_most` seconds."""
        ends = time.monotonic() + at_most
        while len(self.ids) < distinct and (left := ends - time.monotonic()) > 0:
            self.changed.clear()
            try:
                await asyncio.wait_for(self.changed.wait(), left)
            except TimeoutError:
                break
        return self.summary()


async def obey(counted: Counted, *, port: int) -> None:
    """Answer the commands of `measuring.processes.Child` until standard input ends."""
    commands = asyncio.StreamReader(limit=1 << 20)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    while line := await commands.readline():
        command = json.loads(line)
        reply: Any = None
        match command.pop("do"):
            case "port":
                reply = port
            case "reset":
                counted.reset(**command)
            case "wait":
                reply = await counted.wait(**command)
            case "count":
                reply = counted.summary()
            case "arrivals":
                reply = list((counted.arrivals or {}).items())
        sys.stdout.write(json.dumps({"answer": reply}) + "\n")
        sys.stdout.flush()
