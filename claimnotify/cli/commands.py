"""Every command and group of commands; a group has a module of its own. Nothing heavy is loaded here."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from claimnotify.cli.application import AppOption, opened_notifier
from claimnotify.cli.database import database
from claimnotify.cli.deliveries import deliveries
from claimnotify.cli.endpoints import endpoints
from claimnotify.cli.events import events
from claimnotify.cli.listen import listen
from claimnotify.cli.output import say, show_table

__all__ = ["app"]

app = typer.Typer(
    help="Tell people and systems what happened.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(database, name="db")
app.add_typer(deliveries, name="deliveries")
app.add_typer(endpoints, name="endpoints")
app.add_typer(events, name="events")


@app.command()
def worker(
    app_path: AppOption = "",
    queues: Annotated[
        str, typer.Option(help="The queues to work on, separated by commas")
    ] = "notifications,processing,scheduled",
    workers: Annotated[int, typer.Option(help="How many processes")] = 1,
) -> None:
    """Deliver what is accepted, until SIGTERM or SIGINT."""
    from claimnotify.worker import run
    from claimnotify.worker.ending import end_soon

    code = run(app=app_path, queues=queues, workers=workers)
    end_soon(code)
    raise typer.Exit(code)


@app.command()
def status(app_path: AppOption = "") -> None:
    """Show what is waiting, deliveries and jobs, and why."""
    with opened_notifier(app_path) as notifier:
        counts = sorted(notifier.status().items())
        for name, where in notifier.describe().items():
            say(f"{name}: {where}")
        show_table(
            ("queue", "status", "reason", "count"), [(*kind, count) for kind, count in counts]
        )


@app.command()
def demo(
    directory: Annotated[
        Path, typer.Option(help="Where to write: a folder that is new, empty or an earlier demo's")
    ] = Path(".demo"),
) -> None:
    """Run two claims through their life, with every service embedded."""
    from claimnotify.cli.demo import run_demo

    raise typer.Exit(run_demo(directory))


app.command()(listen)
