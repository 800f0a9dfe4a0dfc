"""Runs a worker: `python -m claimnotify.worker`. The supervisor starts its children this way."""

from __future__ import annotations

import sys

from claimnotify.worker.command import main
from claimnotify.worker.ending import end_soon

if __name__ == "__main__":
    code = main(sys.argv[1:])
    end_soon(code)
    sys.exit(code)
