"""What the notifier offers for background work: enqueue jobs, run them here, and read them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from claimnotify.errors import InvalidInput
from claimnotify.model.checks import check_page, check_times
from claimnotify.model.job_specs import spec_of_job
from claimnotify.model.queues import JOB_QUEUES
from claimnotify.model.recipients import check_identifier

if TYPE_CHECKING:
    from claimnotify.composition import Parts
    from claimnotify.model.jobs import Job, JobStatus

__all__ = ["JobCalls"]


class JobCalls:
    """The part of `Notifier` for jobs."""

    if TYPE_CHECKING:
        _parts: Parts
        _tenant: str

    def enqueue(
        self,
        function: Callable[..., Any],
        /,
        *,
        unique_key: str | None = None,
        at: datetime | None = None,
        delay: timedelta | None = None,
        session: Any = None,
        **arguments: Any,
    ) -> Job:
        """Have a worker call a function. When this returns, it is committed and will be called.

        Args:
            function: One decorated with `@job` or `@scheduled`.
            unique_key: While a job of this function with this key is unfinished, that one is
                returned and nothing is written. A finished job has given its key up. Arguments
                that are left out count as their defaults where the two are compared.
            at: When to call it, aware; or
            delay: how long to wait before that.
            session: The caller's session; then it is committed when that commits.
            **arguments: The function's arguments; kept as JSON.

        Returns:
            The job.

        Raises:
            InvalidInput: The function is no job, or an argument does not fit; nothing was written.
            IdempotencyConflict: The unfinished job with this key has other arguments.
            StoreUnavailable: The database cannot be reached; nothing was written.
        """
        from claimnotify.ports import NewJob

        spec = spec_of_job(function)
        if unique_key is not None:
            check_identifier(unique_key, "unique_key")
        check_times(at=at, delay=delay)
        new = NewJob(
            tenant=self._tenant,
            name=spec.name,
            queue=spec.queue,
            priority=spec.level,
            arguments_json=spec.arguments.encode(arguments),
            unique_key=unique_key,
            at=at,
            delay=delay,
            same=spec.arguments.same,
        )
        self._parts.store.check()
        return self._parts.store.jobs.enqueue(new, session=session)

    def run_jobs(self) -> Mapping[str, int]:
        """Run all jobs that are due now, of every tenant, and slots that have come, in this process.

        Returns how many attempts left a job in which state: `succeeded`, `failed`, `pending`.
        """
        self._parts.store.check()
        total: Counter[str] = Counter()
        while True:
            ended = sum((Counter(self._parts.jobs.run(queue)) for queue in JOB_QUEUES), Counter())
            total += ended
            if not ended:
                return dict(total)

    def jobs(
        self,
        *,
        name: str | None = None,
        status: JobStatus | None = None,
        job_id: str | None = None,
        limit: int = 100,
        before: str | None = None,
    ) -> Sequence[Job]:
        """Return jobs, newest first.

        Args:
            name: Only those of the function registered under this name.
            status: Only those in this state.
            job_id: Only this one.
            limit: At most how many, 1 to 1000.
            before: Only those older than this job's id.
        """
        from claimnotify.model.jobs import JobStatus

        check_page(limit, name=name, job_id=job_id, before=before)
        if status is not None and status not in tuple(JobStatus):
            raise InvalidInput("status", "is no state of a job", f"Use one of {[*JobStatus]}.")
        self._parts.store.check()
        wanted = None if status is None else JobStatus(status)
        return self._parts.store.jobs.list_jobs(
            self._tenant, job_id=job_id, name=name, status=wanted, limit=limit, before=before
        )
