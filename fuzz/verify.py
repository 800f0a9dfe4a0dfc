"""Fuzzes `Webhook.verify`: whatever is received, it returns, or raises its one error.

Started by `make fuzz`. Anything else that is raised is a finding, and so is a message that passes
though nobody signed it, or fails though we did.
"""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from typing import Any

import atheris

with atheris.instrument_imports(include=["claimnotify"]):
    from claimnotify.errors import ClaimnotifyError, InvalidInput, WebhookVerificationError
    from claimnotify.webhooks.signing import Webhook

_NOW = datetime(2025, 1, 1, tzinfo=UTC)
_OURS = Webhook("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", clock=lambda: _NOW)
_NAMES = ("webhook-id", "webhook-timestamp", "webhook-signature")
_PLAUSIBLE = {
    "webhook-id": "msg_1",
    "webhook-timestamp": str(int(_NOW.timestamp())),
    "webhook-signature": "v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4=",
}
_PREFIXES = ["", "whsec_", "whsk_", "whpk_"]


@atheris.instrument_func
def receive(data: bytes) -> None:
    """Receive one message made of `data`."""
    given = atheris.FuzzedDataProvider(data)
    match given.ConsumeIntInRange(0, 2):
        case 0:
            _hostile(given)
        case 1:
            _signed(given)
        case _:
            _secret(given)


def _hostile(given: Any) -> None:
    """Headers and body from a stranger."""
    headers: Any = {
        _name(given, name): _value(given) if given.ConsumeBool() else value
        for name, value in _PLAUSIBLE.items()
        if given.ConsumeIntInRange(0, 9) < 9
    }
    if given.ConsumeIntInRange(0, 9) == 9:
        headers = _value(given)
    body = _value(given)
    try:
        _OURS.verify(body, headers)
    except WebhookVerificationError:
        return
    raise AssertionError("a message passed that nobody signed")


def _signed(given: Any) -> None:
    """A message of ours, its signature among others, with a body that is JSON or not."""
    odd = given.ConsumeIntInRange(0, 7)  # most are odd in one way only, or a short input ends early
    message_id = given.ConsumeUnicode(20) if odd & 1 else "msg_1"
    before = given.ConsumeUnicode(40) if odd & 2 else "v1,"
    after = given.ConsumeUnicode(40) if odd & 4 else "v1a,abc"
    body: Any = given.ConsumeBytes(400) if given.ConsumeBool() else given.ConsumeUnicode(400)
    try:
        signature = _OURS.sign(message_id, _NOW, body)
    except InvalidInput:
        return
    headers = {
        _name(given, "webhook-id"): message_id,
        "webhook-timestamp": str(int(_NOW.timestamp())),
        "webhook-signature": f"{before} {signature} {after}",
    }
    try:
        parsed = _OURS.verify(body, headers)
    except WebhookVerificationError:
        if not message_id or not _is_text(before + after) or "webhook-id" not in _lowered(headers):
            return
        assert not _is_json(body), "a message of ours did not pass"
    else:
        assert repr(parsed) == repr(json.loads(body))


def _secret(given: Any) -> None:
    """A secret that somebody typed."""
    secret: Any = given.ConsumeBytes(80) if given.ConsumeBool() else given.ConsumeUnicode(80)
    if isinstance(secret, str):
        secret = given.PickValueInList(_PREFIXES) + secret
    try:
        webhook = Webhook(secret, clock=lambda: _NOW)
    except WebhookVerificationError:
        return
    try:
        signature = webhook.sign("msg_1", _NOW, b"{}")
    except ClaimnotifyError:  # a public key signs nothing
        signature = given.ConsumeUnicode(100)
    values = ("msg_1", str(int(_NOW.timestamp())), signature)
    try:
        assert webhook.verify(b"{}", dict(zip(_NAMES, values, strict=True))) == {}
    except WebhookVerificationError:
        assert isinstance(secret, str), "raw bytes sign and verify"
        assert secret.startswith("whpk_"), "what signs verifies"


def _name(given: Any, name: str) -> Any:
    """Return a header's name in some spelling, rarely another one."""
    match given.ConsumeIntInRange(0, 9):
        case 7:
            return given.ConsumeUnicode(20)
        case 8:
            return name.encode()
        case 9:
            return name.title()
        case _:  # also where the input has ended
            return name


def _value(given: Any) -> Any:
    """Return text, bytes or something that no header and no body is."""
    match given.ConsumeIntInRange(0, 9):
        case 0:
            return given.ConsumeUnicode(60)
        case 1:
            return given.ConsumeInt(8)
        case 2 | 3:
            return given.ConsumeBytes(60)
        case 4:
            return bytearray(given.ConsumeBytes(60))
        case 5:
            return str(int(_NOW.timestamp()) + given.ConsumeIntInRange(-400, 400))
        case 6:
            return None
        case _:
            return given.ConsumeUnicodeNoSurrogates(60)


def _lowered(headers: dict[Any, str]) -> set[str]:
    return {name.lower() for name in headers if isinstance(name, str)}


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_json(body: bytes | str) -> bool:
    try:
        json.loads(body if isinstance(body, str) else body.decode())
    except (ValueError, RecursionError):
        return False
    return True


if __name__ == "__main__":
    atheris.Setup(sys.argv, receive)
    atheris.Fuzz()
