"""What every doorbell must do: subclass `DispatcherContract` to test an adapter of your own."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from typing import ClassVar

import pytest

from claimnotify.ports import Consumer, Dispatcher

__all__ = ["DispatcherContract", "Heard"]

_DEADLINE_SECONDS = 10.0
_NOTICEABLE_SECONDS = 0.5


class Heard:
    """Collects what a consumer hears, and waits for it."""

    def __init__(self) -> None:
        self.queues: list[str] = []
        self.threads: set[int] = set()
        self._changed = threading.Condition()

    def __call__(self, queue: str) -> None:
        """Note a ring; to be given as `on_ring`."""
        with self._changed:
            self.queues.append(queue)
            self.threads.add(threading.get_ident())
            self._changed.notify_all()

    def wait_for(self, queue: str, *, times: int = 1) -> None:
        """Return once `queue` was heard `times` times; fail if that takes ten seconds."""
        with self._changed:
            heard = self._changed.wait_for(
                lambda: self.queues.count(queue) >= times, _DEADLINE_SECONDS
            )
        assert heard, f"{queue} was heard {self.queues.count(queue)} times, not {times}"


class DispatcherContract:
    """Tests of a `claimnotify.ports.Dispatcher`, for pytest.

    A subclass overrides the fixture `new_dispatcher`. Every test gets a place of its own for its
    rings, and all dispatchers made within one test share it.
    """

    shared: ClassVar[bool] = True
    """Whether dispatchers of one place hear each other; not so where the place is memory."""

    @pytest.fixture
    def new_dispatcher(self) -> Callable[[], Dispatcher]:
        """Override: return a function that makes a dispatcher with the queues one, two."""
        raise NotImplementedError("override the fixture new_dispatcher")

    @pytest.fixture
    def dispatcher(self, new_dispatcher: Callable[[], Dispatcher]) -> Iterator[Dispatcher]:
        """A dispatcher that is closed after the test."""
        dispatcher = new_dispatcher()
        yield dispatcher
        dispatcher.close()

    @pytest.fixture
    def listen(self) -> Iterator[Callable[..., Consumer]]:
        """A function that starts a consumer, which is stopped after the test."""
        started: list[Consumer] = []

        def listen(
            dispatcher: Dispatcher, on_ring: Callable[[str], None], *queues: str
        ) -> Consumer:
            consumer = dispatcher.consumer(queues or ("one", "two"), on_ring)
            started.append(consumer)
            consumer.start()
            return consumer

        yield listen
        for consumer in started:
            consumer.stop()

    def test_a_ring_is_heard_on_another_thread(
        self, dispatcher: Dispatcher, listen: Callable[..., Consumer]
    ) -> None:
        heard = Heard()
        listen(dispatcher, heard)
        dispatcher.ring("one")
        heard.wait_for("one")
        assert threading.get_ident() not in heard.threads
        assert "two" not in heard.queues

    def test_a_queue_can_be_rung_again_after_it_was_heard(
        self, dispatcher: Dispatcher, listen: Callable[..., Consumer]
    ) -> None:
        """Coalescing is never sticky: nothing is left behind that swallows later rings."""
        heard = Heard()
        listen(dispatcher, heard)
        for times in (1, 2, 3):
            dispatcher.ring("one")
            heard.wait_for("one", times=times)

    def test_a_consumer_hears_its_own_queues_only(
        self, dispatcher: Dispatcher, listen: Callable[..., Consumer]
    ) -> None:
        first, second = Heard(), Heard()
        listen(dispatcher, first, "one")
        listen(dispatcher, second, "two")
        dispatcher.ring("two")
        dispatcher.ring("one")
        first.wait_for("one")
        second.wait_for("two")
        assert set(first.queues) == {"one"}
        assert set(second.queues) == {"two"}

    def test_a_ring_waits_for_a_consumer(
        self, dispatcher: Dispatcher, listen: Callable[..., Consumer]
    ) -> None:
        dispatcher.ring("one")
        heard = Heard()
        listen(dispatcher, heard)
        heard.wait_for("one")

    def test_a_hundred_rings_are_one(
        self, new_dispatcher: Callable[[], Dispatcher], listen: Callable[..., Consumer]
    ) -> None:
        """At most one ring is pending per queue, whoever else rang before."""
        if not self.shared:
            pytest.skip("these dispatchers do not hear each other")
        for _ in range(3):
            ringing = new_dispatcher()
            for _ in range(100):
                ringing.ring("one")
            ringing.close()
        listening, heard = new_dispatcher(), Heard()
        listen(listening, heard)
        heard.wait_for("one")
        listening.ring("two")
        heard.wait_for("two")
        assert heard.queues.count("one") == 1
        listening.close()

    def test_a_ring_just_before_close_goes_out(
        self, new_dispatcher: Callable[[], Dispatcher], listen: Callable[..., Consumer]
    ) -> None:
        if not self.shared:
            pytest.skip("these dispatchers do not hear each other")
        ringing, listening, heard = new_dispatcher(), new_dispatcher(), Heard()
        ringing.ring("two")
        ringing.close()
        listen(listening, heard)
        heard.wait_for("two")
        listening.close()

    def test_ring_takes_no_noticeable_time(self, dispatcher: Dispatcher) -> None:
        start = time.monotonic()
        for _ in range(1000):
            dispatcher.ring("one")
        assert time.monotonic() - start < _NOTICEABLE_SECONDS

    async def test_ring_does_not_hold_up_an_event_loop(self, dispatcher: Dispatcher) -> None:
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                ticks += 1
                await asyncio.sleep(0)

        ticking = asyncio.create_task(tick())
        start = time.monotonic()
        for _ in range(100):
            dispatcher.ring("one")
            await asyncio.sleep(0)
        ticking.cancel()
        assert ticks >= 100
        assert time.monotonic() - start < _NOTICEABLE_SECONDS

    def test_rings_from_many_threads_are_heard(
        self, dispatcher: Dispatcher, listen: Callable[..., Consumer]
    ) -> None:
        heard = Heard()
        listen(dispatcher, heard)
        threads = [
            threading.Thread(target=dispatcher.ring, args=(queue,))
            for queue in ("one", "two")
            for _ in range(10)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        heard.wait_for("one")
        heard.wait_for("two")

    def test_a_callback_that_raises_does_not_end_the_consumer(
        self, dispatcher: Dispatcher, listen: Callable[..., Consumer]
    ) -> None:
        heard = Heard()

        def on_ring(queue: str) -> None:
            heard(queue)
            if len(heard.queues) == 1:
                raise RuntimeError("as told by the test")

        listen(dispatcher, on_ring)
        dispatcher.ring("one")
        heard.wait_for("one")
        dispatcher.ring("one")
        heard.wait_for("one", times=2)

    def test_stop_is_prompt_and_final(
        self, dispatcher: Dispatcher, listen: Callable[..., Consumer]
    ) -> None:
        """After `stop` no ring is acted on; it is left for whoever listens next."""
        first, second = Heard(), Heard()
        consumer = listen(dispatcher, first)
        dispatcher.ring("one")
        first.wait_for("one")
        start = time.monotonic()
        consumer.stop()
        assert time.monotonic() - start < 2
        dispatcher.ring("two")
        listen(dispatcher, second)
        second.wait_for("two")
        assert "two" not in first.queues

    def test_a_consumer_may_be_started_on_any_thread(
        self, dispatcher: Dispatcher, listen: Callable[..., Consumer]
    ) -> None:
        heard = Heard()
        thread = threading.Thread(target=listen, args=(dispatcher, heard))
        thread.start()
        thread.join()
        dispatcher.ring("one")
        heard.wait_for("one")

    def test_a_consumer_that_was_not_started_can_be_stopped(self, dispatcher: Dispatcher) -> None:
        consumer = dispatcher.consumer(("one",), Heard())
        consumer.stop()
        consumer.stop()

    def test_close_may_be_repeated_and_rings_after_it_are_ignored(
        self, dispatcher: Dispatcher
    ) -> None:
        dispatcher.ring("one")
        dispatcher.close()
        dispatcher.ring("one")
        dispatcher.close()
