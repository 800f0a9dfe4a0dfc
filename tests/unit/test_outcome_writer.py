"""Writing outcomes: one that the store refuses costs none of the others, and none is dropped."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from claimnotify.delivery.outcome_writer import OutcomeWriter, plain_delivery, plain_job
from claimnotify.errors import StoreUnavailable
from claimnotify.model.jobs import JobReason, JobStatus
from claimnotify.model.messages import InAppMessage
from claimnotify.model.notifications import Attempt
from claimnotify.model.states import AttemptOutcome, DeliveryStatus, Reason
from claimnotify.ports import JobOutcome, JobsRecorded, Outcome

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@dataclass
class Store:
    """Takes texts; refuses a batch with one that contains "bad", and is away when told."""

    taken: list[str] = field(default_factory=list)
    calls: int = 0
    away_at: frozenset[int] = frozenset()

    def record(self, batch: Sequence[str]) -> JobsRecorded:
        self.calls += 1
        if self.calls in self.away_at:
            raise StoreUnavailable("database_url", "is away")
        if any("bad" in each for each in batch):
            raise UnicodeEncodeError("utf-8", "\udc80", 0, 1, "surrogates not allowed")
        self.taken += batch
        lost = [each for each in batch if each == "lost"]
        return JobsRecorded(lost, NOON + timedelta(hours=len(self.taken)))


def writer_of(store: Store, *texts: str, batch_size: int = 10) -> OutcomeWriter[str]:
    return OutcomeWriter(
        deque(texts),
        record=store.record,
        plain=lambda text: text.replace("bad", "plain"),
        batch_size=batch_size,
        news=threading.Event(),
        log=logging.getLogger("claimnotify.tests"),
    )


def test_a_batch_is_written_at_once() -> None:
    store = Store()
    writer = writer_of(store, "a", "lost", "c", batch_size=2)
    written = writer.write()
    assert (written.outcomes, written.lost, store.calls) == (["a", "lost"], ["lost"], 1)
    assert writer.write().outcomes == ["c"]
    assert writer.write().outcomes == ()


def test_one_that_is_refused_is_written_plainly_and_the_others_as_they_are() -> None:
    store = Store()
    written = writer_of(store, "a", "bad one", "lost", "d").write()
    assert store.taken == ["a", "plain one", "lost", "d"]
    assert written.outcomes == ["a", "bad one", "lost", "d"]
    assert list(written.lost) == ["lost"]
    assert written.next_due == NOON + timedelta(hours=1)


def test_what_a_store_cannot_take_now_is_kept() -> None:
    store = Store(away_at=frozenset({1}))
    writer = writer_of(store, "a", "b")
    assert writer.write().outcomes == ()
    assert writer.kept_back
    assert writer.write().outcomes == ["a", "b"]
    assert not writer.kept_back


def test_what_a_store_cannot_take_one_by_one_is_kept_in_its_order() -> None:
    store = Store(away_at=frozenset({3}))
    writer = writer_of(store, "a", "bad one", "c")
    assert writer.write().outcomes == ["a"]
    assert writer.kept_back
    assert writer.write().outcomes == ["bad one", "c"]
    assert store.taken == ["a", "plain one", "c"]


def test_one_that_is_refused_in_any_form_is_kept_and_told_of() -> None:
    store = Store()
    done = deque(["bad", "b"])
    writer = OutcomeWriter(
        done,
        record=store.record,
        plain=lambda text: text,
        batch_size=10,
        news=threading.Event(),
        log=logging.getLogger("claimnotify.tests"),
    )
    assert writer.write().outcomes == ["b"]
    with pytest.raises(UnicodeEncodeError):
        writer.write()
    assert list(done) == ["bad"]


def test_the_log_tells_nothing_of_what_is_in_an_outcome(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        writer_of(Store(), "bad DE89370400440532013000").write()
    assert "one by one" in caplog.text
    assert "DE89" not in caplog.text


def test_a_plain_job_outcome_keeps_everything_but_its_error() -> None:
    outcome = JobOutcome(
        job_id="1",
        name="n",
        token="t",
        status=JobStatus.FAILED,
        reason=JobReason.REJECTED,
        error="x\x00",
    )
    plain = plain_job(outcome)
    assert (plain.error, plain.status, plain.reason, plain.token) == (
        "its error could not be written",
        "failed",
        "rejected",
        "t",
    )


@pytest.mark.parametrize(
    ("item", "status", "reason", "outcome"),
    [
        (None, "delivered", "confirmed", "delivered"),
        (("cus_7", InAppMessage(title="\x00", body="")), "failed", "rejected", "permanent"),
    ],
)
def test_a_plain_delivery_outcome_keeps_nothing_its_channel_said(
    item: tuple[str, InAppMessage] | None, status: str, reason: str, outcome: str
) -> None:
    plain = plain_delivery(
        Outcome(
            delivery_id="1",
            tenant="acme",
            notification_id="2",
            token="t",
            channel="pigeon",
            status=DeliveryStatus.DELIVERED,
            reason=Reason.CONFIRMED,
            attempt=Attempt(
                number=1,
                started_at=NOON,
                duration=timedelta(0),
                outcome=AttemptOutcome.DELIVERED,
                status_code=10**30,
                detail="\x00",
            ),
            provider_id="\x00",
            inbox_item=item,
        )
    )
    assert (plain.status, plain.reason, plain.provider_id) == (status, reason, "")
    assert plain.inbox_item is None
    assert plain.attempt is not None
    assert (plain.attempt.outcome, plain.attempt.status_code) == (outcome, None)
    assert plain.attempt.detail == "what its channel said could not be written"
