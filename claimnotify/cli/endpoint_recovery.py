"""`claimnotify endpoints attempts`, `recover` and `replay-missing`: what was sent, and sending it again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from claimnotify.cli.application import AppOption, opened_notifier
from claimnotify.cli.output import say, show_table
from claimnotify.errors import InvalidInput
from claimnotify.model.replays import Recovery
from claimnotify.model.states import DeliveryStatus

__all__ = ["attempts", "recover", "replay_missing"]

_Since = Annotated[
    str, typer.Option(help="From when on: 2026-12-01T08:00Z, or 90m, 24h or 7d for so long ago")
]
_Until = Annotated[str, typer.Option(help="Until when; now unless given")]
_Limit = Annotated[int, typer.Option(help="At most how many")]
_UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}


def attempts(
    endpoint_id: str,
    app_path: AppOption = "",
    status: Annotated[str, typer.Option(help="Only of deliveries in this state")] = "",
    event_type: Annotated[str, typer.Option(help="Only of this type")] = "",
    limit: _Limit = 20,
    before: Annotated[str, typer.Option(help="The last attempt's id of the page before")] = "",
) -> None:
    """List what was sent to an endpoint, the newest first, and what came back."""
    with opened_notifier(app_path) as notifier:
        found = notifier.endpoints.attempts(
            endpoint_id,
            status=_status(status),
            event_type=event_type or None,
            limit=limit,
            before=before or None,
        )
        show_table(
            ("id", "at", "type", "delivery", "no.", "outcome", "code", "ms", "what came back"),
            (
                (
                    each.id,
                    f"{each.attempt.started_at:%Y-%m-%d %H:%M:%S}",
                    each.event_type,
                    f"{each.delivery_id} {each.status}",
                    each.attempt.number,
                    each.attempt.outcome,
                    each.attempt.status_code or each.attempt.error,
                    each.attempt.duration // timedelta(milliseconds=1),
                    each.attempt.detail,
                )
                for each in found
            ),
        )


def recover(
    endpoint_id: str,
    since: _Since,
    app_path: AppOption = "",
    until: _Until = "",
    limit: _Limit = 10_000,
) -> None:
    """Send again every delivery to an endpoint that failed."""
    begin, end = _moment(since, "since"), _moment(until, "until") if until else None
    with opened_notifier(app_path) as notifier:
        _tell(notifier.endpoints.recover(endpoint_id, since=begin, until=end, limit=limit))


def replay_missing(
    endpoint_id: str,
    since: _Since,
    app_path: AppOption = "",
    until: _Until = "",
    limit: _Limit = 10_000,
) -> None:
    """Send an endpoint what it never got: from before it was registered, or while it was disabled."""
    begin, end = _moment(since, "since"), _moment(until, "until") if until else None
    with opened_notifier(app_path) as notifier:
        _tell(notifier.endpoints.replay_missing(endpoint_id, since=begin, until=end, limit=limit))


def _tell(done: Recovery) -> None:
    say(f"sent again: {done.replayed}")
    if done.more:
        say("there are more: run it again")


def _status(text: str) -> DeliveryStatus | None:
    if not text:
        return None
    try:
        return DeliveryStatus(text)
    except ValueError:
        states = ", ".join(DeliveryStatus)
        raise InvalidInput("status", f"{text} is no state", f"Use one of {states}.") from None


def _moment(text: str, field: str) -> datetime:
    """Return the moment a text names, or so long ago."""
    try:
        unit = _UNITS.get(text[-1:])
        if unit is not None and text[:-1].isascii() and text[:-1].isdigit():
            return datetime.now(UTC) - int(text[:-1]) * unit
        moment = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        raise InvalidInput(
            field, f"{text} is no moment", "Give one such as 2026-12-01T08:00Z, or 24h."
        ) from None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
