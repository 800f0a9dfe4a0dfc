"""The doorbells without a queue: one drains at once, one only counts."""

from __future__ import annotations

import asyncio
import threading

import pytest

from claimnotify.dispatch.inline import InlineDispatcher
from claimnotify.errors import ConfigurationError
from claimnotify.ports import Dispatcher
from claimnotify.testing.dispatcher_contract import Heard
from claimnotify.testing.dispatchers import RecordingDispatcher


def test_a_ring_has_drained_when_it_returns() -> None:
    drained = Heard()
    dispatcher: Dispatcher = InlineDispatcher(drained)
    dispatcher.ring("notifications")
    dispatcher.ring("scheduled")
    assert drained.queues == ["notifications", "scheduled"]
    assert drained.threads == {threading.get_ident()}


def test_rings_during_a_drain_are_coalesced_and_drained_after_it() -> None:
    events: list[str] = []

    def drain(queue: str) -> None:
        events.append(f"begin {queue}")
        if len(events) == 1:
            for _ in range(3):
                dispatcher.ring("notifications")
            dispatcher.ring("scheduled")
        events.append(f"end {queue}")

    dispatcher = InlineDispatcher(drain)
    dispatcher.ring("notifications")
    assert events == [
        "begin notifications",
        "end notifications",
        "begin notifications",
        "end notifications",
        "begin scheduled",
        "end scheduled",
    ]


def test_a_drain_that_raises_is_logged_and_the_next_ring_drains(
    caplog: pytest.LogCaptureFixture,
) -> None:
    drained = Heard()

    def drain(queue: str) -> None:
        drained(queue)
        if len(drained.queues) == 1:
            raise RuntimeError("as told by the test")

    dispatcher = InlineDispatcher(drain)
    dispatcher.ring("notifications")
    assert "could not be drained" in caplog.text
    dispatcher.ring("notifications")
    assert len(drained.queues) == 2


def test_an_interrupt_passes_through_and_leaves_the_doorbell_working() -> None:
    drained = Heard()

    def drain(queue: str) -> None:
        drained(queue)
        if len(drained.queues) == 1:
            raise KeyboardInterrupt

    dispatcher = InlineDispatcher(drain)
    with pytest.raises(KeyboardInterrupt):
        dispatcher.ring("notifications")
    dispatcher.ring("notifications")
    assert len(drained.queues) == 2


async def test_under_a_running_loop_the_drain_is_on_a_thread_of_its_own() -> None:
    """A drain that runs its own event loop works there, and ours is not held up."""
    drained, release = Heard(), threading.Event()

    def drain(queue: str) -> None:
        release.wait(10)
        asyncio.run(asyncio.sleep(0))
        drained(queue)

    dispatcher = InlineDispatcher(drain)
    dispatcher.ring("notifications")
    assert drained.queues == []
    release.set()
    await asyncio.to_thread(dispatcher.close)
    assert drained.queues == ["notifications"]
    assert threading.get_ident() not in drained.threads


def test_a_ring_from_another_thread_is_left_to_the_drain_under_way() -> None:
    drained, inside, release = Heard(), threading.Event(), threading.Event()

    def drain(queue: str) -> None:
        drained(queue)
        inside.set()
        release.wait(10)

    dispatcher = InlineDispatcher(drain)
    thread = threading.Thread(target=dispatcher.ring, args=("notifications",))
    thread.start()
    assert inside.wait(10)
    dispatcher.ring("notifications")  # returns, though a drain is under way
    release.set()
    thread.join()
    assert drained.queues == ["notifications", "notifications"]
    assert len(drained.threads) == 1


def test_close_from_inside_a_drain_does_not_wait_for_itself() -> None:
    dispatcher = InlineDispatcher(lambda queue: dispatcher.close())
    dispatcher.ring("notifications")
    dispatcher.close()


def test_there_is_nothing_to_listen_to() -> None:
    with pytest.raises(ConfigurationError, match="needs no worker"):
        InlineDispatcher(lambda queue: None).consumer(("notifications",), lambda queue: None)


def test_the_recording_dispatcher_counts_and_is_heard_by_started_consumers() -> None:
    recording, heard = RecordingDispatcher(), Heard()
    dispatcher: Dispatcher = recording
    consumer = dispatcher.consumer(("notifications",), heard)
    dispatcher.ring("notifications")
    consumer.start()
    dispatcher.ring("notifications")
    dispatcher.ring("scheduled")
    consumer.stop()
    dispatcher.ring("notifications")
    dispatcher.close()
    assert recording.rings == {"notifications": 3, "scheduled": 1}
    assert heard.queues == ["notifications"]
    assert recording.closed
