"""A small DNS server on loopback that answers as scripted, and a resolver that really asks it."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
from collections.abc import Sequence
from typing import Any, Self, TypeAlias

import dns.asyncresolver
import dns.exception
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.resolver
import dns.rrset

__all__ = ["SERVFAIL", "SILENCE", "DnsResolver", "DnsStub"]

SERVFAIL = "SERVFAIL"
SILENCE = "SILENCE"

Answer: TypeAlias = Sequence[str] | str
"""Addresses, of both kinds; names before them are aliases that lead to them. Or SERVFAIL, or SILENCE."""


class DnsStub:
    """Answers over UDP, and over TCP what UDP has no room for; an async context manager.

    A name gets one answer after another, the last one for ever; A and AAAA queries count apart. A
    name without a script does not exist.
    """

    def __init__(self, *, host: str = "127.0.0.1", port: int = 0) -> None:
        self.host, self.port = host, port
        self.asked: list[str] = []
        """The names of A queries."""
        self.over_tcp = 0
        self._scripts: dict[tuple[str, dns.rdatatype.RdataType], list[Answer]] = {}

    def script(self, name: str, *answers: Answer) -> None:
        """Give these answers to queries for `name`."""
        for kind in (dns.rdatatype.A, dns.rdatatype.AAAA):
            self._scripts[name, kind] = list(answers)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._stream, self.host, self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(
            lambda: _Datagrams(self), (self.host, self.port)
        )
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._transport.close()
        self._server.close()

    def reply(self, wire: bytes) -> dns.message.Message | None:
        """Return the response to a query, or None to stay silent."""
        query = dns.message.from_wire(wire)
        (question,) = query.question
        name, kind = question.name.to_text(omit_final_dot=True), question.rdtype
        if kind == dns.rdatatype.A:
            self.asked.append(name)
        answers: list[Answer] = self._scripts.get((name, kind), [])
        response = dns.message.make_response(query, recursion_available=True)
        if not answers:
            response.set_rcode(dns.rcode.NXDOMAIN)
            return response
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if answer == SILENCE:
            return None
        if answer == SERVFAIL:
            response.set_rcode(dns.rcode.SERVFAIL)
            return response
        owner = name
        for value in answer:
            found = _record(value)
            if found == dns.rdatatype.CNAME:
                response.answer.append(_rrset(owner, "CNAME", f"{value}."))
                owner = value
            elif found == kind:
                response.answer.append(_rrset(owner, dns.rdatatype.to_text(kind), value))
        return response

    async def _stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(EOFError, OSError):
            while True:
                length = int.from_bytes(await reader.readexactly(2))
                response = self.reply(await reader.readexactly(length))
                self.over_tcp += 1
                if response is not None:
                    wire = response.to_wire(max_size=65535)
                    writer.write(len(wire).to_bytes(2) + wire)
        writer.close()


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, stub: DnsStub) -> None:
        self._stub = stub

    def connection_made(self, transport: Any) -> None:
        self._transport: asyncio.DatagramTransport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        response = self._stub.reply(data)
        if response is None:
            return
        try:
            wire = response.to_wire(max_size=512)
        except dns.exception.TooBig:
            response.answer.clear()
            response.flags |= dns.flags.TC
            wire = response.to_wire()
        self._transport.sendto(wire, addr)


class DnsResolver:
    """Asks one DNS server for the addresses of a name; what an engine takes as its resolver."""

    def __init__(self, stub: DnsStub) -> None:
        self._resolver = dns.asyncresolver.Resolver(configure=False)
        self._resolver.nameservers = [stub.host]
        self._resolver.port = stub.port
        self._resolver.lifetime = 60.0  # the engine's deadline is what counts

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        found: list[str] = []
        for kind in ("A", "AAAA"):
            try:
                answer = await self._resolver.resolve(host, kind, search=False)
            except dns.resolver.NoAnswer:
                continue
            except dns.exception.DNSException as error:
                raise socket.gaierror(socket.EAI_FAIL, type(error).__name__) from None
            found.extend(record.to_text() for record in answer)
        return found


def _record(value: str) -> dns.rdatatype.RdataType:
    try:
        version = ipaddress.ip_address(value).version
    except ValueError:
        return dns.rdatatype.CNAME
    return dns.rdatatype.A if version == 4 else dns.rdatatype.AAAA


def _rrset(owner: str, kind: str, value: str) -> dns.rrset.RRset:
    return dns.rrset.from_text(f"{owner}.", 0, "IN", kind, value)
