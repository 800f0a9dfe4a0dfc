"""Names that look alike are different names, on every database, and odd ids are of nothing.

Databases compare texts by collations of theirs: without regard to case, to accents, or to spaces at
the end. Ours compare byte by byte.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from claimnotify import Event, Notifier, Recipient
from claimnotify.errors import NotFound

KEY = "a-key-for-look-alikes-of-32-characters"
NAMES = ["acme", "acme ", "Acme", "muller", "müller", "ß", "ss", "a\u0301", "á"]


class Moored(Event, type="look_alikes.moored", channels=("in_app",)):
    berth: str


@pytest.fixture
def notifier(database_url: str) -> Iterator[Notifier]:
    options = {"database_url": database_url, "queue_url": "memory://", "secret_keys": KEY}
    with Notifier.from_settings(**options) as notifier:
        notifier.upgrade()
        yield notifier


def test_recipients_that_look_alike_have_inboxes_of_their_own(notifier: Notifier) -> None:
    for name in NAMES:
        notifier.notify(Moored(berth=name), to=Recipient(id=name))
    notifier.drain()
    for name in NAMES:
        assert notifier.inbox.unread_count(name) == 1
        assert [each.payload["berth"] for each in notifier.history(recipient=name)] == [name]


def test_tenants_that_look_alike_see_nothing_of_each_other(notifier: Notifier) -> None:
    made = [
        notifier.for_tenant(name).notify(
            Moored(berth="7"), to=Recipient(id="r"), idempotency_key="k"
        )
        for name in NAMES
    ]
    for name, mine in zip(NAMES, made, strict=True):
        tenant = notifier.for_tenant(name)
        assert [each.id for each in tenant.history(recipient="r")] == [mine.id]
        for other in made:
            if other is not mine:
                with pytest.raises(NotFound):
                    tenant.cancel(other.id)


def test_idempotency_keys_that_look_alike_are_as_many(notifier: Notifier) -> None:
    made = [
        notifier.notify(Moored(berth=name), to=Recipient(id="r"), idempotency_key=name)
        for name in NAMES
    ]
    assert not any(each.replayed for each in made)
    again = [
        notifier.notify(Moored(berth=name), to=Recipient(id="r"), idempotency_key=name)
        for name in NAMES
    ]
    assert [each.id for each in again] == [each.id for each in made]


def test_an_id_that_cannot_be_is_of_nothing(notifier: Notifier) -> None:
    for odd in ("ü" * 32, "0" * 31 + "😀", "0" * 255, "'; --"):
        with pytest.raises(NotFound):
            notifier.cancel(odd)
        with pytest.raises(NotFound):
            notifier.endpoints.rotate(odd)
        assert notifier.inbox.mark_read("r", [odd]) == 0


def test_every_character_comes_back_as_it_was(notifier: Notifier) -> None:
    """Whatever character set the database was made with."""
    text = "é 漢 😀 \u200f שלום \\ ' \" % \x7f"
    notifier.notify(Moored(berth=text), to=Recipient(id="r😀"))
    (found,) = notifier.history(recipient="r😀")
    assert found.payload["berth"] == text
