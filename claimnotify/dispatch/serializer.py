"""How a ring is written to the queue: JSON, signed; and what is believed of what is read there.

Huey's own serializer unpickles whatever it finds, so that whoever can write to the queue runs code
in the worker. Here nothing is parsed before its signature is verified, and nothing but a ring is
accepted afterwards.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any, NoReturn

from huey.registry import Message
from huey.serializer import Serializer

from claimnotify.errors import ConfigurationError, InvalidInput

__all__ = ["TASK_NAME", "SignedJsonSerializer"]

TASK_NAME = "claimnotify.ring"
"""What Huey calls our only task; part of the format on the wire."""

_INFO = b"claimnotify/dispatch/ring/v1"
_VERSION = b"1"
_LIMIT = 2048


class SignedJsonSerializer(Serializer):  # type: ignore[misc]  # huey ships no type information
    """Signs and verifies rings.

    A message is `1.<hex HMAC-SHA256>.<JSON object>`; the object has `id`, `name` and `args`.

    Args:
        key: The secret that applications and workers share, of any length. The signing key is
            derived from it, so that it may be used for other purposes as well.

    Raises:
        ConfigurationError: If `key` is empty.

    Source: RFC 5869 (HKDF with SHA-256), RFC 2104 (HMAC).
    """

    def __init__(self, key: bytes) -> None:
        if not key:
            raise ConfigurationError("signing_key", "is empty", "Set CLAIMNOTIFY_SECRET_KEYS.")
        super().__init__()
        extracted = hmac.digest(bytes(hashlib.sha256().digest_size), key, "sha256")
        self._key = hmac.digest(extracted, _INFO + b"\x01", "sha256")

    def serialize(self, data: Any) -> bytes:
        """Return the signed form of a ring's `huey.registry.Message`.

        Raises:
            InvalidInput: If it is anything but a ring.
        """
        if not isinstance(data, Message):
            _refuse("is not a message")
        fields = {"id": data.id, "name": data.name, "args": list(data.args)}
        _check(fields)
        if data != _message(fields):
            _refuse("carries more than a ring")
        body = json.dumps(fields, separators=(",", ":")).encode("ascii")
        return b".".join((_VERSION, self._sign(body), body))

    def deserialize(self, data: Any) -> Message:
        """Return the `huey.registry.Message` of a ring.

        Raises:
            InvalidInput: If it is not signed with our key, or is no ring. Its contents are not
                repeated in the error.
        """
        if not isinstance(data, bytes | bytearray | memoryview) or len(data) > _LIMIT:
            _refuse("is not a ring")
        version, _, signed = bytes(data).partition(b".")
        signature, _, body = signed.partition(b".")
        if version != _VERSION or not hmac.compare_digest(signature, self._sign(body)):
            _refuse("is not signed with our key")
        try:
            fields = json.loads(body)
        except (ValueError, RecursionError):
            _refuse("is not a ring")
        _check(fields)
        return _message(fields)

    def _sign(self, body: bytes) -> bytes:
        return hmac.digest(self._key, _VERSION + b"." + body, "sha256").hex().encode("ascii")


def _check(fields: Any) -> None:
    """Accept only `{"id": text, "name": ours, "args": [queue]}`."""
    if not isinstance(fields, dict) or fields.keys() != {"id", "name", "args"}:
        _refuse("is not a ring")
    args = fields["args"]
    if not isinstance(args, list) or len(args) != 1 or not isinstance(args[0], str):
        _refuse("is not a ring")
    if fields["name"] != TASK_NAME or not isinstance(fields["id"], str):
        _refuse("is not a ring")


def _message(fields: dict[str, Any]) -> Message:
    """Return the message that Huey makes of a task with no options."""
    return Message(
        id=fields["id"],
        name=fields["name"],
        retries=0,
        retry_delay=0,
        retry_backoff=0,
        args=tuple(fields["args"]),
        kwargs={},
    )


def _refuse(problem: str) -> NoReturn:
    raise InvalidInput("queue message", problem, "It is dropped.") from None
