"""What a fault is: where it can be injected, with which settings, and how."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from tests.faults.stacks import STACKS
from tests.faults.world import World

__all__ = ["SERVERS", "Fault", "Inject"]

SERVERS = ("postgresql", "mariadb")
"""The stacks with a database server and Redis."""

Inject: TypeAlias = Callable[[World], None]


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One way in which things go wrong.

    Args:
        inject: Accepts, starts workers and strikes; what is left is delivered afterwards.
        stacks: Where it can be injected.
        settings: Settings that it needs.
        within: Seconds in which everything must have come to its end after it.
        why: What the name does not say, for instance why not everywhere.
    """

    inject: Inject
    stacks: tuple[str, ...] = STACKS
    settings: Mapping[str, str] = field(default_factory=dict)
    within: float = 40.0
    why: str = ""

    @property
    def name(self) -> str:
        """What it is called on the command line."""
        return self.inject.__name__
