"""The worker process: one in this process, or several supervised ones. Used by the command line."""

from claimnotify.worker.app import load_notifier
from claimnotify.worker.command import main, run
from claimnotify.worker.process import WorkerNotifier, WorkerProcess
from claimnotify.worker.supervisor import Supervisor

__all__ = ["Supervisor", "WorkerNotifier", "WorkerProcess", "load_notifier", "main", "run"]
