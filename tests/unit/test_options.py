"""What an application gives besides settings is checked at start-up, before anything is written."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from claimnotify import Notifier
from claimnotify.composition import assemble
from claimnotify.errors import ConfigurationError
from claimnotify.policy.retry import RetrySchedule
from claimnotify.settings import Settings
from claimnotify.testing import MemoryStore, RecordingDispatcher
from claimnotify.webhooks.events import EndpointDisabled, EndpointFailing

KEY = "a-key-for-tests-of-thirty-two-characters"
DAILY = RetrySchedule.of(timedelta(days=1))


class _Mute(RecordingDispatcher):
    ring = None  # type: ignore[assignment]  # on purpose


class _Pigeon:
    name = "pigeon"
    ready = True
    attempt_deadline = 5

    def addresses(self, recipient: Any) -> tuple[str, ...]:
        return ()

    async def send(self, message: Any, delivery: Any) -> None: ...

    async def open(self) -> None: ...

    async def aclose(self) -> None: ...


async def _looked_up_later(owner: str) -> None: ...


@pytest.mark.parametrize(
    ("options", "field", "said"),
    [
        ({"retry": 5}, "retry", "is of type int"),
        ({"retry": {"email": 5}}, "retry['email']", "is no RetrySchedule"),
        ({"retry": {"fax": DAILY}}, "retry", "the channel 'fax', which is not installed"),
        ({"retry": {5: DAILY}}, "retry", "the channel '5', which is not installed"),
        ({"dispatcher": 5}, "dispatcher", "is of type int without "),
        ({"dispatcher": RecordingDispatcher}, "dispatcher", "is a class, RecordingDispatcher"),
        ({"dispatcher": _Mute()}, "dispatcher", "of type _Mute whose ring is no method"),
        ({"store": 5}, "store", "is of type int"),
        ({"store": lambda: None}, "store", "cannot be called so: "),
        ({"store": lambda ring: None}, "store", "what it returned is of type NoneType without "),
        ({"recipient_for": 5}, "recipient_for", "is of type int"),
        ({"recipient_for": lambda: None}, "recipient_for", "cannot be called so: "),
        ({"recipient_for": lambda tenant: None}, "recipient_for", "cannot be called so: "),
        ({"recipient_for": _looked_up_later}, "recipient_for", "can only be awaited"),
        ({"channels": 5}, "channels", "is of type int"),
        ({"channels": {5: None}}, "channels", "one of its keys is of type int"),
        ({"channels": {"email": 5}}, "channels['email']", "is of type int"),
        ({"channels": {"email": lambda: None}}, "channels['email']", "cannot be called so: "),
        ({"channels": {"email": lambda _: 5}}, "channel 'email'", "is of type int without "),
        (
            {"channels": {"pigeon": lambda _: _Pigeon()}},
            "channel 'pigeon'",
            "attempt_deadline is 5",
        ),
        ({"brand": 5}, "brand", "is of type int"),
        ({"random": 5}, "random", "is of type int"),
    ],
)
def test_a_wrong_option_is_named_at_start_up(
    options: dict[str, Any], field: str, said: str, sqlite_url: str
) -> None:
    given = {"dispatcher": RecordingDispatcher()} | options
    with pytest.raises(ConfigurationError) as refused:
        Notifier.from_settings(database_url=sqlite_url, secret_keys=KEY, **given)
    assert refused.value.field == field
    assert said in refused.value.problem
    assert refused.value.remedy


def test_options_that_are_right_are_taken(sqlite_url: str) -> None:
    with Notifier.from_settings(
        database_url=sqlite_url,
        secret_keys=KEY,
        retry={"email": DAILY},
        dispatcher=RecordingDispatcher(),
        store=MemoryStore,
    ) as notifier:
        assert notifier.describe()["database"] == "memory"


def test_a_queue_in_the_file_of_the_database_is_refused(sqlite_url: str) -> None:
    with pytest.raises(ConfigurationError, match="names the file of the database") as refused:
        Notifier.from_settings(database_url=sqlite_url, queue_url=sqlite_url, secret_keys=KEY)
    assert refused.value.field == "queue_url"


def test_a_store_of_ones_own_without_keys_is_not_called_a_server() -> None:
    with pytest.raises(ConfigurationError, match=r"^secret_keys: ") as refused:
        Notifier.from_settings(store=MemoryStore, dispatcher=RecordingDispatcher())
    assert "server" not in str(refused.value)


def test_our_own_events_need_none_of_their_channels(sqlite_url: str) -> None:
    """An application without in-app, e-mail or webhooks has no endpoint to be told of."""
    settings = Settings.load(database_url=sqlite_url, secret_keys=KEY)
    parts = assemble(settings, channels={}, dispatcher=RecordingDispatcher())
    Notifier(parts, tenant="default", events=[EndpointFailing, EndpointDisabled]).close()
