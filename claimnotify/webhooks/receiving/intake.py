"""Decides what to do with a request that may be a webhook; knows no framework."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from claimnotify.errors import InvalidInput, WebhookVerificationError
from claimnotify.webhooks.receiving.seen import Claim, Seen, SeenIds
from claimnotify.webhooks.signing import Webhook, required_headers

__all__ = ["Admitted", "Answer", "Intake", "ReceivedWebhook"]

_MEBIBYTE = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedWebhook:
    """A webhook whose signature and time are right.

    Args:
        id: The message's id, the same however often it comes.
        sent_at: The time of this attempt.
        payload: The parsed body.
        body: The bytes.
    """

    id: str
    sent_at: datetime
    payload: Any = field(repr=False)
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Admitted:
    """A webhook for the handler, and the claim on its id, which `Intake.settle` ends."""

    webhook: ReceivedWebhook
    claim: Claim


@dataclass(frozen=True, slots=True)
class Answer:
    """What to answer without calling the handler: an HTTP status and a text."""

    status: int
    text: str


class Intake:
    """Verifies requests and lets each webhook through once.

    Args:
        secrets: The sender's secrets or public keys; several while one is being replaced.
        seen: Remembers what came before.
        tolerance: How far a webhook's timestamp may be from now, either way.
        clock: Returns the time, aware; the host's clock unless given.
        max_body: The largest body that is read, bytes; 1 or more.

    Raises:
        InvalidInput: There is no secret, another argument is refused, or ids are remembered for
            less than twice the tolerance: a recorded request could then be played back.
        WebhookVerificationError: A secret is malformed.
    """

    def __init__(
        self,
        *secrets: str | bytes,
        seen: SeenIds,
        tolerance: timedelta = timedelta(minutes=5),
        clock: Callable[[], datetime] | None = None,
        max_body: int = _MEBIBYTE,
    ) -> None:
        if not secrets:
            raise InvalidInput("secrets", "holds no secret", "Give the one the sender gave you.")
        self._webhooks = [Webhook(each, tolerance=tolerance, clock=clock) for each in secrets]
        if isinstance(max_body, bool) or not isinstance(max_body, int) or max_body < 1:
            raise InvalidInput("max_body", "is no number of 1 or more", "Give a number of bytes.")
        if not _is_store(seen):
            raise InvalidInput("seen", "is no store of ids", "Give a MemorySeenIds() or another.")
        if seen.keep // 2 < tolerance:
            # A timestamp may lie in the future by the tolerance and then be good for twice that.
            raise InvalidInput(
                "seen", "forgets within twice the tolerance", "Remember for longer: keep=."
            )
        self._seen = seen
        self.max_body = max_body

    def __repr__(self) -> str:
        return f"Intake({len(self._webhooks)} secrets)"

    def admit(self, body: bytes, headers: Mapping[str, str]) -> Admitted | Answer:
        """Return the webhook if it is for the handler, else what to answer.

        The answer is 413 if the body is longer than `max_body`, 400 if the webhook cannot be
        verified, 200 if it was handled before, and 409 while another request is handling it, so
        that the sender tries again in case that one fails.

        Args:
            body: As received; one byte more than `max_body` is enough of a longer one.
            headers: The request's; the case of names does not matter.
        """
        if len(body) > self.max_body:
            return Answer(413, f"the body is longer than {self.max_body} bytes")
        try:
            webhook = self._verified(body, headers)
        except WebhookVerificationError as error:
            return Answer(400, str(error))
        claim = self._seen.claim(webhook.id)
        if claim.state is Seen.DONE:
            return Answer(200, "this webhook was handled before")
        if claim.state is Seen.UNDER_WAY:
            return Answer(409, "this webhook is being handled; try again later")
        return Admitted(webhook, claim)

    def settle(self, admitted: Admitted, *, succeeded: bool) -> None:
        """End the claim: what succeeded is not handled again, what failed is when it comes again.

        Args:
            admitted: What `admit` returned.
            succeeded: Whether the handler returned, and answered with a 2xx.
        """
        if succeeded:
            self._seen.done(admitted.claim)
        else:
            self._seen.forget(admitted.claim)

    def _verified(self, body: bytes, headers: Mapping[str, str]) -> ReceivedWebhook:
        failure = WebhookVerificationError()
        for webhook in self._webhooks:
            try:
                payload = webhook.verify(body, headers)
            except WebhookVerificationError as error:
                failure = error
                continue
            message_id, timestamp, _ = required_headers(headers)
            return ReceivedWebhook(
                id=message_id.decode(errors="backslashreplace"),
                sent_at=datetime.fromtimestamp(int(timestamp), UTC),
                payload=payload,
                body=body,
            )
        raise failure


def _is_store(seen: object) -> bool:
    methods = [getattr(seen, name, None) for name in ("claim", "done", "forget")]
    return isinstance(getattr(seen, "keep", None), timedelta) and all(map(callable, methods))
