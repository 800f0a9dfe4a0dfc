"""`claimnotify deliveries …`: what was accepted and what became of it."""

from __future__ import annotations

from typing import Annotated

import typer

from claimnotify.cli.application import AppOption, opened_notifier
from claimnotify.cli.output import say
from claimnotify.cli.replaying import expunge, replay, say_delivery
from claimnotify.errors import NotFound

__all__ = ["deliveries"]

deliveries = typer.Typer(help="What was accepted and what became of it.", no_args_is_help=True)


@deliveries.command("list")
def list_deliveries(
    app_path: AppOption = "",
    recipient: Annotated[str, typer.Option(help="A recipient's or owner's id")] = "",
    subject: Annotated[str, typer.Option(help="The id of what it is about")] = "",
    limit: Annotated[int, typer.Option(help="At most how many notifications")] = 20,
) -> None:
    """List the newest deliveries."""
    with opened_notifier(app_path) as notifier:
        for each in notifier.history(
            recipient=recipient or None, subject=subject or None, limit=limit
        ):
            about = f"{each.event_type} for {each.owner}"
            say(f"{each.id}  {each.created_at:%Y-%m-%d %H:%M:%S}  {about}")
            for delivery in each.deliveries:
                tries = f"{delivery.attempts} attempts"
                say(f"  {delivery.channel}: {delivery.status} ({delivery.reason}), {tries}")


@deliveries.command()
def show(notification_id: str, app_path: AppOption = "") -> None:
    """Show one notification with every attempt."""
    with opened_notifier(app_path) as notifier:
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


for _command in (replay, expunge):
    deliveries.command()(_command)
