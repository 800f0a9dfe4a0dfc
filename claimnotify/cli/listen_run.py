"""Runs the receiver of `claimnotify listen` from its first line to its last."""

from __future__ import annotations

import asyncio
import io
import ipaddress
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from secrets import token_hex

from claimnotify.cli.forwarding import Forwarder
from claimnotify.cli.hearing import Display
from claimnotify.cli.listen_display import JsonLines, PlainText
from claimnotify.cli.listening import Behaviour, Listener
from claimnotify.errors import ConfigurationError, WebhookVerificationError
from claimnotify.http import make_engine
from claimnotify.http.egress import EgressPolicy
from claimnotify.testing.http_server import HttpServer
from claimnotify.webhooks.signing import Webhook
from claimnotify.worker.signals import stop_signals

__all__ = ["run_listen"]

_LARGEST_BODY = 1024 * 1024
_DEADLINE = 10.0
_GRACE = 2.0


def run_listen(
    *,
    host: str,
    port: int,
    secrets: Sequence[str],
    tolerance: float,
    forward: str,
    status: int | None,
    delay: float,
    retry_after: int | None,
    fail_first: int,
    count: int,
    as_json: bool,
) -> None:
    """Receive until SIGTERM, SIGINT or `count` verified requests. The arguments are the command's options.

    Raises:
        ConfigurationError: A secret is malformed, options contradict each other, or the address
            is empty or cannot be listened on.
        ForbiddenDestination: `forward` is no URL.
        BrokenPipeError: The reader of our output has gone.
    """
    if not host.strip():  # to the system that is every address there is
        raise ConfigurationError("host", "is empty", "Name an address, such as 127.0.0.1.")
    _check_forward(forward, host, port, status)
    if count and not secrets:
        raise ConfigurationError(
            "count", "counts verified requests, and there is no secret", "Give a --secret."
        )
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a body may have any character
    behaviour = Behaviour(
        status=status or 204,
        delay=_duration("delay", delay),
        retry_after=retry_after,
        fail_first=fail_first,
    )
    verifiers = _verifiers(secrets, _duration("tolerance", tolerance))
    display = JsonLines() if as_json else PlainText()
    asyncio.run(_serve(verifiers, behaviour, display, host, port, forward, count))


def _check_forward(forward: str, host: str, port: int, status: int | None) -> None:
    if not forward:
        return
    to = EgressPolicy.unrestricted().destination(forward)
    if to.port == port and to.host in (host, "localhost", _reachable(host)[0].strip("[]")):
        raise ConfigurationError("forward", "leads back to here", "Name the application's URL.")
    if status is not None:
        raise ConfigurationError(
            "status", "is what the application answers where --forward is given", "Leave one out."
        )


def _duration(option: str, seconds: float) -> timedelta:
    try:
        return timedelta(seconds=seconds)
    except (ValueError, OverflowError):  # "nan" and "inf" are numbers to whoever reads options
        raise ConfigurationError(option, f"is {seconds}", "Give it in seconds.") from None


def _verifiers(secrets: Sequence[str], tolerance: timedelta) -> list[Webhook]:
    try:
        return [Webhook(secret, tolerance=tolerance, clock=_now) for secret in secrets]
    except WebhookVerificationError as error:
        # Without the cause: nothing may lead back to the secret's text.
        problem = str(error)
    raise ConfigurationError("secret", problem, "Give it as it was shown when it was made.")


async def _serve(
    verifiers: Sequence[Webhook],
    behaviour: Behaviour,
    display: Display,
    host: str,
    port: int,
    forward: str,
    count: int,
) -> None:
    async with AsyncExitStack() as stack:
        forwarder = None
        if forward:
            engine = make_engine(None)
            stack.push_async_callback(engine.aclose)
            forwarder = Forwarder(forward, engine, mark=token_hex(16))
        listener = Listener(
            verifiers=verifiers,
            behaviour=behaviour,
            display=display,
            clock=_now,
            forwarder=forwarder,
            count=count,
        )
        server = HttpServer(
            listener,
            host=host,
            port=port,
            largest_body=_LARGEST_BODY,
            deadline=_DEADLINE,
            grace=_GRACE,
            on_refusal=listener.refused,
        )
        loop = asyncio.get_running_loop()
        stack.enter_context(
            stop_signals(lambda _: loop.call_soon_threadsafe(listener.ended.set), None)
        )
        try:
            await stack.enter_async_context(server)
        except (OSError, UnicodeError) as error:  # UnicodeError: no host has such a name
            problem = (error.strerror if isinstance(error, OSError) else None) or error
            raise ConfigurationError(
                "port",
                f"{port} on {host} cannot be listened on: {problem}",
                "Give another --port; 0 picks a free one.",
            ) from error
        display.listening(*_introduction(host, server.port, behaviour, forward, bool(verifiers)))
        await listener.ended.wait()
    if listener.failure is not None:
        raise listener.failure
    display.ended(listener.received, listener.verified)


def _introduction(
    host: str, port: int, behaviour: Behaviour, forward: str, can_verify: bool
) -> tuple[str, list[str]]:
    """Return our URL, and how to make use of it."""
    shown, network = _reachable(host)
    url = f"http://{shown}:{port}/"
    hints = [
        f"forwarding to {forward}" if forward else f"answering {behaviour.status}",
        "to have webhooks sent here, set for the notifier and its workers",
        f"  CLAIMNOTIFY_WEBHOOK_ALLOW_NETWORKS={network} CLAIMNOTIFY_WEBHOOK_ALLOW_HTTP=true",
        f"and register the URL: claimnotify endpoints add {url} --owner OWNER",
    ]
    if not can_verify:
        hints.append(
            "NOTHING IS VERIFIED: give the endpoint's secret in CLAIMNOTIFY_LISTEN_SECRET or --secret"
        )
    return url, hints


def _reachable(host: str) -> tuple[str, str]:
    """Return the host as it stands in a URL that leads here, and the network it is in."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host, "127.0.0.0/8,::1/128" if host == "localhost" else "NETWORK"
    if address.is_unspecified:
        address = ipaddress.ip_address("127.0.0.1" if address.version == 4 else "::1")
    if address.version == 6:
        return f"[{address}]", f"{address}/128"
    return str(address), "127.0.0.0/8" if address.is_loopback else f"{address}/32"


def _now() -> datetime:
    return datetime.now(UTC)
