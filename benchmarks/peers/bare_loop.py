"""The limit: a loop that signs and posts over one HTTP client, with no queue and no database.

Obeys a benchmark: `python -m peers.bare_loop`.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport
from measuring.dialogue import answer

from peers.delivering import payload, signed

Post = Callable[[str, bytes, dict[str, str]], Awaitable[int]]
_TIMEOUT = 15.0


@asynccontextmanager
async def _aiohttp(lanes: int) -> AsyncIterator[list[Post]]:
    timeout = aiohttp.ClientTimeout(total=_TIMEOUT)
    connector = aiohttp.TCPConnector(limit=lanes)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:

        async def post(url: str, body: bytes, headers: dict[str, str]) -> int:
            async with session.post(url, data=body, headers=headers) as response:
                await response.read()
                return response.status

        yield [post] * lanes


@asynccontextmanager
async def _httpx(lanes: int) -> AsyncIterator[list[Post]]:
    """httpx as fast as it goes: a client with one connection for each lane."""
    async with AsyncExitStack() as stack:
        context = httpx.create_ssl_context()
        limits = httpx.Limits(max_connections=1)
        clients = [
            await stack.enter_async_context(
                httpx.AsyncClient(limits=limits, verify=context, trust_env=False, timeout=_TIMEOUT)
            )
            for _ in range(lanes)
        ]
        yield [_over(client) for client in clients]


@asynccontextmanager
async def _httpx_aiohttp(lanes: int) -> AsyncIterator[list[Post]]:
    limits = httpx.Limits(max_connections=lanes, max_keepalive_connections=lanes)
    transport = AiohttpTransport(limits=limits, trust_env=False)
    async with httpx.AsyncClient(transport=transport, trust_env=False, timeout=_TIMEOUT) as client:
        yield [_over(client)] * lanes


def _over(client: httpx.AsyncClient) -> Post:
    async def post(url: str, body: bytes, headers: dict[str, str]) -> int:
        return (await client.post(url, content=body, headers=headers)).status_code

    return post


_CLIENTS = {"aiohttp": _aiohttp, "httpx": _httpx, "httpx-aiohttp": _httpx_aiohttp}


async def _run(client: str, urls: Sequence[str], first: int, count: int, lanes: int) -> list[float]:
    secret = "whsec_" + base64.b64encode(os.urandom(24)).decode()
    numbers = iter(range(first, first + count))

    async def lane(post: Post) -> None:
        for number in numbers:  # shared: each lane takes the next
            body = json.dumps({"type": "seat.upgraded", "data": payload(number)}).encode()
            headers = signed(secret, f"msg_{number}", body)
            status = await post(urls[number % len(urls)], body, headers)
            if status != 200:
                raise RuntimeError(f"the sink answered {status}")

    async with _CLIENTS[client](lanes) as posts:
        began, cpu = time.perf_counter(), time.process_time()
        async with asyncio.TaskGroup() as group:
            for post in posts:
                group.create_task(lane(post))
        return [time.perf_counter() - began, time.process_time() - cpu]


def run(client: str, urls: Sequence[str], first: int, count: int, lanes: int) -> list[float]:
    """Post `count` webhooks over `client`, `lanes` at a time; return seconds and CPU seconds."""
    return asyncio.run(_run(client, urls, first, count, lanes))


if __name__ == "__main__":
    answer({"run": run})
