"""Every store of seen ids keeps the contract of `SeenIds`: in memory, and in a real Redis."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

from claimnotify.errors import InvalidInput
from claimnotify.webhooks.receiving import (
    Claim,
    MemorySeenIds,
    RedisSeenIds,
    Seen,
    SeenIds,
)
from tests.waiting import until

Make = Callable[..., SeenIds]


@pytest.fixture(params=["memory", "redis", "redis, decoding"])
def make(request: pytest.FixtureRequest) -> Iterator[Make]:
    """Makes a store; in Redis, two see the same ids."""
    if request.param == "memory":
        yield MemorySeenIds
        return
    import redis

    decoding = "decoding" in request.param
    with redis.Redis.from_url(
        request.getfixturevalue("redis_url"), decode_responses=decoding
    ) as client:
        yield lambda **options: RedisSeenIds(client, **options)


def test_an_id_is_new_once(make: Make) -> None:
    seen = make()
    first = seen.claim("a")
    assert (first.state, first.message_id) == (Seen.NEW, "a")
    assert seen.claim("a").state is Seen.UNDER_WAY
    assert seen.claim("b").state is Seen.NEW
    seen.done(first)
    assert seen.claim("a").state is Seen.DONE
    assert seen.claim("a").state is Seen.DONE


def test_a_forgotten_id_is_new_again(make: Make) -> None:
    seen = make()
    seen.forget(seen.claim("a"))
    again = seen.claim("a")
    assert again.state is Seen.NEW
    seen.done(again)
    assert seen.claim("a").state is Seen.DONE


def test_a_claim_that_nobody_ends_ends_by_itself(make: Make) -> None:
    seen = make(lease=timedelta(milliseconds=50))
    first = seen.claim("a")
    until(lambda: seen.claim("a").state is Seen.NEW)
    assert first.state is Seen.NEW


def test_who_lost_its_claim_frees_nothing_of_its_successor(make: Make) -> None:
    seen = make(lease=timedelta(milliseconds=300))
    late = seen.claim("a")

    def what_the_next_one_is() -> Seen | None:
        began = time.monotonic()
        if seen.claim("a").state is not Seen.NEW:
            return None
        seen.forget(late)
        state = seen.claim("a").state
        in_time = time.monotonic() - began < 0.3  # else the successor's own lease may have ended
        return state if in_time else None

    assert until(what_the_next_one_is) is Seen.UNDER_WAY


def test_what_is_done_late_is_done_all_the_same(make: Make) -> None:
    """The work is done, whoever holds the claim by now."""
    seen = make(lease=timedelta(milliseconds=300))
    late = seen.claim("a")
    until(lambda: seen.claim("a").state is Seen.NEW)
    seen.done(late)
    assert seen.claim("a").state is Seen.DONE


def test_what_is_done_is_not_freed_by_a_late_failure(make: Make) -> None:
    seen = make(lease=timedelta(milliseconds=300))
    late = seen.claim("a")
    successors: list[Claim] = []

    def taken_over() -> bool:
        claim = seen.claim("a")
        successors.append(claim)
        return claim.state is Seen.NEW

    until(taken_over)
    seen.done(successors[-1])
    seen.forget(late)
    assert seen.claim("a").state is Seen.DONE


def test_what_is_done_is_remembered_for_a_while(make: Make) -> None:
    seen = make(keep=timedelta(milliseconds=50))
    assert seen.keep == timedelta(milliseconds=50)
    seen.done(seen.claim("a"))
    until(lambda: seen.claim("a").state is Seen.NEW)


def test_ids_may_be_any_text(make: Make) -> None:
    seen = make()
    for each in ("ü", "a b\r\n*:", "x" * 10_000, "\x00", ""):
        seen.done(seen.claim(each))
        assert seen.claim(each).state is Seen.DONE


def test_of_many_threads_one_finds_an_id_new(make: Make) -> None:
    seen = make()
    together = threading.Barrier(8)

    def claim_all(_: int) -> list[str]:
        together.wait()
        return [name for name in map(str, range(200)) if seen.claim(name).state is Seen.NEW]

    with ThreadPoolExecutor(8) as pool:
        found = [name for part in pool.map(claim_all, range(8)) for name in part]
    assert sorted(found, key=int) == list(map(str, range(200)))


def test_of_many_processes_one_finds_an_id_new(redis_url: str) -> None:
    script = (
        "import redis, sys; from claimnotify.webhooks.receiving import RedisSeenIds, Seen; "
        "seen = RedisSeenIds(redis.Redis.from_url(sys.argv[1])); sys.stdin.readline(); "
        "print(*[n for n in range(300) if seen.claim(str(n)).state is Seen.NEW])"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", script, redis_url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    found = [int(name) for each in processes for name in each.communicate()[0].split()]
    assert sorted(found) == list(range(300))
    assert [each.returncode for each in processes] == [0, 0, 0]


def test_prefixes_keep_senders_apart(redis_url: str) -> None:
    import redis

    with redis.Redis.from_url(redis_url) as client:
        for prefix in ("one:", "two:"):
            assert RedisSeenIds(client, prefix=prefix).claim("a").state is Seen.NEW


def test_a_redis_that_is_away_is_the_clients_error() -> None:
    """Nothing passes for new while nobody knows."""
    import redis

    seen = RedisSeenIds(redis.Redis(port=1, socket_connect_timeout=1))
    with pytest.raises(redis.ConnectionError):
        seen.claim("a")


async def test_an_asyncio_client_is_refused() -> None:
    """Its answers would all count as new."""
    import redis.asyncio

    client = redis.asyncio.Redis()
    with pytest.raises(InvalidInput, match="asyncio"):
        RedisSeenIds(client)
    await client.aclose()


@pytest.mark.parametrize(
    "span", [timedelta(0), timedelta(microseconds=999), timedelta(seconds=-1), 60, None]
)
@pytest.mark.parametrize("name", ["keep", "lease"])
def test_spans_last_a_millisecond_at_least(make: Make, name: str, span: Any) -> None:
    """Redis counts milliseconds: a shorter claim would be an error of the client at every request."""
    with pytest.raises(InvalidInput, match=name):
        make(**{name: span})


@pytest.mark.parametrize("name", ["keep", "lease"])
def test_spans_may_last_a_millisecond(make: Make, name: str) -> None:
    seen = make(**{name: timedelta(milliseconds=1)})
    seen.done(seen.claim("a"))


@pytest.mark.parametrize("size", [0, -1, True, 1.5, None])
def test_memory_holds_one_id_at_least(size: Any) -> None:
    with pytest.raises(InvalidInput, match="size"):
        MemorySeenIds(size=size)


def test_memory_is_bounded_and_drops_the_oldest() -> None:
    now = 0.0
    seen = MemorySeenIds(size=100, monotonic=lambda: now)
    for number in range(1000):
        seen.done(seen.claim(str(number)))
        now += 1
    assert len(seen) == 100
    assert seen.claim("899").state is Seen.NEW
    assert seen.claim("900").state is Seen.DONE


def test_memory_gives_back_what_has_ended() -> None:
    now = 0.0
    seen = MemorySeenIds(keep=timedelta(hours=1), lease=timedelta(minutes=1), monotonic=lambda: now)
    for number in range(100):
        claim = seen.claim(str(number))
        if number % 2:
            seen.done(claim)
    now = 60.0
    assert seen.claim("1").state is Seen.DONE
    assert len(seen) == 50
    now = 3600.0
    seen.claim("x")
    assert len(seen) == 1
