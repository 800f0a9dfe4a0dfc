"""The commands; each is a few lines over `Notifier` or the worker."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from claimnotify.cli.output import say, show_table
from claimnotify.cli.replaying import expunge, replay, say_delivery
from claimnotify.errors import ConfigurationError, NotFound
from claimnotify.notifier import Notifier

__all__ = ["app"]

app = typer.Typer(
    help="Tell people and systems what happened.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
db = typer.Typer(help="The database's schema.", no_args_is_help=True)
deliveries = typer.Typer(help="What was accepted and what became of it.", no_args_is_help=True)
app.add_typer(db, name="db")
app.add_typer(deliveries, name="deliveries")

_App = Annotated[
    str, typer.Option("--app", envvar="CLAIMNOTIFY_APP", help="module:attribute of the notifier")
]


@contextmanager
def _notifier(app_path: str) -> Iterator[Notifier]:
    from claimnotify.worker.app import load_notifier

    notifier = load_notifier(app_path)
    if not isinstance(notifier, Notifier):
        raise ConfigurationError("app", f"{app_path} is no Notifier", "Name one.")
    try:
        yield notifier
    finally:
        notifier.close()


@app.command()
def worker(
    app_path: _App = "",
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


@db.command()
def upgrade(app_path: _App = "") -> None:
    """Create or migrate the tables; safe to run from several machines at once."""
    with _notifier(app_path) as notifier:
        notifier.upgrade()
        say(f"up to date: {notifier.describe()['database']}")


@app.command()
def status(app_path: _App = "") -> None:
    """Show what is waiting, deliveries and jobs, and why."""
    with _notifier(app_path) as notifier:
        counts = sorted(notifier.status().items())
        for name, where in notifier.describe().items():
            say(f"{name}: {where}")
        show_table(
            ("queue", "status", "reason", "count"), [(*kind, count) for kind, count in counts]
        )


@deliveries.command("list")
def list_deliveries(
    app_path: _App = "",
    recipient: Annotated[str, typer.Option(help="A recipient's or owner's id")] = "",
    subject: Annotated[str, typer.Option(help="The id of what it is about")] = "",
    limit: Annotated[int, typer.Option(help="At most how many notifications")] = 20,
) -> None:
    """List the newest deliveries."""
    with _notifier(app_path) as notifier:
        for each in notifier.history(
            recipient=recipient or None, subject=subject or None, limit=limit
        ):
            about = f"{each.event_type} for {each.owner}"
            say(f"{each.id}  {each.created_at:%Y-%m-%d %H:%M:%S}  {about}")
            for delivery in each.deliveries:
                tries = f"{delivery.attempts} attempts"
                say(f"  {delivery.channel}: {delivery.status} ({delivery.reason}), {tries}")


@deliveries.command()
def show(notification_id: str, app_path: _App = "") -> None:
    """Show one notification with every attempt."""
    with _notifier(app_path) as notifier:
        found = notifier.history(notification_id=notification_id)
        if not found:
            raise NotFound(
                "notification_id",
                f"there is no notification {notification_id} in this tenant",
                "See: claimnotify deliveries list",
            )
        for notification in found:
            say(f"{notification.event_type} for {notification.owner}")
            for each in notification.deliveries:
                say_delivery(each)


deliveries.command()(replay)
deliveries.command()(expunge)


@app.command()
def demo(
    directory: Annotated[
        Path, typer.Option(help="Where to write: a folder that is new, empty or an earlier demo's")
    ] = Path(".demo"),
) -> None:
    """Run two claims through their life, with every service embedded."""
    from claimnotify.cli.demo import run_demo

    raise typer.Exit(run_demo(directory))
