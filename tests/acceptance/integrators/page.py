"""Reads the integrators' page: its fenced blocks, its vectors and its example request."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

__all__ = ["PAGE", "Vector", "blocks", "example", "vectors"]

PAGE = (Path(__file__).parents[3] / "docs" / "integrators" / "index.md").read_text(encoding="utf-8")
_FENCED = re.compile(r"^```(?P<tag>\w+)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class Vector:
    """One known answer.

    Args:
        key: `whsec_` or `whpk_` and base64.
        id: The `webhook-id`.
        timestamp: The `webhook-timestamp`.
        body: The request's body.
        signature: The `webhook-signature`.
    """

    key: str
    id: str
    timestamp: str
    body: str
    signature: str

    @property
    def headers(self) -> dict[str, str]:
        """The three headers."""
        return {
            "webhook-id": self.id,
            "webhook-timestamp": self.timestamp,
            "webhook-signature": self.signature,
        }


def blocks(tag: str) -> list[str]:
    """Return what stands in the page's fenced blocks of that tag, in order."""
    return [found["code"] for found in _FENCED.finditer(PAGE) if found["tag"] == tag]


def vectors() -> list[Vector]:
    """Return the page's known answers."""
    (block,) = blocks("json")
    return [Vector(**each) for each in json.loads(block)]


def example() -> tuple[dict[str, str], str]:
    """Return headers and body of the request that the page begins with."""
    (block,) = blocks("http")
    head, _, body = block.partition("\n\n")
    lines = head.splitlines()[1:]
    return dict(line.split(": ", 1) for line in lines), body.removesuffix("\n")
