"""One run's world: an application that accepts, workers that deliver, and those who receive."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import timedelta
from random import Random
from types import TracebackType
from typing import ParamSpec, Self, TypeVar

from claimnotify.errors import StoreUnavailable
from claimnotify.model.notifications import Notification
from claimnotify.testing import SmtpServer, WebhookReceiver
from tests.faults.application import OWNERS, SeatMoved, make_notifier, recipient
from tests.faults.hostile import HostileReceiver
from tests.faults.stacks import Stack
from tests.faults.workers import Worker
from tests.waiting import NotInTime, pause, until

__all__ = ["World"]

P = ParamSpec("P")
T = TypeVar("T")

_MESSAGE_ID = re.compile(rb"^Message-ID: <([0-9a-f]{32})\.", re.MULTILINE | re.IGNORECASE)
_FLIGHT_LIMIT = 20.0
_SETTINGS = {
    "webhook_allow_networks": "127.0.0.0/8",
    "webhook_allow_http": "true",
    "attempt_deadline_seconds": "1.0",
    "lease_seconds": "2.0",
    "concurrency": "16",
    "batch_size": "32",
    "smtp_connections": "4",
}


class World:
    """Everything that takes part in one run; a context manager.

    Args:
        stack: Where it runs; it is emptied first.
        seed: What the dice are thrown by.
        settings: Settings of this run, beside the usual ones.
    """

    def __init__(
        self,
        stack: Stack,
        seed: str,
        *,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self.stack = stack
        self.dice = Random(seed)
        self.accepted: set[str] = set()
        self.strikes = 0
        self.in_flight = 0
        self.problems: list[str] = []
        self.broken_mails: dict[str, str] = {}
        """The notifications whose mail must fail, and the reason it must fail for."""
        self.refusals: list[str] = []
        """What `notify()` said when it did not accept."""
        self.wrong_time = False
        """Whether this fault excuses webhooks whose timestamp is too far from the receiver's time."""
        self.once = False
        """Whether this fault excuses no duplicate."""
        self.workers: list[Worker] = []
        self._own = dict(settings or {})
        self._numbers = iter(range(10_000))
        self._cleanup = ExitStack()
        self._elsewhere: HostileReceiver | None = None

    def __enter__(self) -> Self:
        self.stack.reset()
        self.receiver = self._cleanup.enter_context(WebhookReceiver())
        self.receiver.delay = timedelta(seconds=0.05)
        self.smtp = self._cleanup.enter_context(SmtpServer())
        mail = {
            name: "" if text is None else str(text) for name, text in self.smtp.settings.items()
        }
        mail = {name: text for name, text in mail.items() if text}
        self.settings = {**_SETTINGS, **self.stack.settings, **mail, **self._own}
        self.notifier = self._cleanup.enter_context(make_notifier(**self.settings))
        self._register(self.receiver)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for worker in self.workers:
            worker.kill()
        self._cleanup.close()

    def send_webhooks_to(self, hostile: HostileReceiver) -> None:
        """Have every endpoint at `hostile` instead; call it before anything is accepted."""
        for number in range(OWNERS):
            for endpoint in self.notifier.endpoints.list(recipient(number).id):
                self.notifier.endpoints.disable(endpoint.id)
        self._register(hostile)
        self._elsewhere = hostile

    def _register(self, receiver: WebhookReceiver | HostileReceiver) -> None:
        """Register an endpoint for each owner."""
        for number in range(OWNERS):
            _, secret = self.notifier.endpoints.register(receiver.url, owner=recipient(number).id)
            receiver.add_secret(secret)

    # Accepting

    def accept(self, count: int) -> None:
        """Accept so many notifications; each is tried until `notify()` returns, as callers would."""
        for _ in range(count):
            number = next(self._numbers)
            self.accepted.add(self.accept_one(number).id)

    def accept_one(self, number: int) -> Notification:
        """Accept the notification with this number, once however often that is tried."""
        deadline = time.monotonic() + 60.0
        while True:
            try:
                return self.notifier.notify(
                    SeatMoved(number=number), to=recipient(number), idempotency_key=f"n{number}"
                )
            except StoreUnavailable as error:
                self.refusals.append(str(error))
                if time.monotonic() > deadline:
                    raise
                pause(0.05)

    @contextmanager
    def accepting(self, count: int) -> Iterator[None]:
        """Accept so many while the block runs and until all are accepted."""
        failures: list[BaseException] = []

        def run() -> None:
            try:
                self.accept(count)
            except BaseException as error:
                failures.append(error)

        thread = threading.Thread(target=run, name="accepting")
        thread.start()
        try:
            yield
        finally:
            thread.join()
        if failures:
            raise failures[0]

    # Delivering

    def start_worker(
        self,
        settings: Mapping[str, str] | None = None,
        extra: Mapping[str, str] | None = None,
    ) -> Worker:
        """Start a worker, with settings and variables of its own beside the usual ones."""
        log = self.stack.folder / f"worker-{len(self.workers)}.log"
        worker = Worker({**self.settings, **(settings or {})}, log, extra)
        self.workers.append(worker)
        return worker

    def await_flight(self) -> None:
        """Wait until deliveries are in flight; without any, a strike counts as one that met nothing."""
        with suppress(NotInTime):
            until(lambda: self.leased, "deliveries are in flight", seconds=_FLIGHT_LIMIT)

    def strike(self, act: Callable[[], object], *, within: float = 0.1) -> None:
        """Wait until deliveries are in flight, for a moment more, and until some are then; and act."""
        self.await_flight()
        pause(self.dice.uniform(0.0, within))
        self.await_flight()
        self.struck(act)

    def struck(self, act: Callable[[], object]) -> None:
        """Act now, and note whether deliveries were in flight."""
        act()
        self.strikes += 1
        self.in_flight += self.leased > 0

    @property
    def logged(self) -> str:
        """What the workers said."""
        return "".join(worker.said for worker in self.workers)

    @property
    def leased(self) -> int:
        """How many deliveries are in some worker's hands."""
        return self.stack.count("lease_token IS NOT NULL")

    @property
    def unfinished(self) -> int:
        """How many deliveries have not come to their end."""
        return self.stack.count("finished_at IS NULL")

    def settle(self, *, within: float) -> None:
        """Keep a worker running until every delivery has come to its end; note what does not."""

        def settled() -> bool:
            if not any(worker.alive for worker in self.workers):
                self.start_worker()
            return not self.unfinished

        try:
            until(settled, "every delivery has ended", seconds=within)
        except NotInTime as error:
            left = self.stack.rows(
                "SELECT channel, status, reason, count(*) FROM claimnotify_deliveries"
                " WHERE finished_at IS NULL GROUP BY channel, status, reason"
            )
            self.problems.append(f"{error}; left: {[tuple(row) for row in left]}")

    # What became of it

    def webhooks(self) -> list[str]:
        """Return the ids of the webhooks received, in order."""
        if self._elsewhere is not None:
            return self._elsewhere.received
        return [each.id for each in self.receiver.received if each.verified or self.wrong_time]

    def mails(self) -> list[str]:
        """Return the ids of the mails received, in order."""
        found = (_MESSAGE_ID.search(mail.raw) for mail in self.smtp.messages)
        return [match[1].decode() for match in found if match is not None]

    def items(self) -> list[str]:
        """Return the ids of the notifications in the inboxes."""
        inbox = self.notifier.inbox
        return [
            item.notification_id
            for number in range(OWNERS)
            for item in _asked(inbox.list, recipient(number).id, limit=1000)
        ]

    def history(self) -> list[Notification]:
        """Return what the audit shows."""
        shown: list[Notification] = []
        before = None
        while page := _asked(self.notifier.history, limit=500, before=before):
            shown += page
            before = page[-1].id
        return shown


def _asked(question: Callable[P, Sequence[T]], *args: P.args, **options: P.kwargs) -> Sequence[T]:
    """Return the answer; asked once more if the connection it went over had been ended."""
    try:
        return question(*args, **options)
    except StoreUnavailable:
        return question(*args, **options)
