"""The demonstration: two flight claims from submitted to paid, over real servers on this machine."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from claimnotify.cli.demo_folder import DATABASE, MAIL, QUEUE, WORKER_LOG, prepare
from claimnotify.cli.output import say, show_table
from claimnotify.errors import ClaimnotifyError
from claimnotify.model.events import Event
from claimnotify.model.notifications import Delivery, Notification
from claimnotify.model.recipients import Recipient
from claimnotify.model.states import DeliveryStatus
from claimnotify.notifier import Notifier
from claimnotify.policy.retry import RetrySchedule

if TYPE_CHECKING:
    from claimnotify.testing import SmtpServer, TwilioServer, WebhookReceiver

__all__ = ["run_demo"]

_PATIENCE = 50.0
"""Seconds until everything must have arrived."""
_WORKER_STOP = 20.0
_PARTNER = "partner_9"
_APP = "claimnotify.cli.demo:worker_notifier"
_RETRY = {"webhook": RetrySchedule.of(*[timedelta(seconds=1)] * 5)}
"""The real schedule waits minutes before a third attempt; a demonstration cannot."""
_FINE = (DeliveryStatus.SENT, DeliveryStatus.DELIVERED)

ANA = Recipient(id="cus_ana", name="Ana Jäger", email="ana@example.com", phone="+4915112345678", locale="de", timezone="Europe/Berlin")  # fmt: skip
TOM = Recipient(id="cus_tom", name="Tom Baker", email="tom@example.com", phone="+447700900123", locale="en", timezone="Europe/London")  # fmt: skip


def run_demo(directory: Path) -> int:
    """Run the demonstration and return 0 if everything promised arrived, else 1.

    Args:
        directory: Where to write. Of what is there, it deletes only what it made before.

    Raises:
        ConfigurationError: The directory is not a demonstration's own, or cannot be used.
        ClaimnotifyError: The worker process did not start, or ended early.
    """
    from claimnotify.testing import SmtpServer, TwilioServer, WebhookReceiver

    prepare(directory)
    mails = directory / MAIL
    with (
        SmtpServer(security="starttls", directory=mails) as smtp,
        TwilioServer() as twilio,
        WebhookReceiver() as steady,
        WebhookReceiver() as partners,
    ):
        settings = _settings(directory, smtp, twilio)
        say(f"SMTP on port {smtp.port}, Twilio at {twilio.url}, webhooks at {steady.url}")
        with Notifier.from_settings(**settings) as notifier:
            for owner, receiver in ((ANA.id, steady), (TOM.id, steady), (_PARTNER, partners)):
                _, secret = notifier.endpoints.register(
                    receiver.url, owner=owner, event_types=["claim.*", "document.*"]
                )
                receiver.add_secret(secret)
            partners.respond(503, 503)
            with _worker(settings, directory):
                ids = _live(notifier)
                notifications = _wait(notifier, ids)
            problems = _problems(notifications, smtp, twilio, (steady, partners))
            if [each.status for each in partners.received] != [503, 503, 200]:
                problems.append("the receiver that answers 503 twice was not tried a third time")
            _show(notifications)
            unread = {each.id: notifier.inbox.unread_count(each.id) for each in (ANA, TOM)}
    requests = [*steady.received, *partners.received]
    say(
        f"{len(smtp.messages)} e-mails, {len(twilio.messages)} texts, {sum(unread.values())} inbox"
        f" items, {len(steady.accepted) + len(partners.accepted)} webhooks arrived;"
        f" {sum(each.verified for each in requests)} of {len(requests)} signatures verified"
    )
    say(f"the e-mails as they were received: {mails.absolute()}")
    for problem in problems:
        say(f"missing: {problem}")
    return 1 if problems else 0


def worker_notifier() -> Notifier:
    """Return the notifier of the demonstration's worker process."""
    return Notifier.from_settings(retry=_RETRY)


def _settings(directory: Path, smtp: SmtpServer, twilio: TwilioServer) -> dict[str, Any]:
    return {
        "database_url": f"sqlite:///{directory.absolute() / DATABASE}",
        "queue_url": f"sqlite:///{directory.absolute() / QUEUE}",
        "secret_keys": secrets.token_urlsafe(48),
        "webhook_allow_networks": "127.0.0.0/8",
        "webhook_allow_http": True,
        **smtp.settings,
        **twilio.settings,
    }


