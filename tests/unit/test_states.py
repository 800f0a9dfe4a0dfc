"""The states of a delivery: whatever happens to it, only legal transitions are ever written.

A machine drives the real store on SQLite with every operation there is, in any order, and looks at
each row before and after. The clock is the test's own, so no step waits.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from datetime import timedelta
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from claimnotify import Event, Recipient
from claimnotify.composition import Parts, assemble
from claimnotify.delivery.preparing import Preparer
from claimnotify.delivery.sending import Sender
from claimnotify.errors import (
    DeliverySkipped,
    PermanentDeliveryError,
    TransientDeliveryError,
    UnknownOutcome,
)
from claimnotify.model.messages import Message
from claimnotify.model.notifications import Delivery, Receipt
from claimnotify.model.states import LEGAL, TERMINAL, DeliveryStatus
from claimnotify.notifier import Notifier
from claimnotify.policy.retry import RetrySchedule
from claimnotify.ports import ChannelContext, Lease
from claimnotify.settings import Settings
from claimnotify.store.tables import deliveries
from claimnotify.testing import RecordingDispatcher

KEY = "a-key-for-tests-of-thirty-two-characters"
QUEUE = "notifications"
LEASE = timedelta(seconds=60)

STARTS = {DeliveryStatus.PENDING, DeliveryStatus.SCHEDULED, DeliveryStatus.SKIPPED}
WITH_DUE_AT = {DeliveryStatus.PENDING, DeliveryStatus.SCHEDULED, DeliveryStatus.PARKED}


class StateTold(Event, type="states.told", channels=("in_app",)):
    text: str = "x"


def test_the_table_covers_every_state() -> None:
    assert LEGAL.keys() == set(DeliveryStatus)


def test_nothing_follows_a_terminal_state() -> None:
    assert {state for state, after in LEGAL.items() if not after} == TERMINAL


def test_no_state_but_an_expired_lease_follows_itself() -> None:
    assert {state for state, after in LEGAL.items() if state in after} == {DeliveryStatus.SENDING}


def test_every_state_can_be_reached_and_leads_to_an_end() -> None:
    reached = {DeliveryStatus.SCHEDULED, DeliveryStatus.PENDING}
    while more := {after for state in reached for after in LEGAL[state]} - reached:
        reached |= more
    assert reached == set(DeliveryStatus)
    ends = set(TERMINAL)
    while more := {state for state in LEGAL if LEGAL[state] & ends} - ends:
        ends |= more
    assert ends == set(DeliveryStatus)


class ScriptedChannel:
    """Does with each send what the machine said last."""

    ready = True
    attempt_deadline = timedelta(seconds=5)

    def __init__(self, name: str) -> None:
        self.name = name
        self.next: Receipt | Exception = Receipt()

    def addresses(self, recipient: Recipient) -> tuple[str, ...]:
        return () if recipient.id == "nowhere" else (recipient.id,)

    async def send(self, message: Message, delivery: Delivery) -> Receipt:
        if isinstance(self.next, Exception):
            raise self.next
        return self.next

    async def open(self) -> None:
        pass

    async def aclose(self) -> None:
        pass


def _given(channel: ScriptedChannel, _context: ChannelContext) -> ScriptedChannel:
    return channel


_RESULTS: list[Any] = [
    lambda: Receipt(status=DeliveryStatus.SENT),
    lambda: Receipt(status=DeliveryStatus.DELIVERED),
    lambda: TransientDeliveryError("later"),
    lambda: TransientDeliveryError("later", retry_after=timedelta(minutes=3)),
    lambda: PermanentDeliveryError("never"),
    lambda: UnknownOutcome("who knows"),
    lambda: DeliverySkipped("not now"),
    lambda: RuntimeError("a fault in the channel"),
]


class Deliveries(RuleBasedStateMachine):
    """Every operation of an application and of workers, good and bad, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="claimnotify-states-"))
        channels = {name: ScriptedChannel(name) for name in ("email", "in_app", "sms", "webhook")}
        self.channel = channels["in_app"]
        self.parts: Parts = assemble(
            Settings.load(
                database_url=f"sqlite:///{self.folder / 'test.db'}",
                secret_keys=KEY,
                lease_seconds=LEASE.total_seconds(),
            ),
            dispatcher=RecordingDispatcher(),
            channels={name: partial(_given, channel) for name, channel in channels.items()},
            retry={"in_app": RetrySchedule.of(timedelta(seconds=30), timedelta(minutes=2))},
            random=Random(0),  # jitter
        )
        self.parts.store.check()
        self.notifier = Notifier(self.parts, tenant="default")
        self.accepted: list[str] = []
        self.leases: list[Lease] = []
        self.seen: dict[str, Any] = {}
        self.observed: set[tuple[str, str]] = set()

    def teardown(self) -> None:
        self.parts.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    @initialize()
    def begin(self) -> None:
        """Start with something in hand, so that no operation is without effect."""
        for delay in (None, None, None, timedelta(minutes=5)):
            self.notify(to="cus_7", delay=delay, expires=None)

    @rule(
        to=st.sampled_from(["cus_7", "cus_7", "nowhere"]),
        delay=st.sampled_from([None, timedelta(0), timedelta(minutes=5)]),
        expires=st.sampled_from([None, None, timedelta(minutes=2)]),
    )
    def notify(self, to: str, delay: timedelta | None, expires: timedelta | None) -> None:
        made = self.notifier.notify(StateTold(), to=Recipient(id=to), delay=delay, expires=expires)
        self.accepted.append(made.id)

    @rule(number=st.integers(0, 9))
    def cancel(self, number: int) -> None:
        if self.accepted:
            self.notifier.cancel(self.accepted[number % len(self.accepted)])

    @rule(seconds=st.sampled_from([1, 40, 61, 200, 400]))
    def wait(self, seconds: int) -> None:
        self.parts.store.clock.shift(timedelta(seconds=seconds))

    @rule(result=st.sampled_from(_RESULTS))
    def drain(self, result: Any) -> None:
        self.channel.next = result()
        self.notifier.drain()

    @rule(ready=st.booleans())
    def configure(self, ready: bool) -> None:
        self.channel.ready = ready

    @rule(limit=st.integers(1, 3))
    def lease(self, limit: int) -> None:
        """A worker leases and is not heard of again for a while."""
        found = self.parts.store.work.lease(QUEUE, limit=limit, duration=LEASE)
        if found is not None:
            self.leases.append(found)

    @rule()
    def lease_lapsed(self) -> None:
        work = self.parts.store.work
        found = work.lease_lapsed(QUEUE, limit=2, duration=LEASE, alone=True)
        if found is not None:
            self.leases.append(found)

    @rule(result=st.sampled_from(_RESULTS), newest=st.booleans())
    def a_worker_comes_back(self, result: Any, newest: bool) -> None:
        """With outcomes for its lease, which another worker may have taken over by now."""
        if not self.leases:
            return
        lease = self.leases.pop(-1 if newest else 0)
        self.channel.next = result()
        store = self.parts.store
        preparer = Preparer(
            channels=self.parts.channels,
            renderer=self.parts.renderer,
            work=store.work,
            endpoints=self.parts.directory,
            clock=store.clock,
            enabled=True,
        )
        sender = Sender(
            schedules=self.parts.schedules, clock=store.clock.estimate, random=self.parts.random
        )
        ready, outcomes = preparer.prepare(lease)
        sent = [asyncio.run(sender.attempt(each)) for each in ready]
        store.work.record([*outcomes, *sent])

    @invariant()
    def only_legal_transitions_are_seen(self) -> None:
        with self.parts.store._engine.connect() as connection:
            rows = {row.id: row for row in connection.execute(deliveries.select())}
        assert self.seen.keys() <= rows.keys(), "a delivery has vanished"
        for key, row in rows.items():
            before, now = self.seen.get(key), DeliveryStatus(row.status)
            if before is None:
                assert now in STARTS
            elif before.status != now:
                self.observed.add((before.status, str(now)))
                # A drain takes several steps between two looks: leased, then its outcome.
                direct = now in LEGAL[DeliveryStatus(before.status)]
                assert direct or _by_way_of_sending(before.status, now), (before.status, now)
            elif now in TERMINAL:
                assert row == before, "a finished delivery has changed"
            assert row.reason, "every state has a reason"
            assert (row.due_at is not None) == (now in WITH_DUE_AT), now
            assert (row.lane is not None) == (now in WITH_DUE_AT), now
            assert (row.lease_until is not None) == (now == DeliveryStatus.SENDING), now
            assert (row.lease_token is not None) == (now == DeliveryStatus.SENDING), now
            ended = now in TERMINAL or now == DeliveryStatus.SENT
            assert (row.finished_at is not None) == ended, now
        self.seen = rows


