"""Runs a worker: `python -m claimnotify.worker`. The supervisor starts its children this way."""

from __future__ import annotations

import sys

from claimnotify.worker.command import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