@contextmanager
def _worker(settings: dict[str, Any], directory: Path) -> Iterator[None]:
    """Run a worker process with these settings; stop it as an operator would."""
    environment = {key: value for key, value in os.environ.items() if "CLAIMNOTIFY" not in key}
    environment |= {f"CLAIMNOTIFY_{name.upper()}": str(value) for name, value in settings.items()}
    log = directory / WORKER_LOG
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "claimnotify.worker", "--app", _APP],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            _ready(process, log)
            yield
            if process.poll() is not None:
                raise ClaimnotifyError("demo", "the worker ended early", f"See {log}.")
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(_WORKER_STOP)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _ready(process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _WORKER_STOP
    while b"worker ready" not in log.read_bytes():
        if process.poll() is not None or time.monotonic() > deadline:
            raise ClaimnotifyError("demo", "the worker did not start", f"See {log}.")
        time.sleep(0.05)


def _life(recipient: Recipient, number: int) -> Sequence[Event]:
    from claimnotify.claims import (
        ClaimApproved,
        ClaimPaid,
        ClaimRejected,
        ClaimSubmitted,
        ClaimUnderReview,
        DocumentKind,
        DocumentRejected,
        Money,
    )

    claim: dict[str, Any] = {
        "claim_id": f"CLM-{number}",
        "passenger_name": recipient.name,
        "flight_number": f"LH{number}",
        "origin": "BER",
        "destination": "LIS",
    }
    amount = Money(amount=Decimal("250.00"), currency="EUR")
    first: list[Event] = [
        ClaimSubmitted(**claim),
        DocumentRejected(
            **claim, document_kind=DocumentKind("boarding_pass"), reason="The picture is blurred."
        ),
        ClaimUnderReview(**claim),
    ]
    if recipient is ANA:
        return [*first, ClaimApproved(**claim, amount=amount), ClaimPaid(**claim, amount=amount)]
    return [
        *first,
        ClaimRejected(**claim, reason="The flight landed less than three hours late."),
        ClaimApproved(**claim, amount=amount),
        ClaimPaid(**claim, amount=amount),
    ]


def _live(notifier: Notifier) -> list[str]:
    """Accept both claims' events, in turn."""
    ids = []
    for recipient, number in ((ANA, 2041), (TOM, 2042)):
        for event in _life(recipient, number):
            result = notifier.notify(
                event, to=recipient, idempotency_key=f"{number}-{type(event).__name__}"
            )
            ids.append(result.id)
            channels = ", ".join(delivery.channel for delivery in result.deliveries)
            say(f"{result.event_type:<20} CLM-{number} {recipient.name}: {channels}")
    published = notifier.publish(_life(ANA, 2041)[0], owner=_PARTNER)
    say(f"{published.event_type:<20} published to {_PARTNER}, who answers 503 twice")
    return [*ids, published.id]


def _wait(notifier: Notifier, ids: Sequence[str]) -> list[Notification]:
    """Wait until every delivery has come to its end, showing how many have."""
    deadline = time.monotonic() + _PATIENCE
    with Console().status("delivering") as progress:
        while True:
            found = [each for each in notifier.history(limit=1000) if each.id in set(ids)]
            all_of_them = [delivery for each in found for delivery in each.deliveries]
            ended = [delivery for delivery in all_of_them if delivery.finished_at is not None]
            progress.update(f"{len(ended)} of {len(all_of_them)} deliveries have ended")
            if len(ended) == len(all_of_them) or time.monotonic() > deadline:
                return sorted(found, key=lambda each: each.id)
            time.sleep(0.1)


def _problems(
    notifications: Sequence[Notification],
    smtp: SmtpServer,
    twilio: TwilioServer,
    receivers: Sequence[WebhookReceiver],
) -> list[str]:
    """Compare what the audit says with what the servers received."""
    problems = []
    deliveries = [delivery for each in notifications for delivery in each.deliveries]
    for delivery in deliveries:
        if delivery.status not in _FINE:
            problems.append(f"{delivery.event_type} over {delivery.channel}: {delivery.status}")
    counts = {
        "email": len(smtp.messages),
        "sms": len(twilio.messages),
        "webhook": sum(len(receiver.accepted) for receiver in receivers),
    }
    for channel, received in counts.items():
        promised = sum(delivery.channel == channel for delivery in deliveries)
        if received < promised or not promised:
            problems.append(f"{promised} over {channel} were promised, {received} arrived")
    unverified = sum(not each.verified for receiver in receivers for each in receiver.received)
    if unverified:
        problems.append(f"{unverified} webhooks had a signature that does not verify")
    ids = {each.id for receiver in receivers for each in receiver.accepted}
    if ids != {
        delivery.notification_id for delivery in deliveries if delivery.channel == "webhook"
    }:
        problems.append("the webhook ids received are not those that were promised")
    return problems


def _show(notifications: Sequence[Notification]) -> None:
    rows = []
    for notification in notifications:
        for each in notification.deliveries:
            row = (notification.event_type, notification.owner, each.channel, each.status)
            rows.append((*row, each.attempts, _latency(each)))
    show_table(("event", "recipient", "channel", "state", "attempts", "latency"), rows)


def _latency(delivery: Delivery) -> str:
    if delivery.finished_at is None:
        return "-"
    return f"{(delivery.finished_at - delivery.created_at) / timedelta(milliseconds=1):,.0f} ms"
