"""aiosmtpd's server, made to misbehave at any verb as a script says. Imported lazily.

It needs the extra `claimnotify[testing]`; applications use `claimnotify.testing.SmtpServer`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult

from claimnotify.testing.script import Script

__all__ = ["LoopbackController", "LoginCheck", "ScriptedSmtp"]

_VERBS = ("EHLO", "HELO", "STARTTLS", "AUTH", "MAIL", "RCPT", "DATA", "RSET", "NOOP", "QUIT")


class ScriptedSmtp(SMTP):
    """One connection, which looks at the script before it does a verb."""

    def __init__(
        self,
        handler: Any,
        script: Script[str],
        on_verb: Callable[[str], None],
        *,
        login_required: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(handler, **options)
        self._login_required = login_required
        self._script = script
        self._on_verb = on_verb

    async def _handle_client(self) -> None:
        reply = await self.scripted("CONNECT")
        if reply is None:
            await super()._handle_client()
        else:
            await self.push(reply)
            self._close()

    async def check_auth_needed(self, caller_method: str) -> bool:
        """Refuse `caller_method` before a login; aiosmtpd's own switch for it warns without TLS."""
        if not self._login_required or (self.session is not None and self.session.authenticated):
            return False
        await self.push("530 5.7.0 Authentication required")
        return True

    async def scripted(self, step: str) -> str | None:
        """Return the answer planned for `step`, or None; hang or drop here if that is planned."""
        self._on_verb(step)
        planned = self._script.take(step)
        if planned is None:
            return None
        if planned.action == "hang":
            await asyncio.Event().wait()
        if planned.action == "drop":
            self.abort()
            raise asyncio.CancelledError
        reply = planned.reply or "451 4.3.0 scripted"
        if reply.startswith("421"):
            # Runs when the answer, which is written without another turn of the loop, is out.
            self.loop.call_soon(self._close)
        return reply

    def abort(self) -> None:
        """Reset the connection."""
        if isinstance(self.transport, asyncio.WriteTransport):
            self.transport.abort()

    def _close(self) -> None:
        if self.transport is not None:
            self.transport.close()


def _scripted(verb: str) -> Callable[[ScriptedSmtp, Any], Awaitable[None]]:
    original = getattr(SMTP, f"smtp_{verb}")

    async def command(self: ScriptedSmtp, arg: Any) -> None:
        reply = await self.scripted(verb)
        if reply is None:
            await original(self, arg)
        else:
            await self.push(reply)

    return command


for _verb in _VERBS:
    setattr(ScriptedSmtp, f"smtp_{_verb}", _scripted(_verb))


class LoginCheck:
    """An authenticator that knows one user; it leaves the refusal to the server."""

    def __init__(self, username: str, password: str) -> None:
        self._known = (username.encode(), password.encode())

    def __call__(
        self, server: Any, session: Any, envelope: Any, mechanism: str, auth_data: Any
    ) -> AuthResult:
        """Return whether login and password are the known ones."""
        right = (auth_data.login, auth_data.password) == self._known
        # handled=True on failure would mean that we had answered, and the client would wait forever.
        return AuthResult(success=right, handled=right, auth_data=auth_data)


class LoopbackController(Controller):
    """Runs the connections on a thread of its own, on a port the system chose."""

    def __init__(self, handler: Any, make: Callable[[Any], ScriptedSmtp], **options: Any) -> None:
        super().__init__(handler, hostname="127.0.0.1", port=0, **options)
        self._make = make
        self._connections: list[ScriptedSmtp] = []
        self.connection_count = 0

    def factory(self) -> ScriptedSmtp:
        """Return the server of one connection; the loop runs while it is made."""
        connection = self._make(self.loop)
        self._connections.append(connection)
        self.connection_count += 1
        return connection

    def _trigger_server(self) -> None:
        if isinstance(self.server, asyncio.Server):
            self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()  # type: ignore[no-untyped-call]  # aiosmtpd types only in part

    def start(self) -> None:
        """Start; the connection by which the start is checked does not count."""
        super().start()
        self.connection_count = 0

    def drop_connections(self) -> None:
        """Reset every open connection and wait until that is done."""
        asyncio.run_coroutine_threadsafe(self._drop_connections(), self.loop).result(10)

    async def _drop_connections(self) -> None:
        for connection in self._connections:
            connection.abort()
        self._connections.clear()
        for _ in range(5):
            await asyncio.sleep(0)

    def stop(self, no_assert: bool = False) -> None:
        """Reset the connections, then stop; clients may hold theirs open for as long as they like."""
        self.drop_connections()
        super().stop(no_assert)
