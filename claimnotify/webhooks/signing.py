"""Signs and verifies webhooks as the Standard Webhooks specification 1.0 says; keeps no keys.

Needs the standard library and our errors only, so that a receiver pays for nothing else.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from hmac import compare_digest
from math import floor
from typing import Any

from claimnotify.errors import EmptyWebhookSecretError, InvalidInput, WebhookVerificationError

__all__ = [
    "EmptyWebhookSecretError",
    "Webhook",
    "WebhookVerificationError",
    "hmac_data",
    "signed_headers",
]

_PREFIX = "whsec_"
_PREFIXED = b"v1,"
_is_timestamp = re.compile(rb"[0-9]{1,12}").fullmatch
_raw_decode = json.JSONDecoder().raw_decode
_BASE64 = re.compile(r"[A-Za-z0-9+/]*={0,2}", re.ASCII)
_TOLERANCE = timedelta(minutes=5)
_IPAD = bytes(byte ^ 0x36 for byte in range(256))
_OPAD = bytes(byte ^ 0x5C for byte in range(256))
_HEADERS = ("webhook-id", "webhook-timestamp", "webhook-signature")


def hmac_data(key: bytes, data: bytes) -> bytes:
    """Return the HMAC-SHA256 of `data` (RFC 2104), 32 bytes."""
    return hmac.digest(key, data, "sha256")


class Webhook:
    """Verifies what one sender signed, or signs as that sender; symmetric keys (`v1`).

    Args:
        whsecret: `whsec_` and base64 (the prefix and the padding may be missing), or raw key bytes.
        tolerance: How far the message's timestamp may be from now, either way.
        clock: Returns the time, aware; the host's clock unless given.

    Raises:
        EmptyWebhookSecretError: The secret is empty.
        WebhookVerificationError: The secret is malformed.
    """

    __slots__ = ("_clock", "_inner", "_outer", "_tolerance")

    def __init__(
        self,
        whsecret: str | bytes,
        *,
        tolerance: timedelta = _TOLERANCE,
        clock: Callable[[], datetime] | None = None,
    ) -> None:
        self._inner, self._outer = _keyed(_key(whsecret))
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
        message_id, timestamp, signatures = _required(headers)
        self._check_age(int(timestamp))
        expected = _PREFIXED + self._signature(b"%b.%b.%b" % (message_id, timestamp, body))
        # Nearly always there is one signature.
        if not compare_digest(expected, signatures) and not _matches(expected, signatures):
            raise WebhookVerificationError("no signature matches")
        return _parsed(body) if json_parse else None

    def sign(self, msg_id: str, timestamp: datetime, data: bytes | str) -> str:
        """Return the signature of one message, as it goes into `webhook-signature`.

        Args:
            msg_id: The message's id; the specification asks for one without a full stop.
            timestamp: The attempt's time; one without a time zone is taken as UTC.
            data: The body, exactly as it will be sent.

        Returns:
            `v1,` and the signature in base64.

        Raises:
            InvalidInput: The id or the text cannot be encoded as UTF-8.
        """
        return self._signed(_to_sign(msg_id, _seconds(timestamp), data))

    def _signed(self, to_sign: bytes) -> str:
        return (_PREFIXED + self._signature(to_sign)).decode()

    def _signature(self, to_sign: bytes) -> bytes:
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(to_sign)
        outer.update(inner.digest())
        return binascii.b2a_base64(outer.digest(), newline=False)

    def _check_age(self, timestamp: int) -> None:
        age = (time.time() if self._clock is None else self._clock().timestamp()) - timestamp
        if age > self._tolerance:
            raise WebhookVerificationError("the timestamp is too old")
        if age < -self._tolerance:
            raise WebhookVerificationError("the timestamp is too new")


def signed_headers(
    secrets: Sequence[str | Webhook], msg_id: str, timestamp: datetime, data: bytes
) -> dict[str, str]:
    """Return the three headers of one attempt, signed with every one of `secrets`.

    Args:
        secrets: The live secrets, newest first; during a rotation there are several. A `Webhook`
            stands for its secret: kept from one attempt to the next, it saves half of the work.
        msg_id: The message's id, the same on every attempt.
        timestamp: The attempt's time.
        data: The body, exactly as it will be sent.
    """
    seconds = _seconds(timestamp)
    to_sign = _to_sign(msg_id, seconds, data)
    signers = [each if isinstance(each, Webhook) else Webhook(each) for each in secrets]
    return {
        "webhook-id": msg_id,
        "webhook-timestamp": str(seconds),
        "webhook-signature": " ".join([signer._signed(to_sign) for signer in signers]),
    }


def _seconds(timestamp: datetime) -> int:
    """Return the seconds since 1970; a time without a time zone is taken as UTC."""
    aware = timestamp if timestamp.tzinfo is not None else timestamp.replace(tzinfo=UTC)
    return floor(aware.timestamp())


def _to_sign(msg_id: str, seconds: int, data: bytes | str) -> bytes:
    """Return what the signature is of: id, timestamp and body, joined by full stops."""
    try:
        body = data.encode() if isinstance(data, str) else data
        return b"%b.%d.%b" % (msg_id.encode(), seconds, body)
    except UnicodeEncodeError:
        raise InvalidInput(
            "msg_id or data", "is not valid Unicode text", "Give bytes, or text without gaps."
        ) from None


def _key(whsecret: str | bytes) -> bytes:
    if isinstance(whsecret, bytes):
        key = whsecret
    elif isinstance(whsecret, str):
        text = whsecret.removeprefix(_PREFIX)
        bare = text.rstrip("=")
        if not _BASE64.fullmatch(text) or len(bare) % 4 == 1:
            raise WebhookVerificationError("the secret is not whsec_ and base64")
        key = base64.b64decode(bare + "=" * (-len(bare) % 4))
    else:
        raise WebhookVerificationError("the secret is neither text nor bytes")
    if not key:
        raise EmptyWebhookSecretError("the secret is empty")
    return key


def _keyed(key: bytes) -> tuple[hashlib._Hash, hashlib._Hash]:
    """Return the two hashes of HMAC with the key already in (RFC 2104 section 4).

    Copying them costs half of what a new HMAC does.
    """
    block = (key if len(key) <= 64 else hashlib.sha256(key).digest()).ljust(64, b"\0")
    return hashlib.sha256(block.translate(_IPAD)), hashlib.sha256(block.translate(_OPAD))


def _bytes(value: object) -> bytes:
    """Return what was received as bytes."""
    if isinstance(value, str):
        try:
            return value.encode()
        except UnicodeEncodeError:
            raise WebhookVerificationError("text that is not valid Unicode") from None
    if isinstance(value, bytes):
        return value
    if isinstance(value, bytearray | memoryview):
        return bytes(value)
    raise WebhookVerificationError("neither bytes nor text was received")


def _required(headers: Mapping[str, str]) -> tuple[bytes, bytes, bytes]:
    """Return id, timestamp (digits only) and signatures."""
    try:
        found = tuple(map(headers.get, _HEADERS))
        if None in found:
            lowered = {
                name.lower(): value for name, value in headers.items() if isinstance(name, str)
            }
            found = tuple(map(lowered.get, _HEADERS))
    except (AttributeError, TypeError, ValueError):
        raise WebhookVerificationError("the headers are not a mapping of names to text") from None
    message_id, timestamp, signatures = found
    if not (message_id and timestamp and signatures):
        raise WebhookVerificationError("a required header is missing")
    digits = _bytes(timestamp)
    if not _is_timestamp(digits):
        raise WebhookVerificationError("the timestamp is not a number of seconds")
    return _bytes(message_id), digits, _bytes(signatures)


def _matches(expected: bytes, signatures: bytes) -> bool:
    """Return whether one of the space-delimited `signatures` is the `expected` one.

    What cannot be read is passed over: another entry may be valid. Texts are compared, not what
    they decode to, so there is exactly one spelling of a valid signature.
    """
    return any(compare_digest(entry, expected) for entry in signatures.split(b" "))


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
