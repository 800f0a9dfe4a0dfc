"""On every engine, what a real DNS server answers decides whether a connection is made."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from claimnotify.errors import ConnectFailed, DeadlineExceeded, ForbiddenDestination
from claimnotify.http.egress import EgressPolicy
from claimnotify.http.pooled_engine import PooledEngine
from claimnotify.model.http import HttpRequest, HttpResponse
from claimnotify.testing.raw_server import RawServer, answering, read_request
from tests.contract.engines import ENGINES
from tests.dns_stub import SERVFAIL, SILENCE, DnsResolver, DnsStub

NAME = "hooks.example.com"
PUBLIC = "93.184.216.34"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
LOOPBACK = EgressPolicy(allow_networks=("127.0.0.1/32",), allow_http=True)


@pytest.fixture(params=ENGINES)
def engine_class(request: pytest.FixtureRequest) -> type[PooledEngine[Any]]:
    """Every engine of ours."""
    engine: type[PooledEngine[Any]] = request.param
    return engine


@asynccontextmanager
async def _engine(
    engine_class: type[PooledEngine[Any]], stub: DnsStub, policy: EgressPolicy = LOOPBACK
) -> AsyncIterator[PooledEngine[Any]]:
    engine = engine_class(policy, resolver=DnsResolver(stub))
    try:
        yield engine
    finally:
        await engine.aclose()


async def _post(
    engine: PooledEngine[Any], port: int, *, name: str = NAME, deadline: float = 10.0
) -> HttpResponse:
    request = HttpRequest(
        method="POST", url=f"http://{name}:{port}/", body=b"{}", deadline=deadline
    )
    return await engine.send(request)


@pytest.mark.parametrize(
    "answer",
    [
        ["127.0.0.2"],
        ["127.0.0.1", "127.0.0.2"],  # allowed and not
        ["127.0.0.2", "127.0.0.1"],
        [PUBLIC, "10.0.0.1"],  # public and private
        ["10.0.0.1", PUBLIC],
        [PUBLIC, "169.254.169.254"],
        [PUBLIC, "::1"],  # in the AAAA records
        ["127.0.0.1", "fd00:ec2::254"],
        ["127.0.0.1", "64:ff9b::a00:1"],
        ["127.0.0.1", "2606:4700::5efe:a00:1"],
        ["127.0.0.1", "0.0.0.0"],
        ["cdn.example.net", "db.corp", "10.0.0.5"],  # aliases to an internal host
        ["metadata.google.internal", "169.254.169.254"],
        ["127.0.0.1", *(f"127.0.0.{last}" for last in range(2, 80))],  # too long for UDP
    ],
    ids=lambda answer: "-".join(answer[:3]),
)
async def test_one_forbidden_answer_refuses_all_and_nothing_connects(
    engine_class: type[PooledEngine[Any]], answer: list[str]
) -> None:
    async with (
        RawServer(answering(OK), host="0.0.0.0") as server,
        DnsStub() as stub,
        _engine(engine_class, stub) as engine,
    ):
        stub.script(NAME, answer)
        with pytest.raises(ForbiddenDestination):
            await _post(engine, server.port)
        assert stub.asked == [NAME] * len(stub.asked) != []
        assert server.connections == 0


async def test_a_name_may_resolve_to_aliases_and_several_allowed_addresses(
    engine_class: type[PooledEngine[Any]],
) -> None:
    policy = EgressPolicy(allow_networks=("127.0.0.0/8",), allow_http=True)
    async with (
        RawServer(answering(OK)) as server,
        DnsStub() as stub,
        _engine(engine_class, stub, policy) as engine,
    ):
        stub.script(NAME, ["cdn.example.net", "127.0.0.2", "127.0.0.1"])
        assert (await _post(engine, server.port)).status == 200


async def test_an_answer_that_flips_after_registration_is_refused(
    engine_class: type[PooledEngine[Any]],
) -> None:
    async with (
        RawServer(answering(OK), host="0.0.0.0") as server,
        DnsStub() as stub,
        _engine(engine_class, stub) as engine,
    ):
        stub.script(NAME, ["127.0.0.1"], ["127.0.0.2"])
        url = f"http://{NAME}:{server.port}/"
        LOOPBACK.check_url(url)
        for address in await DnsResolver(stub)(NAME, server.port):
            LOOPBACK.check_address(address)
        with pytest.raises(ForbiddenDestination):
            await _post(engine, server.port)
        assert server.connections == 0


async def test_an_answer_that_flips_between_two_connections_is_refused(
    engine_class: type[PooledEngine[Any]],
) -> None:
    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(OK)

    async with (
        RawServer(once, host="0.0.0.0") as server,
        DnsStub() as stub,
        _engine(engine_class, stub) as engine,
    ):
        stub.script(NAME, ["127.0.0.1"], ["127.0.0.2"], ["127.0.0.1", "10.0.0.1"], ["127.0.0.1"])
        for allowed in (True, False, False, True):
            if allowed:
                assert (await _post(engine, server.port)).status == 200
            else:
                with pytest.raises(ForbiddenDestination):
                    await _post(engine, server.port)
        assert server.connections == 2
        assert stub.asked == [NAME] * 4, "one look-up for each connection"


@pytest.mark.parametrize("answer", [[], SERVFAIL, ["cdn.example.net"], None])
async def test_a_name_without_an_address_is_connect_failed(
    engine_class: type[PooledEngine[Any]], answer: list[str] | str | None
) -> None:
    async with DnsStub() as stub, _engine(engine_class, stub) as engine:
        if answer is not None:
            stub.script(NAME, answer)
        with pytest.raises(ConnectFailed):
            await _post(engine, 443)
        assert NAME in stub.asked


async def test_a_server_that_stays_silent_counts_towards_the_deadline(
    engine_class: type[PooledEngine[Any]],
) -> None:
    loop = asyncio.get_running_loop()
    async with DnsStub() as stub, _engine(engine_class, stub) as engine:
        stub.script(NAME, SILENCE)
        began = loop.time()
        with pytest.raises(DeadlineExceeded) as caught:
            await _post(engine, 443, deadline=0.3)
        assert not caught.value.sent
        assert loop.time() - began < 2.0
        assert NAME in stub.asked