def _by_way_of_sending(before: str, now: DeliveryStatus) -> bool:
    sending = DeliveryStatus.SENDING
    return sending in LEGAL[DeliveryStatus(before)] and now in LEGAL[sending]


def test_only_legal_transitions_are_ever_observed() -> None:
    run_state_machine_as_test(
        Deliveries,
        settings=settings(
            max_examples=30,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_a_long_walk_sees_the_transitions_that_matter_and_none_that_is_illegal() -> None:
    """As above, and it shows that the machine does get about."""
    draw = Random(7)  # a walk
    machine = Deliveries()
    try:
        machine.begin()
        for _ in range(1000):
            machine.channel.ready = draw.random() < 0.9
            result = draw.choice(_RESULTS)
            steps: list[Any] = [
                lambda: machine.notify(
                    to="cus_7",
                    delay=draw.choice([None, timedelta(minutes=5)]),
                    expires=draw.choice([None, timedelta(minutes=2)]),
                ),
                lambda: machine.cancel(number=len(machine.accepted) - 1),
                lambda: machine.wait(seconds=draw.choice([1, 1, 40, 200])),
                lambda result=result: machine.drain(result=result),
                lambda: machine.lease(limit=1),
                lambda: machine.lease_lapsed(),
                lambda result=result: machine.a_worker_comes_back(result=result, newest=True),
            ]
            draw.choice(steps)()
            machine.only_legal_transitions_are_seen()
    finally:
        machine.teardown()
    wanted = {
        ("pending", "sending"),
        ("sending", "pending"),
        ("sending", "sent"),
        ("sending", "delivered"),
        ("sending", "failed"),
        ("pending", "cancelled"),
        ("scheduled", "cancelled"),
    }
    assert wanted <= machine.observed, wanted - machine.observed
