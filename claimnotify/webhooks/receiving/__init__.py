"""Receives webhooks in an application: checks them once, and hands each to a handler once.

`Intake` knows no framework. The modules `starlette` (FastAPI too), `flask` and `django` put it
behind a route; each needs its framework and is imported by itself.
"""

from __future__ import annotations

from claimnotify.webhooks.receiving.intake import Admitted, Answer, Intake, ReceivedWebhook
from claimnotify.webhooks.receiving.redis import RedisSeenIds
from claimnotify.webhooks.receiving.seen import Claim, MemorySeenIds, Seen, SeenIds

__all__ = [
    # what an application uses
    "Intake",
    "MemorySeenIds",
    "ReceivedWebhook",
    "RedisSeenIds",
    # what a store of its own, or another framework, needs
    "Admitted",
    "Answer",
    "Claim",
    "Seen",
    "SeenIds",
]
