"""Checks a URL when it is registered: as it is written, and where its name leads at this moment.

This is so that a customer is told at once. What a name resolves to may change, so that what counts is
the check at each connection; a name that does not resolve, or not in time, passes here. So does every
name while eight look-ups hang, which a customer with silent DNS servers can bring about: then connect
decides alone, for everybody in the process.
"""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable, Sequence

from claimnotify.errors import ForbiddenDestination
from claimnotify.http.egress import EgressPolicy

__all__ = ["RegistrationCheck"]

_log = logging.getLogger("claimnotify.egress")

_SECONDS = 2.0
_MOST_AT_ONCE = 8


class RegistrationCheck:
    """Checks URLs within a policy. Blocks for at most a few seconds; not for an event loop.

    Args:
        policy: Which URLs and addresses are allowed.
        look_up: Returns the addresses of (host, port); raises OSError if the name does not resolve.
        seconds: How long to wait for an answer.
    """

    def __init__(
        self,
        policy: EgressPolicy,
        *,
        look_up: Callable[[str, int], Sequence[str]] | None = None,
        seconds: float = _SECONDS,
    ) -> None:
        self._policy = policy
        self._look_up = look_up or _system_look_up
        self._seconds = seconds
        # A look-up cannot be called off: a customer's silent server must not collect threads.
        self._free = threading.BoundedSemaphore(_MOST_AT_ONCE)

    def check(self, url: str) -> None:
        """Check the URL, and every address that its name has now.

        Raises:
            ForbiddenDestination: The URL, or one of the addresses, is not allowed. Which address it
                is goes to the log and not to the customer, who could ask for our internal names.
        """
        where = self._policy.destination(url)
        if where.address is None and (addresses := self._addresses(where.host, where.port)):
            try:
                self._policy.check_connection(where.host, where.port, addresses)
            except ForbiddenDestination as error:
                _log.info("refused to register %s: %s", where.host, error.__cause__ or error)
                raise error from None

    def _addresses(self, host: str, port: int) -> Sequence[str]:
        """Return the addresses of a name; none if they are not known in time."""
        if not self._free.acquire(blocking=False):
            return ()
        found: list[str] = []

        def look() -> None:
            try:
                found.extend(self._look_up(host, port))
            except (OSError, UnicodeError):
                pass  # it does not resolve, which decides nothing
            finally:
                self._free.release()

        thread = threading.Thread(target=look, name="claimnotify-dns-check", daemon=True)
        thread.start()
        thread.join(self._seconds)
        return () if thread.is_alive() else found


def _system_look_up(host: str, port: int) -> list[str]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))
