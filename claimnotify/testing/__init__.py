"""What tests of applications, channels and stores need: a fake notifier, real servers, contracts."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from claimnotify.testing.channel_contract import ChannelContract as ChannelContract
    from claimnotify.testing.dispatcher_contract import DispatcherContract as DispatcherContract
    from claimnotify.testing.dispatchers import RecordingDispatcher as RecordingDispatcher
    from claimnotify.testing.fake import FakeNotifier as FakeNotifier
    from claimnotify.testing.fake import Sent as Sent
    from claimnotify.testing.fake import fake_notifier as fake_notifier
    from claimnotify.testing.http_contract import HttpEngineContract as HttpEngineContract
    from claimnotify.testing.job_contract import JobQueueContract as JobQueueContract
    from claimnotify.testing.memory_store import MemoryStore as MemoryStore
    from claimnotify.testing.smtp_server import SmtpServer as SmtpServer
    from claimnotify.testing.store_contract import StoreContract as StoreContract
    from claimnotify.testing.twilio_server import TwilioServer as TwilioServer
    from claimnotify.testing.webhook_receiver import WebhookReceiver as WebhookReceiver

_HOMES = {
    "fake_notifier": "fake",
    "FakeNotifier": "fake",
    "Sent": "fake",
    "RecordingDispatcher": "dispatchers",
    "WebhookReceiver": "webhook_receiver",
    "SmtpServer": "smtp_server",
    "TwilioServer": "twilio_server",
    "ChannelContract": "channel_contract",
    "DispatcherContract": "dispatcher_contract",
    "HttpEngineContract": "http_contract",
    "JobQueueContract": "job_contract",
    "StoreContract": "store_contract",
    "MemoryStore": "memory_store",
}

__all__ = tuple(_HOMES)


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value
