"""How large a webhook may be: a warning from 20 kB on, as Standard Webhooks advises, and a limit."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

from claimnotify.errors import InvalidEvent
from claimnotify.model.events import Event, spec_of
from claimnotify.model.webhook_bodies import webhook_body

__all__ = ["WebhookSizes"]

_log = logging.getLogger("claimnotify.delivery")

_ADVISED = 20_000
_LIMIT = 262_144
_AROUND = len(webhook_body("", datetime(2026, 1, 1, tzinfo=UTC), ""))


class WebhookSizes:
    """Looks at the size of what webhooks carry; safe to use from many threads.

    Args:
        limit: The most that `data` may take, in bytes of UTF-8.
    """

    def __init__(self, limit: int = _LIMIT) -> None:
        self._limit = limit
        self._warned: set[str] = set()

    def check(self, event: Event, data_json: str) -> None:
        """Warn, once for each type, of a large webhook, and refuse one that is too large.

        Args:
            event: The event.
            data_json: What webhooks carry of it, as JSON text.

        Raises:
            InvalidEvent: It takes more than the limit.
        """
        size = len(data_json.encode())
        if size > self._limit:
            raise InvalidEvent(
                type(event).__name__,
                f"takes {size} bytes in webhooks, and webhook_max_payload_bytes is {self._limit}",
                'Send ids or a link instead, or define it with webhook_payload="thin".',
            )
        event_type = spec_of(event).type
        body = size + _AROUND + len(event_type)
        if body > _ADVISED and event_type not in self._warned:
            self._warned.add(event_type)
            _log.warning(
                "webhooks of %s are large: one of %d bytes, and receivers may refuse more than %d; "
                'webhook_payload="thin" sends an id alone',
                event_type,
                body,
                _ADVISED,
            )
