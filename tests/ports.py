"""Finds a port on which nobody listens, to start a server on or to find nobody at."""

from __future__ import annotations

import secrets
import socket

__all__ = ["free_port"]

_PORTS = range(20_000, 30_000)
"""Systems give none of these to who asks for any, so no test that runs beside is given one later."""


def free_port() -> int:
    """Return a port of loopback that is not in use, and that nobody is given by chance."""
    while True:
        port = secrets.choice(_PORTS)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
