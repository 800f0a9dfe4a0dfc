"""A lane: one connection that carries one request after another, whatever library serves it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Generic, Protocol, TypeVar

from claimnotify.model.http import HttpRequest, HttpResponse

__all__ = ["Connection", "Lane"]

T = TypeVar("T")


class Connection(Protocol):
    """What a lane asks of its connection."""

    written: bool
    """Whether anything of the last request may have reached the peer."""

    @property
    def stale(self) -> bool:
        """Whether no other request can go over it: it is closed, or the peer spoke out of turn."""

    def abort(self) -> None:
        """Close at once, without waiting for a peer that might hold us up."""

    async def aclose(self) -> None:
        """Close at once and wait until the socket is let go."""


class Lane(ABC, Generic[T]):
    """One connection, made when first used. `T` is the form in which it takes a URL."""

    @property
    @abstractmethod
    def connection(self) -> Connection | None:
        """The connection, once there is one."""

    @abstractmethod
    async def exchange(self, target: T, request: HttpRequest) -> HttpResponse:
        """Send the request and read the response, up to its cap; if it fails, the lane is of no use.

        Raises:
            ForbiddenDestination: The guard refused the connection.
            HttpEngineError: It did not come to a response.
        """

    @property
    def sent(self) -> bool:
        """Whether any of the last request may have reached the peer."""
        connection = self.connection
        return connection is not None and connection.written

    @property
    def reusable(self) -> bool:
        """Whether another request can go over the same connection."""
        connection = self.connection
        return connection is None or not connection.stale

    def abort(self) -> None:
        """Close the connection at once."""
        if self.connection is not None:
            self.connection.abort()

    async def aclose(self) -> None:
        """Close the connection at once and wait until its socket is let go."""
        if self.connection is not None:
            await self.connection.aclose()
