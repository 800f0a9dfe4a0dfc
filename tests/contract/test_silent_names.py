"""On every engine, customers whose DNS servers are silent leave room for the others' deliveries."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from claimnotify.errors import ConnectFailed, DeadlineExceeded
from claimnotify.http.egress import EgressPolicy
from claimnotify.http.look_up_places import LookUpPlaces
from claimnotify.http.pooled_engine import PooledEngine
from claimnotify.http.resolving import NoPlace, SystemResolver
from claimnotify.model.http import HttpRequest, HttpResponse
from claimnotify.testing.raw_server import RawServer, answering
from tests.contract.engines import ENGINES

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
LOOPBACK = EgressPolicy(allow_networks=("127.0.0.1/32",), allow_http=True)
HEALTHY = "hooks.customer.net"
MANY_DOMAINS = [f"hooks.silent{number}.com" for number in range(100)]
ONE_DOMAIN = [f"name{number}.evil.com" for number in range(100)]


class Lookups:
    """Answers for one name; look-ups of all others hang until `speak`."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self._spoken = threading.Event()

    def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        if host != HEALTHY:
            self._spoken.wait(30.0)
        return ["127.0.0.1"]

    def speak(self) -> None:
        self._spoken.set()


@pytest.fixture
def lookups() -> Iterator[Lookups]:
    lookups = Lookups()
    yield lookups
    lookups.speak()


@pytest.fixture(params=ENGINES)
def engine_class(request: pytest.FixtureRequest) -> type[PooledEngine[Any]]:
    """Every engine of ours."""
    engine: type[PooledEngine[Any]] = request.param
    return engine


@asynccontextmanager
async def _asking(engine: PooledEngine[Any], names: Sequence[str]) -> AsyncIterator[list[Any]]:
    """Yield while requests to `names` are under way; the list is of their tasks."""
    tasks = [asyncio.create_task(_post(engine, name, 443)) for name in names]
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await engine.aclose()


async def _post(
    engine: PooledEngine[Any], name: str, port: int, *, deadline: float = 10.0
) -> HttpResponse:
    url = f"http://{name}:{port}/"
    return await engine.send(HttpRequest(method="POST", url=url, deadline=deadline))


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10.0):
        while not condition():
            await asyncio.sleep(0.005)


@pytest.mark.parametrize(
    ("names", "begun"), [(MANY_DOMAINS, 100), (ONE_DOMAIN, 24)], ids=["many domains", "one domain"]
)
async def test_a_healthy_endpoint_is_reached_beside_a_hundred_silent_names(
    engine_class: type[PooledEngine[Any]], lookups: Lookups, names: list[str], begun: int
) -> None:
    engine = engine_class(LOOPBACK, resolver=SystemResolver(look_up=lookups))
    async with RawServer(answering(OK)) as server, _asking(engine, names):
        await _until(lambda: len(lookups.asked) == begun)
        for _ in range(3):
            assert (await _post(engine, HEALTHY, server.port, deadline=2.0)).status == 200


async def test_a_look_up_that_got_no_place_is_our_fault_and_says_so(
    engine_class: type[PooledEngine[Any]], lookups: Lookups
) -> None:
    engine = engine_class(LOOPBACK, resolver=SystemResolver(look_up=lookups))
    async with _asking(engine, ONE_DOMAIN) as tasks:
        done, _ = await asyncio.wait(tasks, timeout=5.0, return_when=asyncio.FIRST_COMPLETED)
        error = done.pop().exception()
        assert isinstance(error, ConnectFailed)
        assert error.our_fault
        assert "too many look-ups are under way" in str(error)
        with pytest.raises(DeadlineExceeded) as caught:
            await _post(engine, ONE_DOMAIN[0], 443, deadline=0.1)
        assert not caught.value.our_fault, "its server is silent"


async def test_a_slow_name_that_finds_no_place_fails_at_once(lookups: Lookups) -> None:
    class Time:
        now = 0.0

    places = LookUpPlaces(monotonic=lambda: Time.now)
    resolver = SystemResolver(look_up=lookups, places=places)
    for name in ONE_DOMAIN[:2]:
        assert places.take(name)
        Time.now += 5.0
        places.give_back(name)
    tasks = [asyncio.create_task(resolver(name, 443)) for name in ONE_DOMAIN[2:26]]
    await _until(lambda: len(lookups.asked) == 24)
    Time.now += 5.0
    with pytest.raises(NoPlace, match="slow"):
        await resolver(ONE_DOMAIN[0], 443)
    lookups.speak()
    await asyncio.gather(*tasks)
    assert await resolver(ONE_DOMAIN[0], 443) == ["127.0.0.1"]


async def test_a_name_waits_for_a_place_while_others_of_its_domain_are_looked_up(
    lookups: Lookups,
) -> None:
    resolver = SystemResolver(look_up=lookups)
    tasks = [asyncio.create_task(resolver(name, 443)) for name in ONE_DOMAIN]
    await _until(lambda: len(lookups.asked) == 24)
    lookups.speak()
    assert await asyncio.gather(*tasks) == [["127.0.0.1"]] * 100


async def test_whoever_asks_for_the_same_name_shares_one_look_up_on_whatever_loop(
    lookups: Lookups,
) -> None:
    resolver = SystemResolver(look_up=lookups)
    asking = threading.Event()

    async def ask() -> Sequence[str]:
        task = asyncio.create_task(resolver("hooks.silent.com", 443))
        await asyncio.sleep(0)  # so that it has asked
        asking.set()
        return await task

    given_up, waiting = asyncio.create_task(ask()), asyncio.create_task(ask())
    await _until(asking.is_set)
    asking.clear()
    elsewhere = asyncio.create_task(asyncio.to_thread(asyncio.run, ask()))
    await _until(asking.is_set)
    given_up.cancel()
    await asyncio.wait([given_up])
    assert given_up.cancelled()
    lookups.speak()
    assert await waiting == await elsewhere == ["127.0.0.1"]
    assert lookups.asked == ["hooks.silent.com"]


def test_a_look_up_that_hangs_does_not_keep_the_process_from_ending() -> None:
    program = """
import asyncio, threading
from claimnotify.http.resolving import SystemResolver

async def main() -> None:
    resolver = SystemResolver(look_up=lambda host, port: threading.Event().wait() or [])
    try:
        async with asyncio.timeout(0.1):
            await resolver("hooks.silent.com", 443)
    except TimeoutError:
        print("ended")

asyncio.run(main())
"""
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=20.0, check=True
    )
    assert ended.stdout == "ended\n"
    assert ended.stderr == ""
