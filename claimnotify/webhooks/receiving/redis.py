"""Remembers the ids of webhooks in Redis, for all processes of an application."""

from __future__ import annotations

from datetime import timedelta
from inspect import iscoroutinefunction
from typing import Any, Protocol
from uuid import uuid4

from claimnotify.errors import InvalidInput
from claimnotify.webhooks.receiving.seen import KEEP, LEASE, Claim, Seen, check_spans

__all__ = ["RedisSeenIds"]

_DONE = "done"
_MILLISECOND = timedelta(milliseconds=1)
_FORGET = "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end"


class _Client(Protocol):
    """What is used of `redis.Redis`."""

    def set(self, name: str, value: str, *, px: int, nx: bool = False) -> Any: ...
    def get(self, name: str) -> Any: ...
    def eval(self, script: str, numkeys: int, *keys_and_args: str) -> Any: ...


class RedisSeenIds:
    """The ids all processes have seen that share a Redis and a prefix. See `SeenIds`.

    Errors of the client are not caught: without the store no webhook is handled, and the sender
    tries again. Redis must not evict keys (`maxmemory-policy noeviction`), else ids are forgotten.

    Args:
        client: A `redis.Redis` of the application, not its asyncio twin; threads share it.
        prefix: What keys begin with; one for each sender, as ids are unique with their sender only.
        keep: How long ids that are done are remembered.
        lease: When a claim that nobody ended ends by itself; longer than a handler takes.

    Raises:
        InvalidInput: The client is for asyncio, or a span is shorter than a millisecond.
    """

    def __init__(
        self,
        client: _Client,
        *,
        prefix: str = "claimnotify:seen:",
        keep: timedelta = KEEP,
        lease: timedelta = LEASE,
    ) -> None:
        check_spans(keep=keep, lease=lease)
        if iscoroutinefunction(getattr(client, "execute_command", None)):
            raise InvalidInput("client", "is an asyncio client", "Give a redis.Redis.")
        self._client = client
        self._prefix = prefix
        self._keep = keep
        self._lease = lease

    @property
    def keep(self) -> timedelta:
        """How long ids that are done are remembered."""
        return self._keep

    def claim(self, message_id: str) -> Claim:
        """Claim an id. See `SeenIds`."""
        name, token = self._prefix + message_id, uuid4().hex
        if self._client.set(name, token, nx=True, px=self._lease // _MILLISECOND):
            return Claim(message_id, Seen.NEW, token)
        # A claim that ended in between counts as under way: the sender comes again.
        held = self._client.get(name)
        is_done = held in (_DONE, _DONE.encode())
        return Claim(message_id, Seen.DONE if is_done else Seen.UNDER_WAY)

    def done(self, claim: Claim) -> None:
        """Remember the id as handled. See `SeenIds`."""
        self._client.set(self._prefix + claim.message_id, _DONE, px=self._keep // _MILLISECOND)

    def forget(self, claim: Claim) -> None:
        """Leave the id free again. See `SeenIds`."""
        self._client.eval(_FORGET, 1, self._prefix + claim.message_id, claim.token)
