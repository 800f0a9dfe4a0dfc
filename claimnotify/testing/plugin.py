"""The pytest plugin: fixtures `notifier` and `outbox`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from claimnotify.testing.fake import FakeNotifier, Sent


@pytest.fixture
def notifier() -> Iterator[FakeNotifier]:
    """A notifier that sends nothing; see `claimnotify.testing.fake_notifier`."""
    from claimnotify.testing.fake import fake_notifier

    fake = fake_notifier()
    yield fake
    fake.close()


@pytest.fixture
def outbox(notifier: FakeNotifier) -> list[Sent]:
    """What `notifier` would have sent, in order."""
    return notifier.outbox
