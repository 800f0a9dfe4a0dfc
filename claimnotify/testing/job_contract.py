"""What every job queue must do: subclass `JobQueueContract` to test a store of your own."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from claimnotify.errors import IdempotencyConflict
from claimnotify.model.jobs import Job, JobReason, JobStatus
from claimnotify.ports import Clock, JobLease, JobOutcome, JobQueue, NewJob

__all__ = ["JobQueueContract"]

_MINUTE = timedelta(minutes=1)


def _new(name: str = "build", arguments: str = "{}", **options: Any) -> NewJob:
    defaults: dict[str, Any] = {"tenant": "acme", "queue": "processing", "priority": 1}
    return NewJob(name=name, arguments_json=arguments, **defaults | options)


def _ended(job: Job, lease: JobLease, **options: Any) -> JobOutcome:
    defaults = {"status": JobStatus.SUCCEEDED, "reason": JobReason.RETURNED}
    return JobOutcome(job_id=job.id, name=job.name, token=lease.token, **defaults | options)


class JobQueueContract:
    """Tests of a `claimnotify.ports.JobQueue`, for pytest.

    A subclass overrides the fixtures `jobs`, `clock` and `advance`.
    """

    @pytest.fixture
    def jobs(self) -> JobQueue:
        """Override: return an empty job queue."""
        raise NotImplementedError("override the fixture jobs")

    @pytest.fixture
    def clock(self) -> Clock:
        """Override: return the clock that the job queue goes by."""
        raise NotImplementedError("override the fixture clock")

    @pytest.fixture
    def advance(self) -> Callable[[timedelta], None]:
        """Override: return a function that moves that clock."""
        raise NotImplementedError("override the fixture advance")

    def lease(self, jobs: JobQueue, limit: int = 10, **options: Any) -> JobLease:
        """Lease what is due, of which there must be something."""
        lease = jobs.lease("processing", limit=limit, duration=_MINUTE, **options)
        assert lease is not None, "nothing was due"
        return lease

    def lapse(
        self, jobs: JobQueue, advance: Callable[[timedelta], None], *, alone: bool = True
    ) -> JobLease:
        """Let leases run out, and lease what lapsed."""
        advance(2 * _MINUTE)
        lease = jobs.lease_lapsed("processing", limit=10, duration=_MINUTE, alone=alone)
        assert lease is not None, "nothing had lapsed"
        return lease

    def test_a_job_is_leased_as_it_was_enqueued(self, jobs: JobQueue) -> None:
        job = jobs.enqueue(_new(arguments='{"number": 7}', unique_key="k"))
        assert (job.status, job.reason, job.attempts) == ("pending", "queued", 0)
        (leased,) = self.lease(jobs).jobs
        assert leased == job
        assert leased.arguments == {"number": 7}
        assert jobs.lease("processing", limit=10, duration=_MINUTE) is None

    def test_each_queue_has_its_own(self, jobs: JobQueue) -> None:
        jobs.enqueue(_new(queue="scheduled"))
        assert jobs.lease("processing", limit=10, duration=_MINUTE) is None
        assert jobs.lease("scheduled", limit=10, duration=_MINUTE) is not None

    def test_a_later_job_waits_for_its_time(
        self, jobs: JobQueue, clock: Clock, advance: Callable[[timedelta], None]
    ) -> None:
        delayed = jobs.enqueue(_new(delay=_MINUTE))
        at = clock.now() + 3 * _MINUTE
        jobs.enqueue(_new(at=at))
        assert (delayed.status, delayed.reason) == ("scheduled", "scheduled")
        assert jobs.lease("processing", limit=10, duration=_MINUTE) is None
        assert jobs.next_due("processing") == delayed.due_at
        advance(2 * _MINUTE)
        assert [job.id for job in self.lease(jobs).jobs] == [delayed.id]
        advance(2 * _MINUTE)
        assert [job.due_at for job in self.lease(jobs).jobs] == [at]

    def test_urgent_jobs_go_first_and_a_name_without_room_waits(self, jobs: JobQueue) -> None:
        low = jobs.enqueue(_new("low", priority=2))
        high = [jobs.enqueue(_new("high", priority=0)) for _ in range(3)]
        first = self.lease(jobs, room={"high": 2}, limit=2)
        assert {job.id for job in first.jobs} <= {job.id for job in high}
        second = self.lease(jobs, room={"high": 0})
        assert [job.id for job in second.jobs] == [low.id]

    def test_a_unique_key_is_taken_while_its_job_is_unfinished(self, jobs: JobQueue) -> None:
        first = jobs.enqueue(_new(unique_key="k"))
        assert jobs.enqueue(_new(unique_key="k")).id == first.id
        assert jobs.enqueue(_new("other", unique_key="k")).id != first.id
        assert jobs.enqueue(_new(tenant="else", unique_key="k")).id != first.id
        lease = self.lease(jobs)
        running = jobs.enqueue(_new(unique_key="k"))
        assert (running.id, running.status) == (first.id, "running")
        jobs.record([_ended(first, lease)])
        again = jobs.enqueue(_new(unique_key="k"))
        assert again.id != first.id

    def test_a_taken_key_with_other_arguments_is_a_conflict(self, jobs: JobQueue) -> None:
        jobs.enqueue(_new(unique_key="k", arguments='{"number": 1}'))
        with pytest.raises(IdempotencyConflict):
            jobs.enqueue(_new(unique_key="k", arguments='{"number": 2}'))
        assert len(jobs.list_jobs("acme")) == 1

    def test_a_job_that_repeats_the_arguments_in_another_form_is_no_conflict(
        self, jobs: JobQueue
    ) -> None:
        def same(one: str, other: str) -> bool:
            return bool(json.loads(one) == json.loads(other))

        first = jobs.enqueue(_new(unique_key="k", arguments='{"a":1,"b":2}', same=same))
        again = jobs.enqueue(_new(unique_key="k", arguments='{"b":2,"a":1}', same=same))
        assert (again.id, again.arguments_json) == (first.id, first.arguments_json)
        with pytest.raises(IdempotencyConflict):
            jobs.enqueue(_new(unique_key="k", arguments='{"a":1}', same=same))

    def test_twenty_who_enqueue_one_key_at_once_get_one_job(self, jobs: JobQueue) -> None:
        together, made, errors = threading.Barrier(20), set[str](), list[Exception]()

        def enqueue() -> None:
            together.wait(30)
            try:
                made.add(jobs.enqueue(_new(unique_key="k")).id)
            except Exception as error:
                errors.append(error)

        threads = [threading.Thread(target=enqueue) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert errors == []
        assert made == {job.id for job in jobs.list_jobs("acme")}
        assert len(made) == 1

    def test_an_outcome_is_kept(self, jobs: JobQueue, clock: Clock) -> None:
        job = jobs.enqueue(_new())
        recorded = jobs.record([_ended(job, self.lease(jobs))])
        assert (list(recorded.lost), recorded.next_due) == ([], None)
        (kept,) = jobs.list_jobs("acme", job_id=job.id)
        assert (kept.status, kept.reason, kept.attempts) == ("succeeded", "returned", 1)
        assert kept.finished_at is not None
        assert kept.due_at is None
        assert jobs.next_due("processing") is None

    def test_a_retry_waits_and_keeps_its_error(
        self, jobs: JobQueue, clock: Clock, advance: Callable[[timedelta], None]
    ) -> None:
        job = jobs.enqueue(_new())
        later = clock.now() + _MINUTE
        retry = {"status": JobStatus.PENDING, "reason": JobReason.RETRY, "due_at": later}
        recorded = jobs.record([_ended(job, self.lease(jobs), error="ValueError", **retry)])
        assert recorded.next_due == later
        assert jobs.lease("processing", limit=10, duration=_MINUTE) is None
        advance(2 * _MINUTE)
        lease = self.lease(jobs)
        assert [(each.attempts, each.error) for each in lease.jobs] == [(1, "ValueError")]
        back = {"status": JobStatus.PENDING, "reason": JobReason.RELEASED, "due_at": later}
        jobs.record([_ended(job, lease, attempted=False, **back)])
        (kept,) = jobs.list_jobs("acme")
        assert (kept.attempts, kept.error, kept.reason) == (1, "ValueError", "released")

    def test_only_the_holder_of_the_lease_records(
        self, jobs: JobQueue, advance: Callable[[timedelta], None]
    ) -> None:
        job = jobs.enqueue(_new())
        slow = self.lease(jobs)
        other = self.lapse(jobs, advance)
        assert list(jobs.record([_ended(job, slow)]).lost) == [job.id]
        (kept,) = jobs.list_jobs("acme")
        assert kept.status == "running"
        assert not jobs.record([_ended(job, other)]).lost

    def test_a_renewed_lease_does_not_lapse(
        self, jobs: JobQueue, advance: Callable[[timedelta], None]
    ) -> None:
        job = jobs.enqueue(_new())
        lease = self.lease(jobs)
        for _ in range(3):
            advance(_MINUTE / 2)
            jobs.renew(lease.token, [job.id], duration=_MINUTE)
        assert jobs.lease_lapsed("processing", limit=9, duration=_MINUTE, alone=True) is None
        jobs.renew("another", [job.id], duration=100 * _MINUTE)
        advance(2 * _MINUTE)
        assert jobs.lease_lapsed("processing", limit=9, duration=_MINUTE, alone=True) is not None

    def test_what_lapses_again_and_again_is_leased_alone_and_is_poison_in_the_end(
        self, jobs: JobQueue, advance: Callable[[timedelta], None]
    ) -> None:
        for _ in range(2):
            jobs.enqueue(_new())
        assert len(self.lease(jobs).jobs) == 2
        together = self.lapse(jobs, advance)
        assert (len(together.jobs), together.alone) == (2, False)
        held_back = self.lapse(jobs, advance, alone=False)
        assert (held_back.jobs, held_back.alone_wait) == ([], True)
        first = jobs.lease_lapsed("processing", limit=10, duration=_MINUTE, alone=True)
        assert first is not None
        assert (len(first.jobs), first.alone, first.alone_wait) == (1, True, True)
        jobs.record([_ended(first.jobs[0], first)])
        for poisoned in (False, False, False, True):
            lease = self.lapse(jobs, advance)
            assert [lease.alone, lease.poisoned] == [True, poisoned]

    def test_a_slot_is_written_once(self, jobs: JobQueue, clock: Clock) -> None:
        slot, template = clock.now().replace(microsecond=0), _new("tick")
        assert jobs.last_slot("acme", "tick") is None
        assert jobs.add_slots(template, [slot], skip=None, reason="missed") == 1
        assert jobs.add_slots(template, [slot, slot + _MINUTE], skip=None, reason="missed") == 1
        assert jobs.last_slot("acme", "tick") == slot + _MINUTE
        assert jobs.last_slot("other", "tick") is None
        lease = self.lease(jobs)
        assert [job.slot for job in lease.jobs] == [slot, slot + _MINUTE]
        jobs.record([_ended(job, lease) for job in lease.jobs])
        assert jobs.add_slots(template, [slot], skip=None, reason="missed") == 0

    def test_a_skipped_slot_is_decided_too(self, jobs: JobQueue, clock: Clock) -> None:
        slot, template = clock.now().replace(microsecond=0), _new("tick")
        jobs.add_slots(template, (), skip=slot, reason=JobReason.MISSED)
        assert jobs.add_slots(template, [slot], skip=None, reason="missed") == 0
        (kept,) = jobs.list_jobs("acme", name="tick")
        assert (kept.status, kept.reason, kept.slot) == ("skipped", "missed", slot)
        assert jobs.lease("processing", limit=10, duration=_MINUTE) is None

    def test_a_schedule_is_first_seen_once(self, jobs: JobQueue, clock: Clock) -> None:
        now, template = clock.now(), _new("tick")
        for later in range(3):
            moment = now + later * _MINUTE
            jobs.add_slots(template, (), skip=moment, reason=JobReason.FIRST_SEEN)
        assert jobs.last_slot("acme", "tick") == now

    def test_each_expression_of_a_schedule_is_first_seen_once(
        self, jobs: JobQueue, clock: Clock
    ) -> None:
        now, template = clock.now(), replace(_new("tick"), cron="0 3 * * *")
        other = replace(template, cron="0 4 * * *")
        reason = JobReason.FIRST_SEEN
        assert jobs.add_slots(template, (), skip=now, reason=reason) == 1
        assert jobs.add_slots(other, (), skip=now + _MINUTE, reason=reason) == 1
        for again in (template, other):
            assert jobs.add_slots(again, (), skip=now + 2 * _MINUTE, reason=reason) == 0
        assert jobs.last_slot("acme", "tick") == now + _MINUTE
        for until in (now, now + _MINUTE):
            assert jobs.last_slot("acme", "tick", until=until) == until

    def test_slots_ahead_of_a_moment_can_be_passed_over(self, jobs: JobQueue, clock: Clock) -> None:
        now, template = clock.now().replace(second=0, microsecond=0), _new("tick")
        half = timedelta(seconds=30)
        jobs.add_slots(template, (), skip=now, reason=JobReason.FIRST_SEEN)
        ahead = [now + number * _MINUTE for number in range(1, 40)]
        jobs.add_slots(template, ahead, skip=None, reason="missed")
        assert jobs.last_slot("acme", "tick") == ahead[-1]
        for until, expected in (
            (now - half, None),
            (now + half, now),
            (ahead[0], ahead[0]),
            (ahead[0] + half, ahead[0]),
            (ahead[-1] + half, ahead[-1]),
        ):
            assert jobs.last_slot("acme", "tick", until=until) == expected
        assert jobs.last_slot("other", "tick", until=ahead[0]) is None

    def test_counts_are_of_the_unfinished(self, jobs: JobQueue) -> None:
        job = jobs.enqueue(_new())
        jobs.record([_ended(job, self.lease(jobs))])
        jobs.enqueue(_new(delay=_MINUTE))
        jobs.enqueue(_new(tenant="else"))
        assert jobs.counts("acme") == {("processing", "scheduled", "scheduled"): 1}
        assert sum(jobs.counts().values()) == 2

    def test_jobs_are_listed_newest_first_and_by_tenant(self, jobs: JobQueue) -> None:
        made = [jobs.enqueue(_new(name)).id for name in ("a", "b", "a")]
        jobs.enqueue(_new(tenant="else"))
        assert [job.id for job in jobs.list_jobs("acme")] == made[::-1]
        assert [job.id for job in jobs.list_jobs("acme", name="a", limit=1)] == made[2:]
        assert [job.id for job in jobs.list_jobs("acme", before=made[1])] == made[:1]
        assert jobs.list_jobs("acme", status=JobStatus.FAILED) == []
        assert jobs.list_jobs("else", job_id=made[0]) == []
