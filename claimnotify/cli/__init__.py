"""The command line, `claimnotify …`."""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line; an error of ours is one line on standard error and exit code 2."""
    from claimnotify.cli.commands import app
    from claimnotify.errors import ClaimnotifyError

    try:
        app()
    except ClaimnotifyError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
