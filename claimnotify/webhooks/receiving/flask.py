"""Receives webhooks in Flask."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeAlias

from flask import Response, current_app, make_response, request

from claimnotify.webhooks.receiving.intake import Answer, Intake

__all__ = ["receives_webhooks"]

View: TypeAlias = Callable[..., Any]


def receives_webhooks(intake: Intake) -> Callable[[View], View]:
    """Make a view of a function that takes a verified webhook, and then what the route gives.

        @app.post("/webhooks")
        @receives_webhooks(intake)
        def receive(webhook): ...

    The function returns what any view returns, or None for 204. If it raises or answers with
    anything but a 2xx, the webhook is handled when it comes again.

    Args:
        intake: Verifies and remembers.
    """

    def decorate(handler: View) -> View:
        @wraps(handler)
        def view(**route: Any) -> Response:
            found = intake.admit(_body(intake.max_body), dict(request.headers))
            if isinstance(found, Answer):
                return Response(found.text, found.status, mimetype="text/plain")
            succeeded = False
            try:
                result = current_app.ensure_sync(handler)(found.webhook, **route)
                response = make_response(("", 204) if result is None else result)
                succeeded = 200 <= response.status_code < 300
            finally:
                intake.settle(found, succeeded=succeeded)
            return response

        return view

    return decorate


def _body(most: int) -> bytes:
    """Read the body, but no more than a byte over the limit: of a body without a length Flask cuts
    off what is beyond, and the intake must see that there was more."""
    allowed = request.max_content_length
    request.max_content_length = most + 1 if allowed is None else min(most + 1, allowed)
    return request.get_data()
