"""Makes one attempt at one delivery on the event loop and turns what happened into an outcome."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from random import Random

from claimnotify.delivery.ready import Ready, outcome_of
from claimnotify.errors import (
    ClaimnotifyError,
    DeliveryError,
    DeliverySkipped,
    ForbiddenDestination,
    PermanentDeliveryError,
    TransientDeliveryError,
    UnknownOutcome,
)
from claimnotify.http.deadlines import Deadlines
from claimnotify.model.notifications import Attempt, Receipt
from claimnotify.model.states import AttemptOutcome, DeliveryStatus, Reason
from claimnotify.model.texts import storable
from claimnotify.policy.retry import RetrySchedule, later, schedule_for
from claimnotify.ports import Outcome

__all__ = ["Sender"]

_log = logging.getLogger("claimnotify.delivery")
_MAX_DETAIL = 512
_MAX_NAME = 128
_MAX_REASON = 64


class Sender:
    """Sends ready deliveries, one attempt each.

    Args:
        schedules: The application's own retry schedules by channel.
        clock: A clock that does no I/O, as it is asked on the event loop.
        random: Randomness for the jitter.
        monotonic: Seconds that never go back.
    """

    def __init__(
        self,
        *,
        schedules: Mapping[str, RetrySchedule],
        clock: Callable[[], datetime],
        random: Random,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._schedules = schedules
        self._now = clock
        self._random = random
        self._monotonic = monotonic
        self._deadlines = Deadlines()

    async def attempt(self, ready: Ready) -> Outcome:
        """Hand the message to its channel and return the outcome; raises nothing of the channel's."""
        started_at, began = self._now(), self._monotonic()
        result: Receipt | BaseException
        try:
            with self._deadlines.within(ready.channel.attempt_deadline.total_seconds()):
                result = await ready.channel.send(ready.message, ready.work.delivery)
        except TimeoutError:
            result = UnknownOutcome("the attempt's deadline passed")
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise  # we are being stopped; else something inside the channel was cancelled
            result = UnknownOutcome("the channel cancelled the send")
        except BaseException as error:  # SystemExit too: it ends this attempt, not the worker
            result = error
        duration = timedelta(seconds=self._monotonic() - began)
        if isinstance(result, Receipt):
            return self._accepted(ready, result, started_at, duration)
        return self._failed(ready, result, started_at, duration)

    def _accepted(
        self, ready: Ready, receipt: Receipt, started_at: datetime, duration: timedelta
    ) -> Outcome:
        delivery = ready.work.delivery
        delivered = receipt.status == DeliveryStatus.DELIVERED
        attempt = Attempt(
            number=delivery.attempts + 1,
            started_at=started_at,
            duration=duration,
            outcome=AttemptOutcome.DELIVERED if delivered else AttemptOutcome.SENT,
            status_code=receipt.status_code,
            detail=storable(receipt.excerpt, _MAX_DETAIL),
            request_headers=receipt.request_headers,
            response_headers=receipt.response_headers,
        )
        item = receipt.inbox_item
        return Outcome(
            delivery_id=delivery.id,
            tenant=delivery.tenant,
            notification_id=delivery.notification_id,
            token=ready.token,
            channel=delivery.channel,
            endpoint_id=delivery.endpoint_id,
            status=DeliveryStatus.DELIVERED if delivered else DeliveryStatus.SENT,
            reason=Reason.CONFIRMED if delivered else Reason.ACCEPTED,
            attempt=attempt,
            provider_id=storable(receipt.provider_id, 255),
            inbox_item=None if item is None else (delivery.address, item),
        )

    def _failed(
        self, ready: Ready, error: BaseException, started_at: datetime, duration: timedelta
    ) -> Outcome:
        delivery = ready.work.delivery
        if isinstance(error, DeliverySkipped):
            reason = storable(error.reason, _MAX_REASON)
            return outcome_of(ready.work, ready.token, DeliveryStatus.SKIPPED, reason)
        kind, reason, wait = self._judge(ready, error)
        told = error if isinstance(error, DeliveryError) else DeliveryError("")
        attempt = Attempt(
            number=delivery.attempts + 1,
            started_at=started_at,
            duration=duration,
            outcome=kind,
            status_code=told.status_code,
            error=storable(type(error).__name__, _MAX_NAME),
            detail=_detail(error),
            request_headers=told.request_headers,
            response_headers=told.response_headers,
        )
        again = wait is not None
        due_at = later(self._now(), wait) if wait is not None else None
        if due_at is not None and delivery.expires_at is not None:
            due_at = min(due_at, delivery.expires_at)  # to end it then
        return Outcome(
            delivery_id=delivery.id,
            tenant=delivery.tenant,
            notification_id=delivery.notification_id,
            token=ready.token,
            channel=delivery.channel,
            endpoint_id=delivery.endpoint_id,
            status=DeliveryStatus.PENDING if again else DeliveryStatus.FAILED,
            reason=Reason.RETRY if again else storable(reason, _MAX_REASON),
            due_at=due_at,
            attempt=attempt,
            disable_endpoint=reason == Reason.ENDPOINT_GONE,
            pause_endpoint=_pause(error),
            our_fault=_is_ours(error),
            sent_to=told.sent_to,
        )

    def _judge(
        self, ready: Ready, error: BaseException
    ) -> tuple[AttemptOutcome, str, timedelta | None]:
        """Return what the error means, the reason if it ends the delivery, and how long to wait."""
        if isinstance(error, PermanentDeliveryError):
            return AttemptOutcome.PERMANENT, error.reason, None
        if isinstance(error, ForbiddenDestination):
            return AttemptOutcome.PERMANENT, Reason.FORBIDDEN_DESTINATION, None
        if isinstance(error, UnknownOutcome):
            if getattr(ready.channel, "on_unknown", "retry") == "fail":
                return AttemptOutcome.UNKNOWN, error.reason, None
            return AttemptOutcome.UNKNOWN, error.reason, self._wait(ready, None)
        if isinstance(error, TransientDeliveryError):
            return AttemptOutcome.TRANSIENT, error.reason, self._wait(ready, error.retry_after)
        # Not one of the errors a channel may raise: a fault in it, which may pass.
        _log.error(
            "channel %s raised %s for delivery %s",
            ready.channel.name,
            type(error).__name__,
            ready.work.delivery.id,
        )
        return AttemptOutcome.TRANSIENT, Reason.EXHAUSTED, self._wait(ready, None)

    def _wait(self, ready: Ready, retry_after: timedelta | None) -> timedelta | None:
        delivery = ready.work.delivery
        return schedule_for(delivery.channel, self._schedules).next_wait(
            delivery.attempts + 1,
            random=self._random,
            elapsed=self._now() - delivery.created_at,
            retry_after=retry_after,
        )


def _pause(error: BaseException) -> timedelta | None:
    """Return how long the peer is to be left alone, if it says that it has too much to do."""
    if isinstance(error, TransientDeliveryError) and error.overloaded:
        return error.retry_after or timedelta(0)
    return None


def _is_ours(error: BaseException) -> bool:
    """Return whether the fault is ours: the channel says so, or it raised what it must not raise."""
    if isinstance(error, TransientDeliveryError):
        return error.our_fault
    return not isinstance(error, DeliveryError | ForbiddenDestination)


def _detail(error: BaseException) -> str:
    """Return what may be kept about the error: our own words; of others only what is safe."""
    if not isinstance(error, ClaimnotifyError):
        return ""
    excerpt = error.excerpt if isinstance(error, DeliveryError) else ""
    return storable(" | ".join(part for part in (str(error), excerpt) if part), _MAX_DETAIL)
