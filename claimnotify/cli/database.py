"""`claimnotify db …`: the database's schema, and what is encrypted in it."""

from __future__ import annotations

import typer

from claimnotify.cli.application import AppOption, opened_notifier
from claimnotify.cli.output import say

__all__ = ["database"]

database = typer.Typer(help="The database's schema.", no_args_is_help=True)


@database.command()
def upgrade(app_path: AppOption = "") -> None:
    """Create or migrate the tables; safe to run from several machines at once."""
    with opened_notifier(app_path) as notifier:
        notifier.upgrade()
        say(f"up to date: {notifier.describe()['database']}")


@database.command()
def reencrypt(app_path: AppOption = "") -> None:
    """Encrypt what is stored encrypted anew under the first of the secret keys, of all tenants."""
    with opened_notifier(app_path) as notifier:
        done = notifier.reencrypt()
        say(f"encrypted anew: {done.changed}, unreadable: {done.unreadable}")
        raise typer.Exit(1 if done.unreadable else 0)
