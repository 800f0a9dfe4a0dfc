"""Compares what was accepted, what was received and what the audit shows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from claimnotify.model.notifications import Notification
from tests.faults.world import World

__all__ = ["Verdict", "judge"]

_ENDED = ("delivered", "sent")


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What became of one run.

    Args:
        stack: Where.
        fault: Which.
        seed: What it is repeated with.
        accepted: How many notifications were accepted.
        strikes: How often the fault struck.
        in_flight: How often deliveries were in flight then.
        lost: How many accepted notifications were not received, or are not shown as such.
        duplicates: How many webhooks and mails were received once more.
        seconds: How long it took.
        problems: What else is wrong.
    """

    stack: str
    fault: str
    seed: int
    accepted: int = 0
    strikes: int = 0
    in_flight: int = 0
    lost: int = 0
    duplicates: int = 0
    seconds: float = 0.0
    problems: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether nothing was lost and nothing is wrong."""
        return not self.lost and not self.problems


def judge(world: World) -> tuple[int, int]:
    """Return how many were lost and how many receipts were duplicates; note what is wrong."""
    broken = world.broken_mails
    shown = {note.id: note for note in world.history()}
    places = {
        "the audit": Counter(key for key, note in shown.items() if _as_it_must(note, broken)),
        "the webhooks received": Counter(world.webhooks()),
        "the mails received": Counter(world.mails()),
        "the inboxes": Counter(world.items()),
    }
    lost: set[str] = set()
    for place, found in places.items():
        expected = world.accepted - (broken.keys() if "mails" in place else set())
        missing, unknown = expected - found.keys(), found.keys() - expected
        if missing:
            first = min(missing)
            world.problems.append(
                f"{len(missing)} are missing in {place}: {first} {_states(shown.get(first))} …"
            )
        if unknown:
            world.problems.append(f"{len(unknown)} in {place} should not be: {min(unknown)} …")
        lost |= missing
    if places["the inboxes"].total() != len(places["the inboxes"]):
        world.problems.append("an inbox has an item twice")
    outward = (places["the webhooks received"], places["the mails received"])
    duplicates = sum(each.total() - len(each) for each in outward)
    if duplicates and world.once:
        world.problems.append(f"{duplicates} were received twice, and nothing excuses that")
    return len(lost), duplicates


def _states(note: Notification | None) -> str:
    """Return what the audit says of a notification's deliveries, for whoever looks for the cause."""
    if note is None:
        return "is not in the audit"
    return "; ".join(
        f"{each.channel} {each.status} {each.reason} after"
        f" {[f'{attempt.outcome} {attempt.error}'.strip() for attempt in each.history]}"
        for each in note.deliveries
    )


def _as_it_must(note: Notification, broken: Mapping[str, str]) -> bool:
    """Return whether the audit shows every delivery of a notification as made, or failed as it must."""
    return all(
        (each.status, each.reason) == ("failed", broken[note.id])
        if each.channel == "email" and note.id in broken
        else each.status in _ENDED
        for each in note.deliveries
    )
