"""Sends webhooks in a network of its own, where the system's resolver asks our DNS server.

Run by `test_egress_system.py` under `unshare --mount --net`: the only interface is loopback, so public
addresses, private ones and the metadata service can really be listened on. Prints what happened as
JSON: scenario by scenario, engine by engine.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import trustme

from claimnotify.errors import ClaimnotifyError
from claimnotify.http.egress import EgressPolicy
from claimnotify.http.pooled_engine import PooledEngine
from claimnotify.model.http import HttpRequest
from claimnotify.testing.raw_server import RawServer, answering, read_request
from tests.contract.engines import ENGINES
from tests.dns_stub import SERVFAIL, SILENCE, DnsStub

NAME, OTHER = "hooks.partner.dev", "other.partner.dev"
PUBLIC, PRIVATE, METADATA = "93.184.216.34", "10.0.0.5", "169.254.169.254"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n"
SCENARIOS: dict[str, list[Any]] = {
    "public": [[PUBLIC]],
    "public and private": [[PUBLIC, PRIVATE]],
    "private and public": [[PRIVATE, PUBLIC]],
    "public and this machine, in IPv6": [[PUBLIC, "::1"]],
    "flips": [[PUBLIC], [PRIVATE]],
    "flips to metadata": [[PUBLIC], [PUBLIC, METADATA]],
    "flips and back": [[PUBLIC], [PRIVATE], [PUBLIC]],
    "aliases to an internal host": [["cdn.example.net", "db.corp", PRIVATE]],
    "too long for UDP": [[PUBLIC] + [f"10.0.1.{last}" for last in range(1, 80)]],
    "empty": [[]],
    "broken": [SERVFAIL],
    "silent": [SILENCE],
    "unknown": [],
}


class World:
    """Everything there is to connect to in this network."""

    def __init__(self) -> None:
        authority = trustme.CA()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(NAME, OTHER).configure_cert(context)
        context.sni_callback = lambda _socket, name, _context: self.names.append(name)
        self.trusting = ssl.create_default_context()
        authority.configure_trust(self.trusting)
        self.names: list[str | None] = []
        self.redirect = HEAD.replace(b"200 OK", b"302 Found")
        self.redirect += (
            f"Location: http://{METADATA}/latest/\r\nConnection: close\r\n\r\n".encode()
        )
        self.public = _listening(self._serve, PUBLIC, 443, context)
        self.forbidden = [
            _listening(self._serve, PRIVATE, 443, context),
            _listening(answering(HEAD + b"\r\n"), METADATA, 80),
            _listening(self._serve, METADATA, 443, context),
            _listening(answering(HEAD + b"\r\n"), "127.0.0.1", 3128),
        ]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head, _ = await read_request(reader)
        assert any(f"host: {name}\r\n".encode() in head.lower() for name in (NAME, OTHER))
        redirected = head.startswith(b"POST /moved ")
        writer.write(self.redirect if redirected else HEAD + b"Connection: close\r\n\r\n")


async def main() -> None:
    world = World()
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        os.environ[name] = os.environ[name.lower()] = "http://127.0.0.1:3128"
    os.environ["NO_PROXY"] = ""
    found: dict[str, dict[str, Any]] = {}
    async with DnsStub(port=53) as stub, world.public:
        for server in world.forbidden:
            await server.__aenter__()
        for engine_class in ENGINES:
            found[engine_class.__name__] = await _all(engine_class, stub, world)
        for server in world.forbidden:
            await server.__aexit__()
    json.dump(
        {
            "engines": found,
            "forbidden connections": sum(server.connections for server in world.forbidden),
            "over tcp": stub.over_tcp,
            "server names": sorted(set(map(str, world.names))),
        },
        sys.stdout,
    )


async def _all(
    engine_class: type[PooledEngine[Any]], stub: DnsStub, world: World
) -> dict[str, Any]:
    found: dict[str, Any] = {}
    engine = engine_class(EgressPolicy(), ssl_context=world.trusting)
    for scenario, answers in SCENARIOS.items():
        if answers:
            stub.script(NAME, *answers)
        outcomes = [
            await _outcome(engine, NAME if answers else "nowhere.partner.dev")
            for _ in answers or [1]
        ]
        found[scenario] = " ".join(outcomes)
    stub.script(OTHER, [PUBLIC])
    found["redirect"] = await _outcome(engine, OTHER, "/moved")
    found["silence takes one thread"] = await _crowd(engine, stub)
    await engine.aclose()
    return found


async def _crowd(engine: PooledEngine[Any], stub: DnsStub) -> str:
    """A crowd asks for a name whose server is silent; someone else's name is answered meanwhile."""
    stub.script("silent.partner.dev", SILENCE)
    crowd = [asyncio.create_task(_outcome(engine, "silent.partner.dev")) for _ in range(60)]
    while "silent.partner.dev" not in stub.asked:
        await asyncio.sleep(0)
    other = await _outcome(engine, OTHER)
    waiting = sum(not task.done() for task in crowd)
    outcomes = set(await asyncio.gather(*crowd))
    return f"{other} while {waiting} wait for {' '.join(outcomes)}"


async def _outcome(engine: PooledEngine[Any], host: str, path: str = "/") -> str:
    request = HttpRequest(method="POST", url=f"https://{host}{path}", body=b"{}", deadline=0.8)
    try:
        return str((await engine.send(request)).status)
    except ClaimnotifyError as error:
        return type(error).__name__


def _listening(peer: Any, host: str, port: int, context: ssl.SSLContext | None = None) -> RawServer:
    server = RawServer(peer, host=host, ssl_context=context)
    server.port = port
    return server


def build_network() -> None:
    """Give loopback the addresses, and the system's resolver our server, in this namespace only."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:

        def configure(code: int, name: str, value: bytes) -> None:
            fcntl.ioctl(control, code, struct.pack("16s", name.encode()) + value.ljust(24, b"\0"))

        configure(0x8914, "lo", struct.pack("h", 0x1))  # SIOCSIFFLAGS, IFF_UP
        for number, address in enumerate((PUBLIC, PRIVATE, METADATA)):
            value = struct.pack("hH4s", socket.AF_INET, 0, socket.inet_aton(address))
            configure(0x8916, f"lo:{number}", value)  # SIOCSIFADDR
    folder = Path(tempfile.mkdtemp())
    for name, text in (
        ("resolv.conf", "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n"),
        ("nsswitch.conf", "hosts: dns\n"),
    ):
        (folder / name).write_text(text)
        target = Path("/etc", name).resolve(strict=True)
        subprocess.run(["mount", "--bind", str(folder / name), str(target)], check=True)


if __name__ == "__main__":
    build_network()
    asyncio.run(main())
