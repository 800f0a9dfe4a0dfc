"""What every engine must refuse: forbidden addresses, tricks with names, bad certificates."""

from __future__ import annotations

import asyncio
import socket
import ssl
import warnings

import pytest

from claimnotify.errors import ConnectFailed, ForbiddenDestination
from claimnotify.http.egress import EgressPolicy
from claimnotify.testing.http_contract.case import (
    METADATA,
    NAME,
    OK,
    EngineCase,
    Names,
    post,
    tls_contexts,
)
from claimnotify.testing.raw_server import RawServer, answering, read_request

__all__ = ["GuardContract"]


@pytest.mark.asyncio
class GuardContract(EngineCase):
    """Every address is checked, the checked one is used, and the certificate is the name's."""

    # the guard

    @pytest.mark.parametrize(
        "answers",
        [
            ["127.0.0.1"],
            ["93.184.216.34", "127.0.0.1"],
            ["127.0.0.1", "93.184.216.34"],
            ["::ffff:127.0.0.1"],
            ["2606:2800:220:1::1", "::1"],
            ["93.184.216.34", METADATA],
            ["64:ff9b::7f00:1"],
            ["not an address"],
        ],
    )
    async def test_one_forbidden_address_refuses_the_name(self, answers: list[str]) -> None:
        async with RawServer(answering(OK)) as server:
            policy = EgressPolicy(allow_http=True, allow_ports=(server.port,))
            async with self.engine(policy, resolver=Names(answers)) as engine:
                with pytest.raises(ForbiddenDestination):
                    await post(engine, f"http://{NAME}:{server.port}/")
            assert server.connections == 0

    async def test_a_name_that_changes_its_answer_is_judged_by_what_is_connected_to(self) -> None:
        """One look-up per connection: there is no second answer to be tricked with."""
        names = Names(["127.0.0.1"], [METADATA])

        async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await read_request(reader)
            writer.write(OK.replace(b"\r\n", b"\r\nConnection: close\r\n", 1))

        async with RawServer(once) as server, self.engine(resolver=names) as engine:
            url = f"http://{NAME}:{server.port}/"
            assert (await post(engine, url)).status == 200
            assert names.asked == [NAME]
            with pytest.raises(ForbiddenDestination):
                await post(engine, url)
            assert server.connections == 1

    async def test_connects_to_the_address_but_names_the_host(self) -> None:
        requests: list[tuple[bytes, bytes]] = []
        async with (
            RawServer(answering(OK, requests)) as server,
            self.engine(resolver=Names(["127.0.0.1"])) as engine,
        ):
            await post(engine, f"http://{NAME}:{server.port}/")
            assert f"host: {NAME}:{server.port}\r\n".encode() in requests[0][0].lower()

    @pytest.mark.parametrize(
        "url",
        [
            f"http://{METADATA}/latest/",
            "http://127.0.0.1:{port}/",
            "http://2130706433:{port}/",
            "https://user:pass@example.com/",
            "ftp://example.com/",
            "http://localhost:{port}/",
        ],
    )
    async def test_a_forbidden_url_is_refused_without_a_connection(self, url: str) -> None:
        names = Names(["127.0.0.1"])
        async with RawServer(answering(OK)) as server:
            policy = EgressPolicy(allow_http=True, allow_ports=(server.port,))
            async with self.engine(policy, resolver=names) as engine:
                with pytest.raises(ForbiddenDestination):
                    await post(engine, url.replace("{port}", str(server.port)))
            assert (server.connections, names.asked) == (0, [])

    async def test_a_literal_address_is_judged_without_asking_anyone(self) -> None:
        """No library looks up a literal address, so a guard that sits in the look-up misses it."""
        names = Names(["127.0.0.1"])
        async with RawServer(answering(OK)) as server, self.engine(resolver=names) as engine:
            assert (await post(engine, f"http://127.0.0.1:{server.port}/")).status == 200
            for host in ("10.0.0.1", METADATA, "[::1]", "[::ffff:10.0.0.1]", "[fe80::1]"):
                with pytest.raises(ForbiddenDestination):
                    await post(engine, f"http://{host}:{server.port}/")
        assert names.asked == []

    async def test_reaches_an_allowed_ipv6_address(self) -> None:
        requests: list[tuple[bytes, bytes]] = []
        policy = EgressPolicy(allow_networks=("::1/128",), allow_http=True)
        try:
            socket.create_server(("::1", 0), family=socket.AF_INET6).close()
        except OSError:
            pytest.skip("there is no IPv6 here")
        async with (
            RawServer(answering(OK, requests), host="::1") as server,
            self.engine(policy) as engine,
        ):
            assert (await post(engine, f"http://[::1]:{server.port}/")).status == 200
        assert f"host: [::1]:{server.port}\r\n".encode() in requests[0][0].lower()

    async def test_the_port_rule_holds_for_a_public_name_and_not_for_an_allowed_network(
        self,
    ) -> None:
        async with RawServer(answering(OK)) as server:
            url = f"http://{NAME}:{server.port}/"
            async with self.engine(resolver=Names(["93.184.216.34"])) as engine:
                with pytest.raises(ForbiddenDestination):
                    await post(engine, url)
            async with self.engine(resolver=Names(["127.0.0.1"])) as engine:
                assert (await post(engine, url)).status == 200

    # TLS

    async def test_the_certificate_and_server_name_are_the_hosts(self) -> None:
        server_context, client_context = tls_contexts(NAME)
        names: list[str | None] = []
        server_context.sni_callback = lambda _socket, name, _context: names.append(name)
        async with (
            RawServer(answering(OK), ssl_context=server_context) as server,
            self.engine(resolver=Names(["127.0.0.1"]), ssl_context=client_context) as engine,
        ):
            for _ in range(2):
                assert (await post(engine, f"https://{NAME}:{server.port}/")).status == 200
            assert (names, server.connections) == ([NAME], 1)

    async def test_a_certificate_for_another_name_is_refused(self) -> None:
        server_context, client_context = tls_contexts("other.example.com")
        await self._refuses_tls(server_context, client_context)

    async def test_a_certificate_of_an_unknown_authority_is_refused(self) -> None:
        server_context, _ = tls_contexts(NAME)
        await self._refuses_tls(server_context, ssl.create_default_context())

    async def test_tls_older_than_1_2_is_refused(self) -> None:
        server_context, client_context = tls_contexts(NAME)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            for context in (server_context, client_context):
                context.minimum_version = ssl.TLSVersion.TLSv1
                context.set_ciphers("ALL:@SECLEVEL=0")
            server_context.maximum_version = ssl.TLSVersion.TLSv1_1
        await self._refuses_tls(server_context, client_context)

    async def _refuses_tls(
        self, server_context: ssl.SSLContext, client_context: ssl.SSLContext
    ) -> None:
        requests: list[tuple[bytes, bytes]] = []
        async with (
            RawServer(answering(OK, requests), ssl_context=server_context) as server,
            self.engine(resolver=Names(["127.0.0.1"]), ssl_context=client_context) as engine,
        ):
            with pytest.raises(ConnectFailed):
                await post(engine, f"https://{NAME}:{server.port}/")
        assert requests == []
