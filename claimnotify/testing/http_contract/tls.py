"""What every engine must ask of a TLS server: the name's certificate, from a trusted authority, in date."""

from __future__ import annotations

import asyncio
import ssl
import warnings
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from claimnotify.errors import ConnectFailed
from claimnotify.testing.http_contract.case import NAME, OK, EngineCase, Names, post, tls_contexts
from claimnotify.testing.raw_server import RawServer, answering

__all__ = ["TlsContract"]


@pytest.mark.asyncio
class TlsContract(EngineCase):
    """The connection goes to an address, and everything about it is the name's."""

    async def test_the_certificate_and_server_name_are_the_hosts(self) -> None:
        server_context, client_context = tls_contexts(NAME)
        names: list[str | None] = []
        server_context.sni_callback = lambda _socket, name, _context: names.append(name)
        requests: list[tuple[bytes, bytes]] = []
        async with (
            RawServer(answering(OK, requests), ssl_context=server_context) as server,
            self.engine(resolver=Names(["127.0.0.1"]), ssl_context=client_context) as engine,
        ):
            for _ in range(2):
                assert (await post(engine, f"https://{NAME}:{server.port}/")).status == 200
            assert (names, server.connections) == ([NAME], 1)
            assert f"host: {NAME}:{server.port}\r\n".encode() in requests[0][0].lower()

    async def test_a_certificate_for_an_address_is_that_of_a_url_with_the_address(self) -> None:
        server_context, client_context = tls_contexts("127.0.0.1")
        async with (
            RawServer(answering(OK), ssl_context=server_context) as server,
            self.engine(ssl_context=client_context) as engine,
        ):
            assert (await post(engine, f"https://127.0.0.1:{server.port}/")).status == 200

    @pytest.mark.parametrize(
        "subject", ["other.example.com", "127.0.0.1", "example.com", "*.hooks.example.com"]
    )
    async def test_a_certificate_for_another_name_is_refused(self, subject: str) -> None:
        """One for the address that we connect to is such a one."""
        server_context, client_context = tls_contexts(subject)
        await self._refuses(server_context, client_context)

    async def test_a_certificate_of_an_unknown_authority_is_refused(self) -> None:
        server_context, _ = tls_contexts(NAME)
        await self._refuses(server_context, ssl.create_default_context())

    async def test_a_certificate_that_signs_itself_is_refused(self, tmp_path: Path) -> None:
        import trustme

        itself = trustme.CA()
        both = tmp_path / "itself.pem"
        both.write_bytes(itself.private_key_pem.bytes() + itself.cert_pem.bytes())
        server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server_context.load_cert_chain(both)
        await self._refuses(server_context, ssl.create_default_context())

    @pytest.mark.parametrize("days", [(-20, -10), (10, 20)], ids=["expired", "not yet"])
    async def test_a_certificate_out_of_date_is_refused(self, days: tuple[int, int]) -> None:
        import trustme

        begin, end = (datetime.now(UTC) + timedelta(days=each) for each in days)
        authority = trustme.CA()
        server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(NAME, not_before=begin, not_after=end).configure_cert(server_context)
        client_context = ssl.create_default_context()
        authority.configure_trust(client_context)
        await self._refuses(server_context, client_context)

    async def test_tls_older_than_1_2_is_refused(self) -> None:
        server_context, client_context = tls_contexts(NAME)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            for context in (server_context, client_context):
                context.minimum_version = ssl.TLSVersion.TLSv1
                context.set_ciphers("ALL:@SECLEVEL=0")
            server_context.maximum_version = ssl.TLSVersion.TLSv1_1
        await self._refuses(server_context, client_context)

    async def test_a_server_without_tls_is_refused(self) -> None:
        async def eager(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(OK)
            await reader.read()

        async with RawServer(eager) as server, self.engine(resolver=Names(["127.0.0.1"])) as engine:
            with pytest.raises(ConnectFailed):
                await post(engine, f"https://{NAME}:{server.port}/", deadline=5.0)

    async def _refuses(
        self, server_context: ssl.SSLContext, client_context: ssl.SSLContext
    ) -> None:
        requests: list[tuple[bytes, bytes]] = []
        async with (
            RawServer(answering(OK, requests), ssl_context=server_context) as server,
            self.engine(resolver=Names(["127.0.0.1"]), ssl_context=client_context) as engine,
        ):
            with pytest.raises(ConnectFailed):
                await post(engine, f"https://{NAME}:{server.port}/", deadline=5.0)
        assert requests == []
