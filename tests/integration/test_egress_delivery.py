"""A delivery to where requests may not go fails with its reason, and nothing connects."""

from __future__ import annotations

from pathlib import Path

import pytest

from claimnotify import Event, Notifier, Recipient
from claimnotify.errors import ForbiddenDestination
from claimnotify.testing.webhook_receiver import WebhookReceiver


class GateChanged(Event, type="test_egress_delivery.gate", channels=("webhook",)):
    gate: str


def _notifier(folder: Path, *networks: str, check_dns: bool = True) -> Notifier:
    return Notifier.from_settings(
        database_url=f"sqlite:///{folder}/claimnotify.db",
        queue_url="memory://",
        secret_keys=["k" * 32],
        webhook_allow_networks=list(networks),
        webhook_allow_http=True,
        webhook_check_dns=check_dns,
    )


def test_an_endpoint_registered_under_a_wider_policy_is_judged_by_todays(tmp_path: Path) -> None:
    with WebhookReceiver() as receiver:
        with _notifier(tmp_path, "127.0.0.0/8") as notifier:
            notifier.endpoints.register(receiver.url, owner="cus_7")
        with _notifier(tmp_path) as notifier:
            with pytest.raises(ForbiddenDestination):
                notifier.endpoints.register(receiver.url, owner="cus_7")
            notifier.notify(GateChanged(gate="B7"), to=Recipient(id="cus_7"))
            notifier.drain()
            (found,) = notifier.history(recipient="cus_7")
            (delivery,) = found.deliveries
            assert (delivery.status, delivery.reason) == ("failed", "forbidden_destination")
        assert receiver.received == []


def test_a_name_that_leads_inside_is_refused_when_it_is_registered_or_else_when_we_connect(
    tmp_path: Path,
) -> None:
    """`localhost` passes where networks are allowed; what it resolves to is in none of them."""
    with WebhookReceiver() as receiver:
        url = receiver.url.replace("127.0.0.1", "localhost")
        with _notifier(tmp_path, "10.20.0.0/16") as asking, pytest.raises(ForbiddenDestination):
            asking.endpoints.register(url, owner="cus_7")
        with _notifier(tmp_path, "10.20.0.0/16", check_dns=False) as notifier:
            notifier.endpoints.register(url, owner="cus_7")
            notifier.notify(GateChanged(gate="B7"), to=Recipient(id="cus_7"))
            notifier.drain()
            (found,) = notifier.history(recipient="cus_7")
            assert [(each.status, each.reason) for each in found.deliveries] == [
                ("failed", "forbidden_destination")
            ]
        assert receiver.received == []


def test_a_name_that_does_not_resolve_may_be_registered(tmp_path: Path) -> None:
    """DNS decides nothing then: what it says counts when we connect."""
    with _notifier(tmp_path) as notifier:
        url = "https://not-yet.hooks.example.com/"
        endpoint, _ = notifier.endpoints.register(url, owner="cus_7")
        assert notifier.endpoints.get(endpoint.id).url == url
