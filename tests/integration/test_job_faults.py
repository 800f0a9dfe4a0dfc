"""Whatever a job's function raises, its attempt has failed; no other job is touched, on any database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from random import Random
from typing import Any, NoReturn

import pytest

from claimnotify import Notifier, PermanentJobError, RetrySchedule, TransientJobError, job
from claimnotify.delivery import jobs as runners
from claimnotify.model.job_specs import registry
from claimnotify.model.jobs import Job
from claimnotify.ports import JobOutcome
from claimnotify.testing import FakeNotifier, fake_notifier

RAN: list[int] = []


@pytest.fixture(autouse=True)
def _own_jobs() -> Iterator[None]:
    RAN.clear()
    before = set(registry)
    yield
    for spec in set(registry) - before:
        registry.remove(spec.function)


@pytest.fixture
def fake() -> Iterator[FakeNotifier]:
    with fake_notifier() as made:
        yield made


@pytest.fixture
def notifier(database_url: str) -> Iterator[Notifier]:
    made = Notifier.from_settings(
        database_url=database_url, queue_url="memory://", secret_keys="k" * 40
    )
    made.upgrade()
    yield made
    made.close()


def failing(error: Callable[[], BaseException], kind: str = "sync") -> Callable[..., Any]:
    def fail() -> NoReturn:
        raise error()

    async def fail_later() -> NoReturn:
        raise error()

    return job(name="faults.fail")(fail if kind == "sync" else fail_later)


def good() -> Callable[..., Any]:
    def run(number: int) -> None:
        RAN.append(number)

    return job(name="faults.good")(run)


def the_failed(notifier: Notifier) -> Job:
    (found,) = notifier.jobs(name="faults.fail")
    return found


@pytest.mark.parametrize("text", ["bad \x00 byte", "bad \udc80 file"])
def test_an_error_text_that_no_database_takes_is_kept_escaped(
    notifier: Notifier, text: str
) -> None:
    run = good()
    notifier.enqueue(run, number=1)
    notifier.enqueue(failing(lambda: PermanentJobError(text)))
    notifier.enqueue(run, number=2)
    assert notifier.run_jobs() == {"succeeded": 2, "failed": 1}
    assert sorted(RAN) == [1, 2]
    escaped = text.encode("ascii", "backslashreplace").decode().replace("\x00", "\\x00")
    assert the_failed(notifier).error == f"PermanentJobError: {escaped}"
    assert notifier.run_jobs() == {}


def test_an_outcome_that_the_database_refuses_costs_no_other_its_own(
    notifier: Notifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if the text of an error had not been made fit for the database."""
    came_back = runners.JobRunner._came_back

    def spoiled(runner: runners.JobRunner, outcome: JobOutcome) -> None:
        if outcome.error:
            outcome = replace(outcome, error="\x00\udc80")
        came_back(runner, outcome)

    monkeypatch.setattr(runners.JobRunner, "_came_back", spoiled)
    run = good()
    for number in range(3):
        notifier.enqueue(run, number=number)
    notifier.enqueue(failing(lambda: PermanentJobError("no")))
    assert notifier.run_jobs() == {"succeeded": 3, "failed": 1}
    assert the_failed(notifier).error == "its error could not be written"


def test_a_fault_of_the_store_is_raised_and_no_lease_is_kept_for_it(
    fake: FakeNotifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.enqueue(good(), number=1)
    store = fake._parts.store.jobs
    with monkeypatch.context() as patch:
        patch.setattr(store, "record", lambda _outcomes: (_ for _ in ()).throw(KeyError("gone")))
        with pytest.raises(KeyError):
            fake.run_jobs()
    (held,) = fake.jobs()
    assert held.status == "running"
    assert fake._parts.jobs.keeper._held == {}
    fake.advance(timedelta(minutes=10))
    assert fake.run_jobs() == {"succeeded": 1}


class _Shapeless(TransientJobError):
    def __init__(self) -> None: ...


class _Unnamed(type):
    def __getattribute__(cls, name: str) -> Any:
        if name == "__qualname__":
            raise RuntimeError("I have no name")
        return super().__getattribute__(name)


class _Nameless(Exception, metaclass=_Unnamed): ...


class _Mute(PermanentJobError):
    @property
    def problem(self) -> NoReturn:  # type: ignore[override]  # a fault on purpose
        raise SystemExit(3)

    def __init__(self) -> None: ...


def _set_later() -> TransientJobError:
    error = TransientJobError("x")
    error.retry_after = 60  # type: ignore[assignment]  # a fault on purpose
    return error


FAULTS: dict[str, Callable[[], BaseException]] = {
    "the longest wait": lambda: TransientJobError("x", retry_after=timedelta.max),
    "the shortest wait": lambda: TransientJobError("x", retry_after=timedelta.min),
    "a wait that is a number": lambda: TransientJobError("x", retry_after=60),  # type: ignore[arg-type]  # a fault on purpose
    "a wait that is set later": _set_later,
    "no attributes": _Shapeless,
    "no name": _Nameless,
    "a name no database takes": lambda: type("E\udc80\x00", (Exception,), {})("x"),
}


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("fault", FAULTS)
def test_an_error_that_is_a_fault_in_itself_fails_its_attempt(
    fake: FakeNotifier, fault: str, kind: str
) -> None:
    fake.enqueue(failing(FAULTS[fault], kind))
    assert fake.run_jobs() == {"pending": 1}
    kept = the_failed(fake)
    assert (kept.reason, kept.attempts) == ("retry", 1)
    assert kept.error


def test_a_text_that_cannot_be_told_leaves_the_error_what_it_is(fake: FakeNotifier) -> None:
    fake.enqueue(failing(_Mute))
    assert fake.run_jobs() == {"failed": 1}
    kept = the_failed(fake)
    assert (kept.reason, kept.error) == ("rejected", "an error that cannot be told")


def test_an_error_raised_in_a_file_without_a_proper_name_is_placed(notifier: Notifier) -> None:
    def fail() -> None:
        code = compile("raise ValueError(1)", "odd.py", "exec")
        exec(code.replace(co_filename="odd\udc80\x00.py"))

    notifier.enqueue(job(name="faults.fail", retry=RetrySchedule.of())(fail))
    assert notifier.run_jobs() == {"failed": 1}
    assert the_failed(notifier).error.startswith(
        "ValueError at odd\\udc80\\x00.py:1 in <module> < test_job_faults.py:"
    )


class _Overdone:
    def __init__(self, wait: Any) -> None:
        self.wait = wait

    def next_wait(self, attempt: int, *, random: Random, **_asked: Any) -> Any:
        if isinstance(self.wait, BaseException):
            raise self.wait
        return self.wait


@pytest.mark.parametrize("wait", [timedelta.max, 60, KeyError("x"), SystemExit(3)])
def test_a_schedule_that_fails_delays_the_next_attempt_and_no_more(
    fake: FakeNotifier, wait: Any
) -> None:
    def fail() -> None:
        raise ValueError("x")

    fake.enqueue(job(name="faults.fail", retry=_Overdone(wait))(fail))
    assert fake.run_jobs() == {"pending": 1}
    kept = the_failed(fake)
    assert kept.due_at is not None
    if wait is not timedelta.max:
        assert kept.due_at - kept.created_at < timedelta(minutes=1)  # by the default schedule
