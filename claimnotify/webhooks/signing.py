"""Signs and verifies webhooks as the Standard Webhooks specification 1.0 says; keeps no keys.

Symmetric keys (`v1`) need the standard library and our errors only, so that a receiver pays for
nothing else. Asymmetric ones (`v1a`) are in `claimnotify.webhooks.asymmetric`, loaded when used.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import time
from binascii import b2a_base64
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from hmac import compare_digest, digest
from importlib import import_module
from math import floor
from typing import Any, Protocol

from claimnotify.errors import EmptyWebhookSecretError, InvalidInput, WebhookVerificationError

__all__ = [
    "EmptyWebhookSecretError",
    "Webhook",
    "WebhookVerificationError",
    "hmac_data",
    "signed_headers",
]

_PREFIX = "whsec_"
_VERSION = b"v1,"
_SHORTEST, _LONGEST = 24, 64  # bytes of a symmetric key
_MOST_SIGNATURES = 64  # more than a sender has keys; each costs a comparison, or with v1a 0.1 ms
_is_timestamp = re.compile(rb"[0-9]{1,12}").fullmatch
_raw_decode = json.JSONDecoder().raw_decode
_is_id = re.compile(r"[!-\-/-~]+").fullmatch  # printable ASCII but the full stop
_BASE64 = re.compile(r"[A-Za-z0-9+/]*={0,2}", re.ASCII)
_TOLERANCE = timedelta(minutes=5)
_IPAD = bytes(byte ^ 0x36 for byte in range(256))
_OPAD = bytes(byte ^ 0x5C for byte in range(256))
_HEADERS = ("webhook-id", "webhook-timestamp", "webhook-signature")


def hmac_data(key: bytes, data: bytes) -> bytes:
    """Return the HMAC-SHA256 of `data` (RFC 2104), 32 bytes."""
    return digest(key, data, "sha256")


class Webhook:
    """Verifies what one sender signed, or signs as that sender.

    Args:
        whsecret: A symmetric key (`v1`, HMAC-SHA256): `whsec_` and 24 to 64 bytes in base64, whose
            prefix and padding may be missing, or those bytes. Or an Ed25519 key (`v1a`): `whsk_…`
            signs and verifies, `whpk_…` verifies. A key fits signatures of its own version only.
        tolerance: How far the message's timestamp may be from now, either way.
        clock: Returns the time, aware; the host's clock unless given.

    Raises:
        EmptyWebhookSecretError: The secret is empty.
        WebhookVerificationError: The secret is malformed, too short or too long.
        InvalidInput: The tolerance is negative or no timedelta.
    """

    __slots__ = ("_clock", "_key", "_tolerance")

    def __init__(
        self,
        whsecret: str | bytes,
        *,
        tolerance: timedelta = _TOLERANCE,
        clock: Callable[[], datetime] | None = None,
    ) -> None:
        if not isinstance(tolerance, timedelta) or tolerance < timedelta(0):
            raise InvalidInput(
                "tolerance", "is negative or no timedelta", "Give a timedelta of zero or more."
            )
        self._key = _key(whsecret)
        self._tolerance = tolerance.total_seconds()
        self._clock = clock

    def __repr__(self) -> str:
        return "Webhook()"

    def verify(
        self, data: bytes | str, headers: Mapping[str, str], *, json_parse: bool = True
    ) -> Any:
        """Check that `data` was signed with our key and is recent.

        Args:
            data: The request's body, exactly as received.
            headers: The request's headers; the case of names does not matter.
            json_parse: Whether to parse the body and return it.

        Returns:
            The parsed body, or None if `json_parse` is false.

        Raises:
            WebhookVerificationError: Something is missing, malformed, too old, too new or not
                signed with our key. Nothing else is raised, whatever was received.
        """
        body = data if type(data) is bytes else _bytes(data)
        message_id, timestamp, signatures = required_headers(headers)
        age = (time.time() if self._clock is None else self._clock().timestamp()) - int(timestamp)
        if not -self._tolerance <= age <= self._tolerance:
            raise WebhookVerificationError(f"the timestamp is too {'old' if age > 0 else 'new'}")
        if not self._key.fits(b"%b.%b.%b" % (message_id, timestamp, body), signatures):
            raise WebhookVerificationError("no signature matches")
        return _parsed(body) if json_parse else None

    def sign(self, msg_id: str, timestamp: datetime, data: bytes | str) -> str:
        """Return one message's signature for `webhook-signature`: `v1,…` or `v1a,…` in base64.

        Args:
            msg_id: The message's id: printable ASCII without spaces and full stops.
            timestamp: The attempt's time, from 1970 on; without a time zone it is taken as UTC.
            data: The body, exactly as it will be sent.

        Raises:
            InvalidInput: An argument is malformed, or our key is a public one.
        """
        return self._key.signature(_to_sign(msg_id, _seconds(timestamp), data)).decode()


def signed_headers(
    secrets: Sequence[str | Webhook], msg_id: str, timestamp: datetime, data: bytes
) -> dict[str, str]:
    """Return the three headers of one attempt, signed with every one of `secrets`.

    Args:
        secrets: The live secrets of any kind, newest first; during a rotation there are several. A
            `Webhook` stands for its secret: kept between attempts, it saves half of the work.
        msg_id: The message's id, the same on every attempt; see `Webhook.sign`.
        timestamp: The attempt's time, from 1970 on; without a time zone it is taken as UTC.
        data: The body, exactly as it will be sent.

    Raises:
        InvalidInput: There is no secret, or what `sign` refuses.
    """
    if isinstance(secrets, str | bytes) or not secrets:
        raise InvalidInput("secrets", "holds no secret", "Give a list with one or more.")
    seconds = _seconds(timestamp)
    to_sign = _to_sign(msg_id, seconds, data)
    signers = [each if isinstance(each, Webhook) else Webhook(each) for each in secrets]
    return {
        "webhook-id": msg_id,
        "webhook-timestamp": str(seconds),
        "webhook-signature": b" ".join([each._key.signature(to_sign) for each in signers]).decode(),
    }


class _Key(Protocol):
    def signature(self, to_sign: bytes) -> bytes: ...
    def fits(self, to_sign: bytes, signatures: bytes) -> bool: ...


class _SymmetricKey:
    """HMAC-SHA256 with the key already hashed in (RFC 2104 section 4): half the cost of a new HMAC."""

    __slots__ = ("_inner", "_outer")

    def __init__(self, key: bytes) -> None:
        block = key.ljust(64, b"\0")
        self._inner = hashlib.sha256(block.translate(_IPAD))
        self._outer = hashlib.sha256(block.translate(_OPAD))

    def signature(self, to_sign: bytes) -> bytes:
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(to_sign)
        outer.update(inner.digest())
        return _VERSION + b2a_base64(outer.digest(), newline=False)

    def fits(self, to_sign: bytes, signatures: bytes) -> bool:
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(to_sign)
        outer.update(inner.digest())
        expected = _VERSION + b2a_base64(outer.digest(), newline=False)
        # Nearly always there is one signature. Texts are compared, not what they decode to, so
        # there is exactly one spelling of a valid one; what cannot be read is passed over.
        return compare_digest(expected, signatures) or any(
            compare_digest(expected, entry) for entry in entries(signatures)
        )


def entries(signatures: bytes) -> list[bytes]:
    """Return the space-delimited signatures, as many as are worth looking at."""
    return signatures.split(b" ", _MOST_SIGNATURES)[:_MOST_SIGNATURES]


def key_bytes(secret: str | bytes, prefix: str) -> bytes:
    """Return what `prefix` and base64, whose padding may be missing, stand for; bytes are the key.

    Raises:
        EmptyWebhookSecretError: There is nothing.
        WebhookVerificationError: It is not base64 of the standard alphabet.
    """
    if isinstance(secret, bytes):
        key = secret
    else:
        encoded = secret.removeprefix(prefix)
        bare = encoded.rstrip("=")
        if not _BASE64.fullmatch(encoded) or len(bare) % 4 == 1:
            raise WebhookVerificationError(f"the secret is not {prefix} and base64")
        key = base64.b64decode(bare + "=" * (-len(bare) % 4))
    if not key:
        raise EmptyWebhookSecretError("the secret is empty")
    return key


def _key(whsecret: str | bytes) -> _Key:
    if not isinstance(whsecret, str | bytes):
        raise WebhookVerificationError("the secret is neither text nor bytes")
    if isinstance(whsecret, bytes) and whsecret.startswith((b"whsec_", b"whsk_", b"whpk_")):
        # Taken as a key, the bytes of a public key's text would let everybody sign.
        raise WebhookVerificationError("the secret is bytes of a text; give the text")
    if isinstance(whsecret, str) and whsecret.startswith(("whsk_", "whpk_")):
        key: _Key = import_module("claimnotify.webhooks.asymmetric").Ed25519Key(whsecret)
        return key
    secret = key_bytes(whsecret, _PREFIX)
    # The specification knows no text without the prefix; the reference's own tests have one that
    # stands for 23 bytes.
    bare = isinstance(whsecret, str) and not whsecret.startswith(_PREFIX)
    if not _SHORTEST - bare <= len(secret) <= _LONGEST:
        raise WebhookVerificationError(f"the secret has {len(secret)} bytes and not 24 to 64")
    return _SymmetricKey(secret)


def _seconds(timestamp: datetime) -> int:
    """Return the whole seconds since 1970; a time without a time zone is taken as UTC."""
    if not isinstance(timestamp, datetime):
        raise InvalidInput("timestamp", f"is a {type(timestamp).__name__}", "Give a datetime.")
    aware = timestamp if timestamp.tzinfo is not None else timestamp.replace(tzinfo=UTC)
    seconds = floor(aware.timestamp())
    if seconds < 0:
        raise InvalidInput("timestamp", "is before 1970", "Give the time of the attempt.")
    return seconds


def _to_sign(msg_id: str, seconds: int, data: bytes | str) -> bytes:
    """Return what the signature is of: id, timestamp and body, joined by full stops."""
    # It becomes a header, in which a line break would begin another one.
    if not isinstance(msg_id, str) or not _is_id(msg_id):
        raise InvalidInput(
            "msg_id", "is no printable ASCII, or has a full stop", "Give another id."
        )
    try:
        body = data.encode() if isinstance(data, str) else data
        return b"%b.%d.%b" % (msg_id.encode(), seconds, body)
    except (UnicodeEncodeError, TypeError):
        raise InvalidInput("data", "is neither bytes nor Unicode text", "Give bytes.") from None


def _bytes(value: object) -> bytes:
    """Return what was received as bytes."""
    try:
        if isinstance(value, str):
            return value.encode()
        if isinstance(value, bytes | bytearray | memoryview):
            return bytes(value)
    except ValueError:
        pass  # lone surrogates, or a view of what was released
    raise WebhookVerificationError("neither bytes nor valid text was received")


def required_headers(headers: Mapping[str, str]) -> tuple[bytes, bytes, bytes]:
    """Return id, timestamp (digits only) and signatures."""
    try:
        message_id, timestamp, signatures = map(headers.get, _HEADERS)
        if message_id is None or timestamp is None or signatures is None:
            lowered = {_lower(name): value for name, value in headers.items()}
            message_id, timestamp, signatures = map(lowered.get, _HEADERS)
    except (AttributeError, TypeError, ValueError):
        raise WebhookVerificationError("the headers are not a mapping of names to text") from None
    if not (message_id and timestamp and signatures):
        raise WebhookVerificationError("a required header is missing")
    digits = _bytes(timestamp)
    if not _is_timestamp(digits):
        raise WebhookVerificationError("the timestamp is not a number of seconds")
    identifier = _bytes(message_id)
    if b"." in identifier:  # else a part of one message's id might pass for another's timestamp
        raise WebhookVerificationError("the id holds a full stop")
    return identifier, digits, _bytes(signatures)


def _lower(name: str | bytes) -> str:
    return (name.decode("latin-1") if isinstance(name, bytes) else str(name)).lower()


def _parsed(body: bytes) -> Any:
    try:
        text = body.decode()
        if text[:1] == "{":  # `loads` looks for white space before and after with expressions
            value, end = _raw_decode(text)
            if end == len(text):
                return value
        return json.loads(text)
    except (ValueError, RecursionError):
        raise WebhookVerificationError("the body is not JSON in UTF-8") from None
