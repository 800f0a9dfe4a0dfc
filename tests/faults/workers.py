"""Real worker processes: started with settings in their environment, killed, stopped, frozen."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.waiting import until

__all__ = ["ROOT", "Worker", "environment"]

ROOT = Path(__file__).parents[2]
_APP = "tests.faults.application:make_notifier"
_READY = "worker ready"
_START_LIMIT = 30.0
_STOP_LIMIT = 20.0


def environment(settings: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a process of the application that has these settings."""
    own = {f"CLAIMNOTIFY_{name.upper()}": text for name, text in settings.items()}
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    return {**os.environ, "PYTHONPATH": path, **own}


class Worker:
    """One `python -m claimnotify.worker`.

    Args:
        settings: The application's settings.
        log: The file that what it says is written to.
        extra: Further variables of its environment.
    """

    def __init__(
        self, settings: Mapping[str, str], log: Path, extra: Mapping[str, str] | None = None
    ) -> None:
        self._log = log
        with log.open("wb") as file:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "claimnotify.worker", "--queues", "notifications"],
                env={**environment({"app": _APP, **settings}), **(extra or {})},
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
            )

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._process.poll() is None

    @property
    def said(self) -> str:
        """What is in its log."""
        return self._log.read_text("utf-8", "replace")

    def ready(self) -> None:
        """Wait until it listens."""
        until(
            lambda: _READY in self.said or not self.alive,
            "the worker is ready",
            seconds=_START_LIMIT,
        )

    def kill(self) -> None:
        """End it with SIGKILL."""
        self._process.kill()
        self._process.wait()

    def freeze(self) -> None:
        """Stop it with SIGSTOP: it keeps all it has, and does nothing."""
        self._process.send_signal(signal.SIGSTOP)
        state = Path(f"/proc/{self.pid}/stat")
        until(
            lambda: state.read_text().rpartition(")")[2].split()[0] == "T",
            "it is stopped",
            seconds=5.0,
        )

    def thaw(self) -> None:
        """Let it go on after `freeze`."""
        self._process.send_signal(signal.SIGCONT)

    def stop(self) -> int:
        """Ask it to stop, and return its exit code; one that does not stop in time is killed."""
        if not self.alive:
            return self._process.wait()
        listened = _READY in self.said
        self._process.terminate()
        try:
            code = self._process.wait(_STOP_LIMIT)
            return 0 if code == -signal.SIGTERM and not listened else code
        except subprocess.TimeoutExpired:
            self.kill()
            return self._process.wait()
