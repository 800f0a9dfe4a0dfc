"""The ringing thread: coalescing, the pause after a failure, and ending."""

from __future__ import annotations

import logging
import threading
from typing import Any

import pytest

from claimnotify.dispatch.consumer import _Dropped, _QueueConsumer
from claimnotify.dispatch.location import parse_queue_url
from claimnotify.dispatch.outage import OutageLog
from claimnotify.dispatch.ringer import Ringer
from claimnotify.dispatch.rings import RingQueue
from claimnotify.dispatch.serializer import SignedJsonSerializer
from claimnotify.dispatch.storages import CountedRings


class _Storage(CountedRings):
    """A queue in memory that can be told to fail."""

    blocking = False

    def __init__(self) -> None:
        self.messages: list[bytes] = []
        self.calls: list[str] = []
        self.failures = 0

    def _called(self, name: str) -> None:
        self.calls.append(name)
        if self.failures:
            self.failures -= 1
            raise OSError("as told by the test")

    def prepare(self) -> None:
        self._called("prepare")

    def enqueue(self, data: bytes, priority: float | None = None) -> None:
        self._called("enqueue")
        self.messages.append(data)

    def dequeue(self) -> bytes | None:
        self._called("dequeue")
        return self.messages.pop(0) if self.messages else None

    def queue_size(self) -> int:
        self._called("queue_size")
        return len(self.messages)

    def close(self) -> None:
        self.calls.append("close")


class _Time:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def _queue(storage: _Storage, **options: Any) -> RingQueue:
    return RingQueue(
        "notifications",
        namespace="claimnotify",
        storage=storage,
        serializer=SignedJsonSerializer(b"k" * 32),
        **options,
    )


def _outage() -> OutageLog:
    location = parse_queue_url("redis://host")
    return OutageLog(logging.getLogger("test"), location, consequence="It matters little.")


def _ringer(storage: _Storage, time: _Time) -> Ringer:
    return Ringer(lambda name: _queue(storage), outage=_outage(), monotonic=time)


def test_a_ring_is_left_only_where_none_waits() -> None:
    storage = _Storage()
    queue = _queue(storage)
    for _ in range(3):
        queue.ring()
    assert len(storage.messages) == 1
    storage.messages.clear()  # a worker took it
    queue.ring()
    assert len(storage.messages) == 1


def test_after_a_failure_nothing_is_tried_for_a_second(caplog: pytest.LogCaptureFixture) -> None:
    storage, time = _Storage(), _Time()
    ringer = _ringer(storage, time)
    storage.failures = 1
    ringer._ring("notifications")
    tried = len(storage.calls)
    for _ in range(3):
        ringer._ring("notifications")
    assert len(storage.calls) == tried
    time.now = 1.0
    ringer._ring("notifications")
    assert len(storage.messages) == 1
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 2
    assert "cannot be used" in said[0]
    assert "usable again" in said[1]


def test_a_failed_trial_begins_another_pause() -> None:
    storage, time = _Storage(), _Time()
    ringer = _ringer(storage, time)
    for now in (0.0, 1.0):
        storage.failures = 1
        time.now = now
        ringer._ring("notifications")
    tried = len(storage.calls)
    time.now = 1.9
    ringer._ring("notifications")
    assert len(storage.calls) == tried


def test_a_kept_connection_that_died_costs_neither_the_ring_nor_a_pause(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A server that was restarted between two rings is no outage."""
    storage, time = _Storage(), _Time()
    ringer = _ringer(storage, time)
    ringer._ring("notifications")
    storage.messages.clear()
    storage.failures = 1
    ringer._ring("notifications")
    assert len(storage.messages) == 1
    assert caplog.records == []


def test_finish_rings_what_is_wanted_and_closes_connections() -> None:
    storage = _Storage()
    ringer = _ringer(storage, _Time())
    ringer.ring("notifications")
    ringer.finish(10)
    assert len(storage.messages) == 1
    assert storage.calls[-1] == "close"
    ringer.ring("notifications")  # ignored
    ringer.finish(10)
    assert len(storage.messages) == 1


class _Resting:
    """Stands for the event that ends the ringer; its waits are time that passes."""

    def __init__(self, time: _Time) -> None:
        self._time = time
        self.waits: list[tuple[int, float]] = []
        self.rung = 0
        self.over = False

    def is_set(self) -> bool:
        return self.over

    def wait(self, seconds: float) -> None:
        self.waits.append((self.rung, seconds))
        self._time.now += seconds


def test_rings_that_come_one_by_one_go_out_at_once_and_many_take_a_tenth_of_the_time() -> None:
    time, storage = _Time(), _Storage()
    ringer, resting = _ringer(storage, time), _Resting(time)
    ringer._finishing = resting  # type: ignore[assignment]

    def asked_again(_data: bytes) -> None:
        time.now += 0.001  # what a ring takes
        resting.rung += 1
        if resting.rung < 100:
            ringer._wanted.add("notifications")
        else:
            resting.over = True

    storage.ring_once = asked_again  # type: ignore[method-assign]
    ringer._wanted.add("notifications")
    ringer._run()
    assert resting.rung == 100
    first, _ = resting.waits[0]
    assert first >= 2, "a few go out without a rest"
    assert 0.85 < time.now < 1.05
    assert max(seconds for _, seconds in resting.waits) <= 0.03


def test_without_a_thread_to_ring_on_ring_still_does_not_raise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    storage = _Storage()
    ringer = _ringer(storage, _Time())
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        ringer.ring("notifications")
    ringer.ring("notifications")
    ringer.finish(10)
    assert len(storage.messages) == 1


def test_a_ring_that_a_stopping_consumer_took_is_left_for_the_next() -> None:
    storage, heard = _Storage(), []
    queue = _queue(storage, on_ring=heard.append)
    queue.ring()
    consumer = _QueueConsumer(queue, _outage(), _Dropped())
    consumer.stop_flag.set()
    (listener, _), *_rest = consumer.worker_threads
    listener.loop()
    assert heard == []
    assert len(storage.messages) == 1


def test_listening_to_an_empty_queue_only_looks() -> None:
    """Huey's scheduler would write to the store once a second, on SQLite under its one lock."""
    storage = _Storage()
    consumer = _QueueConsumer(_queue(storage), _outage(), _Dropped())
    consumer.stop_flag.set()
    (listener, _), *_rest = consumer.worker_threads
    listener.loop()
    consumer._create_scheduler().loop()
    assert storage.calls == ["prepare", "dequeue"]


def test_a_ring_for_another_queue_is_dropped() -> None:
    storage, heard = _Storage(), []
    other = RingQueue(
        "scheduled",
        namespace="claimnotify",
        storage=storage,
        serializer=SignedJsonSerializer(b"k" * 32),
    )
    other.ring()
    consumer = _QueueConsumer(
        _queue(storage, on_ring=heard.append), _outage(), dropped := _Dropped()
    )
    (listener, _), *_rest = consumer.worker_threads
    listener.loop()
    assert heard == []
    assert dropped.count == 1


def test_an_outage_of_several_queues_is_one(caplog: pytest.LogCaptureFixture) -> None:
    outage = _outage()
    for queue in ("one", "two", "one"):
        outage.failed(queue, OSError("down"))
    outage.recovered("one")
    outage.failed("one", OSError("down"))
    outage.recovered("one")
    assert len(caplog.records) == 1
    outage.recovered("two")
    assert len(caplog.records) == 2
