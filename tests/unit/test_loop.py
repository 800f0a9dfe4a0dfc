"""The loop on a thread of its own: nothing that runs on it can end it, or keep it from being closed."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator

import pytest

from claimnotify.delivery.loop import LoopThread

_SECONDS = 10.0


@pytest.fixture
def loop() -> Iterator[LoopThread]:
    loop = LoopThread()
    yield loop
    loop.close()


def _close(loop: LoopThread) -> bool:
    """Close it on a thread, so that a close without an end fails the test and not the session."""
    closed: list[bool] = []
    thread = threading.Thread(target=lambda: closed.append(loop.close()), daemon=True)
    thread.start()
    thread.join(_SECONDS)
    assert not thread.is_alive(), "the loop is not closed"
    return closed[0]


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()])
def test_a_task_that_wants_to_end_the_process_ends_nobody_else(
    loop: LoopThread, error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    begun, go_on = threading.Event(), threading.Event()

    async def innocent() -> str:
        begun.set()
        while not go_on.is_set():
            await asyncio.sleep(0.01)
        return "went on"

    async def guilty() -> None:
        async def background() -> None:
            raise error

        task = asyncio.create_task(background())
        await asyncio.wait([task])

    other = loop.submit(innocent())
    assert begun.wait(_SECONDS)
    loop.submit(guilty()).result(_SECONDS)
    later = loop.submit(innocent())
    go_on.set()
    assert other.result(_SECONDS) == later.result(_SECONDS) == "went on"
    assert f"{type(error).__name__} in a task" in caplog.text


def test_a_loop_that_was_stopped_by_what_runs_on_it_goes_on(loop: LoopThread) -> None:
    async def stop() -> None:
        asyncio.get_running_loop().stop()

    async def answer() -> int:
        await asyncio.sleep(0)
        return 7

    loop.submit(stop()).result(_SECONDS)
    assert loop.submit(answer()).result(_SECONDS) == 7


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_loop_that_broke_is_replaced(loop: LoopThread) -> None:
    async def thread_of_it() -> threading.Thread:
        return threading.current_thread()

    async def broken() -> None:
        running = asyncio.get_running_loop()

        def fail() -> None:
            del running._run_once  # type: ignore[attr-defined]
            raise OSError("as told by the test")

        running._run_once = fail  # type: ignore[attr-defined]

    async def answer() -> int:
        return 7

    thread = loop.submit(thread_of_it()).result(_SECONDS)
    loop.submit(broken())
    thread.join(_SECONDS)
    assert not thread.is_alive()
    assert loop.submit(answer()).result(_SECONDS) == 7


def test_closing_waits_for_what_ends_when_it_is_cancelled(loop: LoopThread) -> None:
    begun, tidied = threading.Event(), threading.Event()

    async def tidy() -> None:
        try:
            begun.set()
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.05)
            tidied.set()

    kept = loop.submit(tidy())
    assert begun.wait(_SECONDS)
    assert _close(loop)
    assert tidied.is_set()
    assert kept is not None


@pytest.mark.parametrize("how", ["blocks", "thread", "swallows", "generator", "exits"])
def test_closing_is_bounded_whatever_runs(loop: LoopThread, how: str) -> None:
    begun, go_on = threading.Event(), threading.Event()

    async def swallow() -> None:
        begun.set()
        while not go_on.is_set():
            try:
                await asyncio.sleep(0.01)
            except asyncio.CancelledError:
                if how == "exits":
                    raise SystemExit(3) from None

    async def numbers() -> object:
        try:
            yield 1
        finally:
            await swallow()

    def hang() -> None:
        begun.set()
        go_on.wait(_SECONDS)

    async def run() -> None:
        match how:
            case "blocks":
                hang()
            case "thread":
                await asyncio.to_thread(hang)
            case "generator":
                generator = numbers()
                await anext(generator)  # type: ignore[call-overload]
                begun.set()
                await asyncio.Event().wait()
            case _:
                await swallow()

    try:
        running = loop.submit(run())  # kept: else what waits for nothing else may be collected
        assert begun.wait(_SECONDS)
        started = time.monotonic()
        assert _close(loop) is (how == "exits")
        assert time.monotonic() - started < 3.0
        assert running is not None
    finally:
        go_on.set()


def test_whether_threads_are_at_work_is_known(loop: LoopThread) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        go_on.wait(_SECONDS)

    async def run() -> None:
        await asyncio.to_thread(work)

    assert not loop.threads_at_work
    future = loop.submit(run())
    assert begun.wait(_SECONDS)
    assert loop.threads_at_work
    go_on.set()
    future.result(_SECONDS)
    deadline, pause = time.monotonic() + _SECONDS, threading.Event()
    while loop.threads_at_work:  # the thread ends a moment after its result is there
        assert time.monotonic() < deadline
        pause.wait(0.01)
