"""`claimnotify listen`: its options. What it does is in `claimnotify.cli.listen_run`."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = ["listen"]


def listen(
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="The port; 0 picks a free one")
    ] = 8008,
    host: Annotated[str, typer.Option(help="The address to listen on")] = "127.0.0.1",
    secret: Annotated[
        list[str] | None,
        typer.Option(
            envvar="CLAIMNOTIFY_LISTEN_SECRET",
            help="A secret to verify with, whsec_… or whpk_…; may be given several times",
        ),
    ] = None,
    tolerance: Annotated[
        float, typer.Option(min=0, help="How far an attempt's time may be from now, in seconds")
    ] = 300.0,
    forward: Annotated[
        str, typer.Option(help="The URL of a local application to send webhooks on to")
    ] = "",
    status: Annotated[
        int | None, typer.Option(min=200, max=599, help="What to answer; 204 unless given")
    ] = None,
    delay: Annotated[
        float, typer.Option(min=0, max=3600, help="Seconds before every answer")
    ] = 0.0,
    retry_after: Annotated[
        int | None,
        typer.Option(min=0, help="Seconds for Retry-After, in answers other than 2xx of ours"),
    ] = None,
    fail_first: Annotated[
        int, typer.Option(min=0, help="How many attempts of each webhook to answer with 500 first")
    ] = 0,
    count: Annotated[
        int, typer.Option(min=0, help="End after so many verified requests; 0: never")
    ] = 0,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line")] = False,
) -> None:
    """Receive webhooks on this machine, verify and show them, until SIGTERM or SIGINT."""
    from claimnotify.cli.listen_run import run_listen

    run_listen(
        host=host,
        port=port,
        secrets=secret or (),
        tolerance=tolerance,
        forward=forward,
        status=status,
        delay=delay,
        retry_after=retry_after,
        fail_first=fail_first,
        count=count,
        as_json=json,
    )
