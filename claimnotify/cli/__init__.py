"""The command line, `claimnotify …`."""

from __future__ import annotations

import os
import re
import sys

__all__ = ["main"]

_INTERRUPTED = 130
_SECRET = re.compile(r"\b(whsec_|whsk_)\S+")


def main() -> None:
    """Run the command line; an error of ours or of usage is one line on standard error and exit code 2."""
    import typer

    from claimnotify.cli.commands import app
    from claimnotify.cli.output import say_error
    from claimnotify.errors import ClaimnotifyError

    try:
        code = app(prog_name="claimnotify", standalone_mode=False)
    except ClaimnotifyError as error:
        say_error(error)
        code = 2
    except typer.Abort:
        code = _INTERRUPTED
    except BrokenPipeError:
        # Nobody reads on, as after `| head`. What is still to be written must not fail at the exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    except Exception as error:
        # Typer has a Click of its own, or uses the one installed; this is what their errors share.
        message = getattr(error, "format_message", None)
        if message is None:
            raise
        _say_usage(" ".join(message().split()), getattr(error, "ctx", None))
        code = 2
    sys.exit(code)


def _say_usage(problem: str, context: object) -> None:
    """Say what is wrong with the arguments; nothing if there were none, for then help was shown."""
    from claimnotify.cli.output import say_error

    if not problem:
        return
    if "unexpected extra argument" in problem:
        problem = "there are more arguments than the command takes"  # and they may be secrets
    path = getattr(context, "command_path", "claimnotify")
    # The problem repeats what was typed, and that may be a secret without its option.
    shown = _SECRET.sub(r"\1…", problem.rstrip("."))
    say_error(f"{shown}. See: {path} --help")
