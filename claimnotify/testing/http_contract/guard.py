"""What every engine must refuse: forbidden addresses, tricks with names, redirects, proxies."""

from __future__ import annotations

import asyncio
import socket

import pytest

from claimnotify.errors import ForbiddenDestination
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
    """Every address is checked, the checked one is used, and no response leads to another."""

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
                with pytest.raises(ForbiddenDestination) as caught:
                    await post(engine, f"http://{NAME}:{server.port}/")
            assert server.connections == 0
            told = f"{caught.value}{caught.value!r}"
            assert not any(address in told for address in answers), "it may be shown to a customer"

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

    # the ways round it

    async def test_follows_no_redirect(self) -> None:
        """Not even to where the policy would allow a connection."""
        async with RawServer(answering(OK)) as elsewhere, self.engine() as engine:
            for status in (300, 301, 302, 303, 307, 308):
                for location in (
                    f"http://{METADATA}/latest/meta-data/",
                    f"http://127.0.0.1:{elsewhere.port}/",
                    f"//127.0.0.1:{elsewhere.port}/",
                ):
                    headers = f"Location: {location}\r\nRefresh: 0; url={location}"
                    response = f"HTTP/1.1 {status} Go\r\n{headers}\r\nContent-Length: 0\r\n\r\n"
                    requests: list[tuple[bytes, bytes]] = []
                    async with RawServer(answering(response.encode(), requests)) as server:
                        got = await post(engine, f"http://127.0.0.1:{server.port}/")
                    assert (got.status, got.headers["location"]) == (status, location)
                    assert len(requests) == 1
            assert elsewhere.connections == 0

    async def test_takes_no_proxy_from_the_environment(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        server_context, client_context = tls_contexts(NAME)
        async with (
            RawServer(answering(OK)) as proxy,
            RawServer(answering(OK)) as plain,
            RawServer(answering(OK), ssl_context=server_context) as secure,
        ):
            for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
                monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
                monkeypatch.setenv(name.lower(), f"http://127.0.0.1:{proxy.port}")
            for name in ("NO_PROXY", "no_proxy"):
                monkeypatch.setenv(name, "other.example.com")
            names = Names(["127.0.0.1"])
            async with self.engine(resolver=names, ssl_context=client_context) as engine:
                await post(engine, f"http://{NAME}:{plain.port}/")
                await post(engine, f"https://{NAME}:{secure.port}/")
                await post(engine, f"http://127.0.0.1:{plain.port}/")
            assert (proxy.connections, plain.connections, secure.connections) == (0, 2, 1)
