"""Deadlines over one timer: a late block gets TimeoutError, every other cancellation goes through."""

from __future__ import annotations

import asyncio

import pytest

from claimnotify.http.deadlines import Deadlines


async def _wait(deadlines: Deadlines, seconds: float) -> str:
    with deadlines.within(seconds):
        await asyncio.Event().wait()
    return "never"


async def test_a_block_that_is_late_is_interrupted_and_its_task_goes_on() -> None:
    deadlines = Deadlines()
    with pytest.raises(TimeoutError):
        await _wait(deadlines, 0.01)
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    await asyncio.sleep(0)


async def test_a_block_that_is_in_time_is_left_alone() -> None:
    deadlines = Deadlines()
    for _ in range(3):
        with deadlines.within(0.01):
            await asyncio.sleep(0)
    with deadlines.within(5.0):
        await asyncio.wait([asyncio.create_task(asyncio.sleep(0.05))])


# So far apart that a machine that stands still for a moment does not make two of them late at once.
@pytest.mark.parametrize("seconds", [(0.01, 0.4, 0.8), (0.8, 0.4, 0.01), (0.4, 0.8, 0.01)])
async def test_each_is_interrupted_in_its_turn(seconds: tuple[float, ...]) -> None:
    deadlines = Deadlines()
    ended: list[float] = []

    async def one(each: float) -> None:
        with pytest.raises(TimeoutError):
            await _wait(deadlines, each)
        ended.append(each)

    async with asyncio.timeout(10.0):
        await asyncio.gather(*(one(each) for each in seconds))
    assert ended == sorted(seconds)


@pytest.mark.parametrize("seconds", [0.0, -1.0])
async def test_a_deadline_that_has_passed_interrupts_at_once(seconds: float) -> None:
    with pytest.raises(TimeoutError):
        await _wait(Deadlines(), seconds)


async def test_somebody_elses_cancellation_is_no_timeout() -> None:
    task = asyncio.create_task(_wait(Deadlines(), 5.0))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_cancellation_that_comes_together_with_the_deadline_wins() -> None:
    """The task was told to stop, so it must not go on as if it had only been late."""
    deadlines = Deadlines()
    task = asyncio.create_task(_wait(deadlines, 5.0))
    await asyncio.sleep(0)
    (deadline,) = deadlines._running
    deadline.pass_()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_an_inner_deadline_is_not_the_outer_ones() -> None:
    deadlines = Deadlines()
    with deadlines.within(5.0):
        with pytest.raises(TimeoutError):
            await _wait(deadlines, 0.01)
        await asyncio.sleep(0)


async def test_an_error_of_the_block_goes_through() -> None:
    with pytest.raises(ZeroDivisionError), Deadlines().within(5.0):
        await asyncio.sleep(0)
        raise ZeroDivisionError


async def test_closing_spares_the_blocks_under_way() -> None:
    deadlines = Deadlines()
    task = asyncio.create_task(_wait(deadlines, 0.02))
    await asyncio.sleep(0)
    deadlines.close()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(task, 5.0)


def test_they_serve_one_loop_after_the_other() -> None:
    """A timer that was left behind in a loop that has ended never strikes."""
    deadlines = Deadlines()

    async def in_time() -> None:
        with deadlines.within(0.02):
            await asyncio.sleep(0)

    asyncio.run(in_time())
    with pytest.raises(TimeoutError):
        asyncio.run(asyncio.wait_for(_wait(deadlines, 0.05), 10))
