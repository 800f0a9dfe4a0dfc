"""The body of a webhook, by the form of Standard Webhooks: `type`, `timestamp` and `data`."""

from __future__ import annotations

import json
from datetime import UTC, datetime

__all__ = ["webhook_body"]


def webhook_body(event_type: str, moment: datetime, data_json: str) -> bytes:
    """Return the body, with the data exactly as it is given.

    Args:
        event_type: The event's type.
        moment: When the event was accepted, aware.
        data_json: The JSON text of what the webhook carries.
    """
    timestamp = moment.astimezone(UTC).isoformat(timespec="microseconds").removesuffix("+00:00")
    return (
        f'{{"type":{json.dumps(event_type)},"timestamp":"{timestamp}Z","data":{data_json}}}'
    ).encode()
