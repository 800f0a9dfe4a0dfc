"""The receiver behind `claimnotify listen`: verifies each webhook, counts it, and decides the answer.

Prints nothing: what it found goes to a `Display`.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from claimnotify.cli.forwarding import Forwarder
from claimnotify.cli.hearing import Display, Heard
from claimnotify.errors import WebhookVerificationError
from claimnotify.testing.http_peer import Answer, Refusal, Request
from claimnotify.webhooks.signing import Webhook

__all__ = ["Behaviour", "Listener"]

_log = logging.getLogger("claimnotify.listen")

_MOST_IDS = 10_000
_CIRCLE = "it was forwarded from here already: --forward leads back"
_HINT = "This is claimnotify listen. A webhook is a POST request.\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """How to answer.

    Args:
        status: What a webhook is answered with.
        delay: How long every answer takes.
        retry_after: Seconds for the `Retry-After` header of answers that are no 2xx, or None.
        fail_first: How many attempts of each webhook are answered with 500 first; where there are
            verifiers, of those that verify.
    """

    status: int = 204
    delay: timedelta = timedelta(0)
    retry_after: int | None = None
    fail_first: int = 0


class Listener:
    """Takes requests. See `claimnotify.testing.http_server.Handler`.

    Args:
        verifiers: One for each secret; none: nothing can be verified, and everything is answered
            as a webhook.
        behaviour: How to answer.
        display: Told of each request before it is answered.
        clock: Returns the time, aware, in UTC.
        forwarder: Sends webhooks on, if they are to be; its answer is ours.
        count: After how many verified requests to end; 0: never.
    """

    def __init__(
        self,
        *,
        verifiers: Sequence[Webhook],
        behaviour: Behaviour,
        display: Display,
        clock: Callable[[], datetime],
        forwarder: Forwarder | None = None,
        count: int = 0,
    ) -> None:
        self.received = 0
        """How many requests came."""
        self.verified = 0
        """How many of them were verified."""
        self.ended = asyncio.Event()
        """Set when `count` requests were verified, or nothing can be shown any more."""
        self.failure: OSError | None = None
        """Why nothing can be shown any more: the reader of our output has gone."""
        self._verifiers = tuple(verifiers)
        self._behaviour = behaviour
        self._display = display
        self._clock = clock
        self._forwarder = forwarder
        self._count = count
        self._seen = _Times()
        self._tried = _Times()

    async def __call__(self, request: Request) -> Answer:
        """Return the answer to `request`."""
        now = self._clock()
        self.received += 1
        problem = self._problem(request)
        times = self._seen.another(request.headers.get("webhook-id", ""))
        returned = self._forwarder is not None and self._forwarder.has_sent(request)
        if returned:
            answer, note = Answer.text(508, _CIRCLE), _CIRCLE
        else:
            answer, note = await self._decided(request, problem)
        self.verified += not problem
        heard = Heard(
            at=now,
            request=request,
            verified=not problem,
            problem=problem,
            sent_at=_sent_at(request.headers.get("webhook-timestamp", "")),
            times=times,
            status=answer.status,
            note=note,
        )
        with self._showing():
            self._display.heard(heard)
        if not returned:  # for we are waiting for this answer ourselves
            await asyncio.sleep(self._behaviour.delay.total_seconds())
        if self._count and self.verified >= self._count:
            self.ended.set()
        return answer

    def refused(self, refusal: Refusal) -> None:
        """Show that something came that is not a request we take."""
        with self._showing():
            self._display.refused(self._clock(), refusal.status, refusal.problem)

    def _problem(self, request: Request) -> str:
        """Return why the request is not verified; empty if it is."""
        if request.method != "POST":
            return "a webhook is a POST request"
        problem = "no secret was given"
        for verifier in self._verifiers:
            try:
                verifier.verify(request.body, request.headers, json_parse=False)
            except WebhookVerificationError as error:
                problem = str(error)
            else:
                return ""
        return problem

    async def _decided(self, request: Request, problem: str) -> tuple[Answer, str]:
        """Return the answer, and what is to be noted about it."""
        how = self._behaviour
        if request.method != "POST":
            return Answer.text(405, _HINT, headers={"Allow": "POST"}), ""
        if problem and self._verifiers:
            return Answer.text(400, problem), ""
        # Not before: whoever sends what does not verify would use them up.
        attempt = self._tried.another(request.headers.get("webhook-id", ""))
        if 0 < attempt <= how.fail_first:
            return self._chosen(500), f"failed on purpose, {attempt} of {how.fail_first}"
        if self._forwarder is None:
            return self._chosen(how.status), ""
        answer, failure = await self._forwarder.send(request)
        return answer, f"not forwarded: {failure}" if failure else "forwarded"

    def _chosen(self, status: int) -> Answer:
        wait = self._behaviour.retry_after
        says_wait = wait is not None and status >= 300
        return Answer.text(status, headers={"Retry-After": str(wait)} if says_wait else {})

    @contextmanager
    def _showing(self) -> Iterator[None]:
        """Let nothing that fails in here cost the sender its answer."""
        try:
            yield
        except OSError as error:
            self.failure = error
            self.ended.set()
        except Exception as error:
            # Its text might have what the request says.
            _log.error("a request could not be shown: %s", type(error).__name__)


class _Times:
    """How often each id came; those that came last are remembered."""

    def __init__(self) -> None:
        self._of: OrderedDict[str, int] = OrderedDict()

    def another(self, message_id: str) -> int:
        """Count the id once more, and return how often it has come; 0 if there is none."""
        if not message_id:
            return 0
        times = self._of[message_id] = self._of.pop(message_id, 0) + 1
        if len(self._of) > _MOST_IDS:
            self._of.popitem(last=False)
        return times


def _sent_at(timestamp: str) -> datetime | None:
    """Return the time a `webhook-timestamp` header names, or None if that is no time."""
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12):
        return None
    try:
        return datetime.fromtimestamp(int(timestamp), UTC)
    except (ValueError, OverflowError, OSError):
        return None  # after the year 9999
