"""What every verifier of the page says, and what none may be led astray by."""

from __future__ import annotations

import base64

__all__ = ["MISSING", "NOISE", "NO_FIT", "NO_NUMBER", "TOO_FAR"]

TOO_FAR = "the timestamp is not within five minutes of now"
NO_NUMBER = "the timestamp is not a number of seconds"
NO_FIT = "no signature fits"
MISSING = "a webhook header is missing"

NOISE = [
    "nonsense",
    "v1",
    "v1,",
    "v1,***",
    "v1,AAAA",
    "v1," + "A" * 43 + "=",
    "v1," + "A" * 4000,
    "v2,abc",
    ",",
    "",
    "v1a,x",
    "v1a," + base64.b64encode(b"\xff" * 64).decode(),
    "v1a," + base64.b64encode(bytes(64)).decode(),
]
