"""The events that tell of webhook endpoints themselves: that one is failing, or was disabled."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from claimnotify.model.events import Event

__all__ = ["EndpointDisabled", "EndpointEvent", "EndpointFailing"]


class EndpointEvent(
    Event, category="webhooks", subject="endpoint_id", channels=("in_app", "email", "webhook")
):
    """What both tell. Only an endpoint that names them, or `endpoint.*`, gets them as webhooks."""

    endpoint_id: str = Field(
        description="The endpoint's id.", examples=["019ae2c7f0a47c1b9d3e5f60718293a4"]
    )
    url: str = Field(
        description="Where it is: scheme, host and path, without what may be secret.",
        examples=["https://example.com/hook"],
    )
    owner: str = Field(description="Its owner's id.", examples=["partner_9"])
    reason: str = Field(
        description="`exhausted`: a delivery is out of attempts; `failing`: nothing but failure"
        " came from it for long; `endpoint_gone`: it answered 410 Gone; `our_fault`: a fault on the"
        " sender's side used up the attempts of a delivery, which only the operators are told.",
        examples=["failing"],
    )
    failing_since: datetime | None = Field(
        default=None,
        description="Since when nothing but failure has come from it.",
        examples=["2026-11-24T09:30:00Z"],
    )


class EndpointFailing(EndpointEvent, type="endpoint.failing"):
    """Nothing but failure comes from an endpoint; it is still tried."""


class EndpointDisabled(EndpointEvent, type="endpoint.disabled"):
    """An endpoint was disabled, and nothing is sent to it until someone enables it again."""
