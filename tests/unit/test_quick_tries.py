"""Quick tries: once or twice more after a failure that sent nothing, never past the deadline."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from random import Random

import pytest

from claimnotify.errors import ConnectFailed, ResponseBroken
from claimnotify.policy.quick_tries import with_quick_tries


class Peer:
    """Fails as scripted, then answers."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.tries = 0

    async def __call__(self) -> str:
        self.tries += 1
        if self.failures:
            raise self.failures.pop(0)
        return "answer"


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Notes the waits instead of waiting."""
    noted: list[float] = []

    async def note(seconds: float) -> None:
        noted.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", note)
    return noted


async def try_it(peer: Peer, *, deadline: float = 15.0) -> str:
    return await with_quick_tries(
        peer,
        deadline=timedelta(seconds=deadline),
        retry_on=ConnectFailed,
        random=Random(7),
        monotonic=lambda: 0.0,
    )


async def test_a_first_success_is_returned_without_waiting(waits: list[float]) -> None:
    peer = Peer()
    assert await try_it(peer) == "answer"
    assert (peer.tries, waits) == (1, [])


@pytest.mark.parametrize("failures", [1, 2])
async def test_a_failed_connection_is_tried_again(failures: int, waits: list[float]) -> None:
    peer = Peer(*(ConnectFailed(str(number)) for number in range(failures)))
    assert await try_it(peer) == "answer"
    assert peer.tries == failures + 1
    assert [0.1 <= waits[0] <= 0.15, *(0.4 <= wait <= 0.6 for wait in waits[1:])] == [
        True
    ] * failures


async def test_after_three_tries_the_last_failure_is_raised() -> None:
    peer = Peer(*(ConnectFailed(str(number)) for number in range(9)))
    with pytest.raises(ConnectFailed, match="2"):
        await try_it(peer)
    assert peer.tries == 3


@pytest.mark.parametrize(("deadline", "tries"), [(0.05, 1), (0.2, 2), (5.0, 3)])
async def test_no_try_begins_after_the_deadline(deadline: float, tries: int) -> None:
    now = 0.0

    class Slow(Peer):
        async def __call__(self) -> str:
            nonlocal now
            now += 0.04
            return await super().__call__()

    peer = Slow(*(ConnectFailed(str(number)) for number in range(9)))
    with pytest.raises(ConnectFailed):
        await with_quick_tries(
            peer,
            deadline=timedelta(seconds=deadline),
            retry_on=(ConnectFailed, OSError),
            random=Random(7),
            monotonic=lambda: now,
        )
    assert peer.tries == tries


@pytest.mark.parametrize(
    "failures", [[ResponseBroken("gone")], [ConnectFailed("no"), ResponseBroken("gone")]]
)
async def test_a_failure_that_may_have_sent_something_is_not_retried(
    failures: list[Exception],
) -> None:
    peer = Peer(*failures)
    with pytest.raises(ResponseBroken):
        await try_it(peer)
    assert peer.tries == len(failures)
