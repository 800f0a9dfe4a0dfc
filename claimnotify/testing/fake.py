"""A notifier for tests: real store and real flow in a temporary file, messages caught, nothing sent."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from claimnotify.composition import Parts, assemble
from claimnotify.errors import ConfigurationError
from claimnotify.model.messages import Message
from claimnotify.model.notifications import Delivery, Receipt
from claimnotify.model.recipients import Recipient
from claimnotify.model.states import DeliveryStatus
from claimnotify.notifier import Notifier
from claimnotify.ports import Channel, ChannelContext
from claimnotify.settings import Settings
from claimnotify.store.clock import DatabaseClock
from claimnotify.testing.dispatchers import RecordingDispatcher

__all__ = ["FakeNotifier", "Sent", "fake_notifier"]

_KEY = "a-key-for-tests-of-thirty-two-characters"
_OWN = ("brand", "retry", "recipient_for")
_REPLACED = ("queue_url", "dispatcher", "channels", "store", "random")


@dataclass(frozen=True, slots=True)
class Sent:
    """One message that would have gone out."""

    channel: str
    address: str
    event_type: str
    message: Message = field(repr=False)
    delivery: Delivery = field(repr=False)


class CaughtChannel:
    """A channel that keeps what it is given, reaching recipients as the real one does."""

    ready = True
    attempt_deadline = timedelta(seconds=5)

    def __init__(self, real: Channel, outbox: list[Sent]) -> None:
        self.name = real.name
        self.by_endpoint = bool(getattr(real, "by_endpoint", False))
        self._real = real
        self._outbox = outbox

    def addresses(self, recipient: Recipient) -> Sequence[str]:
        """Return what the real channel returns."""
        return self._real.addresses(recipient)

    async def send(self, message: Message, delivery: Delivery) -> Receipt:
        """Keep `message`."""
        self._outbox.append(
            Sent(self.name, delivery.address, delivery.event_type, message, delivery)
        )
        status = DeliveryStatus.DELIVERED if self.by_endpoint else DeliveryStatus.SENT
        return Receipt(status=status, provider_id=f"fake-{delivery.id}")

    async def open(self) -> None:
        """Do nothing."""

    async def aclose(self) -> None:
        """Do nothing."""


class FakeNotifier(Notifier):
    """A `Notifier` whose e-mails, texts and webhooks land in `outbox`; the inbox is the real one."""

    outbox: list[Sent]
    rings: RecordingDispatcher

    def __init__(self, parts: Parts, *, folder: Path | None, outbox: list[Sent]) -> None:
        self._folder = folder
        self.outbox = outbox
        assert isinstance(parts.dispatcher, RecordingDispatcher)
        self.rings = parts.dispatcher
        super().__init__(parts, tenant=parts.settings.tenant)

    def advance(self, by: timedelta) -> None:
        """Move the clock forward: what is due by then is due now."""
        clock = self._parts.store.clock
        assert isinstance(clock, DatabaseClock)
        clock.shift(by)

    def close(self) -> None:
        """Close it and delete its database, unless that was given."""
        super().close()
        _delete(self._folder)


class _OwnSettings(Settings):
    """Settings that are given and nothing else: the environment of the process is not read."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return the keywords as the only source."""
        return (init_settings,)


def fake_notifier(**options: Any) -> FakeNotifier:
    """Return a notifier that sends nothing: `notify`, then `drain()`, then look at `outbox`.

    Nothing is read from the environment.

    Args:
        **options: Settings by name, and `brand=`, `retry=` and `recipient_for=` as for
            `Notifier.from_settings`. With `database_url=` it works in a database of yours, such as that of your tests' sessions,
            which is kept; without, in a file of its own that `close` deletes.

    Raises:
        ConfigurationError: A setting, template or channel is wrong, or what is replaced here was
            given; it names which.
        SchemaMissing: The server that `database_url` names lacks our tables.
    """
    for name in _REPLACED:
        if name in options:
            raise ConfigurationError(
                name,
                "is what fake_notifier() replaces",
                "Leave it out, or use Notifier.from_settings().",
            )
    folder = None
    if not options.get("database_url"):
        folder = Path(tempfile.mkdtemp(prefix="claimnotify-"))
        options["database_url"] = f"sqlite:///{folder / 'test.db'}"
    try:
        return _made(options, folder)
    except BaseException:
        _delete(folder)
        raise


def _made(options: dict[str, Any], folder: Path | None) -> FakeNotifier:
    outbox: list[Sent] = []
    own = {name: options.pop(name) for name in _OWN if name in options}
    options = {"secret_keys": _KEY, "webhook_allow_networks": "127.0.0.0/8,::1/128"} | options
    settings = _OwnSettings.load(**options)
    parts = assemble(settings, dispatcher=RecordingDispatcher(), wrap=_catch(outbox), **own)
    try:
        parts.store.check()
        return FakeNotifier(parts, folder=folder, outbox=outbox)
    except BaseException:
        parts.close()
        raise


def _delete(folder: Path | None) -> None:
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)


def _catch(outbox: list[Sent]) -> Any:
    def wrap(channel: Channel, _context: ChannelContext) -> Channel:
        return channel if channel.name == "in_app" else CaughtChannel(channel, outbox)

    return wrap
