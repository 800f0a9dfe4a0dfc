"""A receiver that hangs and comes back gets no more than its limit: nothing has gathered for it."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest

from claimnotify import Event, Notifier
from claimnotify.testing import RecordingDispatcher, WebhookReceiver

_SECOND = timedelta(seconds=1)


class Burst(Event, type="bursts.burst", channels=("webhook",)):
    number: int


@pytest.mark.parametrize("limited", ["channel", "endpoint"])
def test_what_gathers_behind_a_receiver_that_hangs_does_not_go_all_at_once(
    sqlite_url: str, limited: str
) -> None:
    """It was allowed while nothing could be sent; a second sees the limit and its burst at most."""
    with (
        Notifier.from_settings(
            database_url=sqlite_url,
            secret_keys="k" * 40,
            dispatcher=RecordingDispatcher(),
            webhook_allow_networks="127.0.0.0/8",
            webhook_allow_http=True,
            rate_limits="webhook=10/second" if limited == "channel" else "",
        ) as notifier,
        WebhookReceiver() as receiver,
    ):
        rate_limit = "10/second" if limited == "endpoint" else ""
        notifier.endpoints.register(receiver.url, owner="o", rate_limit=rate_limit)
        receiver.delay = timedelta(seconds=2)
        for number in range(40):
            notifier.publish(Burst(number=number), owner="o")
        drain = notifier._parts.drain("notifications")
        thread = threading.Thread(target=drain.until_stopped)
        thread.start()
        try:
            receiver.wait_for(1, timeout=30.0)
            receiver.delay = timedelta(0)
            receiver.wait_for(40, timeout=60.0)
        finally:
            drain.stop()
            thread.join(60)
        times = [n.deliveries[0].history[0].started_at for n in notifier.history(limit=100)]
        assert len(times) == 40
        assert max(sum(a <= b < a + _SECOND for b in times) for a in times) <= 20
