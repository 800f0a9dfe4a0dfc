"""The worker's command: checks its options and runs one worker here, or several supervised."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Collection, Sequence

from claimnotify.errors import ClaimnotifyError, ConfigurationError
from claimnotify.model.queues import QUEUES
from claimnotify.model.texts import printable
from claimnotify.worker.app import load_notifier
from claimnotify.worker.process import WorkerProcess, force_utc
from claimnotify.worker.supervisor import (
    CHILD_MISCONFIGURED,
    MISCONFIGURED,
    MOST_WORKERS,
    Supervisor,
)

__all__ = ["main", "run"]

_STDIN = 0


def run(
    *,
    app: str = "",
    queues: str | Collection[str] = QUEUES,
    workers: int = 1,
    supervised: bool = False,
) -> int:
    """Run workers until a signal asks to stop; return the exit code.

    Args:
        app: `module:attribute` of the application's notifier; empty for CLAIMNOTIFY_APP, and where
            that is empty too for a notifier made from the settings.
        queues: The queues to work on, as names or separated by commas.
        workers: How many processes, 256 at most. One runs in this process.
        supervised: Whether standard input is a supervisor's pipe; stop when it breaks.

    Returns:
        0 after an orderly stop.

    Raises:
        ClaimnotifyError: If an option or the configuration is wrong, or the database cannot be
            used. With several workers they say so themselves, and the exit code is 2.
    """
    chosen = _chosen(queues)
    if not 1 <= workers <= MOST_WORKERS:
        raise ConfigurationError(
            "workers",
            f"is {workers}",
            f"Give 1 to {MOST_WORKERS}; begin with one for each processor core.",
        )
    force_utc()
    if workers > 1:
        return Supervisor(
            workers, ["--app", app, "--queues", ",".join(chosen), "--supervised"]
        ).run()
    notifier = load_notifier(app or os.environ.get("CLAIMNOTIFY_APP", ""))
    try:
        worker = WorkerProcess(notifier, queues=chosen, parent=_STDIN if supervised else None)
    except ClaimnotifyError:
        notifier.close()
        raise
    return worker.run()


def main(argv: Sequence[str]) -> int:
    """Run the command with these arguments; errors go to standard error."""
    parser = argparse.ArgumentParser(
        prog="python -m claimnotify.worker",
        description="Deliver what is due, until SIGTERM or SIGINT.",
    )
    parser.add_argument("--app", default="", help="module:attribute of the application's notifier")
    parser.add_argument(
        "--queues", default=",".join(QUEUES), help="separated by commas (default: %(default)s)"
    )
    parser.add_argument("--workers", type=int, default=1, help="processes (default: %(default)s)")
    parser.add_argument("--supervised", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    try:
        return run(**vars(options))
    except ClaimnotifyError as error:
        sys.stderr.write(f"claimnotify worker: {printable(error)}\n")
        if not isinstance(error, ConfigurationError):
            return 1
        return CHILD_MISCONFIGURED if options.supervised else MISCONFIGURED
    except KeyboardInterrupt:  # before the worker had begun
        return 128 + signal.SIGINT


def _chosen(queues: str | Collection[str]) -> tuple[str, ...]:
    names = queues.split(",") if isinstance(queues, str) else queues
    chosen = tuple(dict.fromkeys(name.strip() for name in names if name.strip()))
    unknown = sorted(set(chosen) - set(QUEUES))
    if unknown or not chosen:
        problem = f"there is no queue {unknown[0]!r}" if unknown else "is empty"
        raise ConfigurationError("queues", problem, f"Choose from {', '.join(QUEUES)}.")
    return chosen
