"""Child processes: started in sessions of their own, asked, timed by their CPU seconds, ended.

Linux only: CPU seconds are read from /proc, so that they can be had while a process runs.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

_HOME = Path(__file__).resolve().parents[1]
_TICK = os.sysconf("SC_CLK_TCK")
_STARTING = 30.0
_STOPPING = 30.0


class ChildFailed(RuntimeError):
    """A process of the benchmark ended, or did not answer in time."""


class Process:
    """A program that runs beside the benchmark. A context manager: at its end it is stopped.

    Args:
        command: Program and arguments.
        name: What it is called in messages and in its log's name.
        log: The folder for what it writes to standard error (and output, unless that is a pipe).
        env: Environment variables besides our own.
        piped: Whether we hold its standard input and output.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        name: str,
        log: Path,
        env: Mapping[str, str] | None = None,
        piped: bool = False,
    ) -> None:
        self.name = name
        self._log = log / f"{name}-{time.monotonic_ns()}.log"
        pipe = subprocess.PIPE if piped else None
        with self._log.open("wb") as written:
            # A session of its own, so that Ctrl-C reaches us alone and we end it in order.
            self._process = subprocess.Popen(
                command,
                stdin=pipe or subprocess.DEVNULL,
                stdout=pipe or written,
                stderr=written,
                env={**os.environ, **(env or {})},
                cwd=_HOME,  # `python -m` looks there first, and must not find another claimnotify
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    def cpu(self) -> float:
        """Return the CPU seconds that it and its descendants have used so far."""
        return cpu_seconds([self.pid])

    def wait_for_log(self, text: str, seconds: float = _STARTING) -> None:
        """Wait until `text` is in what it wrote.

        Raises:
            ChildFailed: It ended before, or did not write it in time.
        """
        self.wait_until(lambda: text in self._log.read_text(errors="replace"), seconds)

    def wait_until(self, condition: Callable[[], bool], seconds: float = _STARTING) -> None:
        """Wait until `condition` holds.

        Raises:
            ChildFailed: It ended before, or the condition did not hold in time.
        """
        ends = time.monotonic() + seconds
        while not condition():
            if self._process.poll() is not None:
                raise self.failed(f"ended with code {self._process.returncode}")
            if time.monotonic() > ends:
                raise self.failed(f"was not ready in {seconds:g} s")
            time.sleep(0.02)

    def failed(self, problem: str) -> ChildFailed:
        """Return an error with the last lines of the log."""
        lines = self._log.read_text(errors="replace").splitlines()[-15:]
        return ChildFailed("\n".join([f"{self.name} {problem}", *lines]))

    def stop(self, *, at_once: bool = False, seconds: float = _STOPPING) -> None:
        """End it: with SIGTERM and `seconds` to finish what it has in hand, or `at_once`, killed."""
        if self._process.poll() is None and not at_once:
            self._process.terminate()
            try:
                self._process.wait(seconds)
            except subprocess.TimeoutExpired:
                at_once = True
        self._kill_session()
        self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # After Ctrl-C nobody wants to wait until work in hand is finished.
        self.stop(at_once=kind is not None)

    def _kill_session(self) -> None:
        """Kill whatever is left of the session, such as the children of a pool."""
        with suppress(ProcessLookupError):  # it had ended, and its children with it
            os.killpg(self.pid, signal.SIGKILL)


class Child(Process):
    """A process of ours that answers commands; its side of it is `measuring.dialogue`."""

    def __init__(self, command: Sequence[str], **options: Any) -> None:
        super().__init__(command, **options, piped=True)
        self._unread = b""

    def ask(self, do: str, *, seconds: float = 120.0, **arguments: Any) -> Any:
        """Send a command and return the answer.

        Raises:
            ChildFailed: It ended, or did not answer within `seconds`.
        """
        self.tell(do, **arguments)
        return self.hear(seconds)

    def tell(self, do: str, **arguments: Any) -> None:
        """Send a command whose answer `hear` will return."""
        assert self._process.stdin is not None
        line = json.dumps({"do": do, **arguments}) + "\n"
        try:
            self._process.stdin.write(line.encode())
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self.failed("ended") from None

    def hear(self, seconds: float = 120.0) -> Any:
        """Return the answer to the command that was sent."""
        assert self._process.stdout is not None
        descriptor = self._process.stdout.fileno()
        ends = time.monotonic() + seconds
        while b"\n" not in self._unread:
            ready, _, _ = select.select([descriptor], [], [], max(0.0, ends - time.monotonic()))
            if not ready:
                raise self.failed(f"did not answer in {seconds:g} s")
            got = os.read(descriptor, 1 << 20)
            if not got:
                raise self.failed("ended without an answer")
            self._unread += got
        line, _, self._unread = self._unread.partition(b"\n")
        return json.loads(line)["answer"]

    def stop(self, *, at_once: bool = False, seconds: float = _STOPPING) -> None:
        """End it by closing its input; it has nothing in hand between commands."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):  # it had ended with a command unread
                    pipe.close()
        super().stop(at_once=at_once, seconds=seconds)


def cpu_seconds(roots: Iterable[int]) -> float:
    """Return the CPU seconds (user and system) that processes and their descendants have used.

    Descendants that have ended are counted if their parents waited for them.
    """
    parents: dict[int, int] = {}
    ticks: dict[int, int] = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            text = Path("/proc", entry, "stat").read_text(errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended meanwhile
        # proc(5): after the name in parentheses come state, ppid …; 14 to 17 are the four times.
        fields = text.rpartition(")")[2].split()
        parents[int(entry)] = int(fields[1])
        ticks[int(entry)] = sum(int(field) for field in fields[11:15])
    wanted = set(roots)
    missing = wanted - ticks.keys()
    if missing:
        raise ChildFailed(f"process {missing.pop()} has ended; its CPU seconds are not known")
    counted = 0
    for pid, used in ticks.items():
        above = pid
        while above not in wanted and above in parents:
            above = parents[above]
        if above in wanted:
            counted += used
    return counted / _TICK
