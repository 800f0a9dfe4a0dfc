"""The quick tries inside one attempt: again, soon, after a failure that is known to have sent nothing.

The durable schedule across attempts is `claimnotify.policy.retry`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from random import Random
from typing import TypeVar

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type

__all__ = ["quick_tries_after", "with_quick_tries"]

T = TypeVar("T")

_BASE_WAITS = (0.1, 0.4)
"""Seconds before the second and the third try, each lengthened by up to its own half."""


async def with_quick_tries(
    send: Callable[[], Awaitable[T]],
    *,
    deadline: timedelta,
    retry_on: type[Exception] | tuple[type[Exception], ...],
    random: Random,
    monotonic: Callable[[], float] = time.monotonic,
) -> T:
    """Await `send()`, and once or twice more if it raises one of `retry_on`.

    The first try costs nothing extra; tenacity comes in only after it failed. All tries together
    count as one attempt at a delivery, and none begins after `deadline`; `send` itself sees to it
    that a try under way ends in time.

    Args:
        send: One try. Retried only for errors that mean nothing was sent.
        deadline: Counted from this call.
        retry_on: The error types that are worth another try.
        random: Randomness for the jitter of the waits.
        monotonic: Seconds that never go back.

    Raises:
        Exception: Whatever the last try raised.
    """
    ends = monotonic() + deadline.total_seconds()
    try:
        return await send()
    except retry_on as error:
        failure = error
    return await quick_tries_after(
        failure, send, ends=ends, retry_on=retry_on, random=random, monotonic=monotonic
    )


async def quick_tries_after(
    failure: Exception,
    send: Callable[[], Awaitable[T]],
    *,
    ends: float,
    retry_on: type[Exception] | tuple[type[Exception], ...],
    random: Random,
    monotonic: Callable[[], float] = time.monotonic,
) -> T:
    """Go on as `with_quick_tries` does after a first try that the caller made.

    Args:
        failure: What the first try raised; one of `retry_on`.
        send: One try.
        ends: The moment on `monotonic` after which no try begins.
        retry_on: The error types that are worth another try.
        random: Randomness for the jitter of the waits.
        monotonic: Seconds that never go back.

    Raises:
        Exception: Whatever the last try raised.
    """
    failures = [failure]
    waits = [base * (1 + random.random() / 2) for base in _BASE_WAITS]

    async def again() -> T:
        if failures:  # to tenacity, the try that brought us here is the first
            raise failures.pop()
        return await send()

    def wait(state: RetryCallState) -> float:
        return waits[min(state.attempt_number, len(waits)) - 1]  # asked after the last try, too

    def stop(state: RetryCallState) -> bool:
        return state.attempt_number > len(waits) or monotonic() + wait(state) >= ends

    retrying = AsyncRetrying(
        retry=retry_if_exception_type(retry_on),
        wait=wait,
        stop=stop,
        sleep=asyncio.sleep,
        reraise=True,
    )
    return await retrying(again)
