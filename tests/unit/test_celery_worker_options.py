"""What `install` refuses, how long a shift is, and which workers take rings."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from celery import Celery

from claimnotify import job
from claimnotify.dispatch.celery import CeleryDispatcher
from claimnotify.errors import ConfigurationError, InvalidInput
from claimnotify.model.job_specs import registry
from claimnotify.testing.dispatchers import RecordingDispatcher
from claimnotify.worker.celery import _CeleryWorker, install
from claimnotify.worker.celery_notifiers import ProcessNotifiers

_QUEUE = "claimnotify_notifications"


def _app(**settings: Any) -> Celery:
    app = Celery("options", broker="memory://", set_as_current=False)
    app.conf.update(settings)
    return app


def _worker(app: Celery, made: Any = None, *, shift: float = 10.0) -> _CeleryWorker:
    queues = {_QUEUE: "notifications"}
    return _CeleryWorker(app, ProcessNotifiers(lambda: made), broker_queues=queues, shift=shift)


class _Notifier:
    """A notifier as far as a worker looks at it before it delivers."""

    settings = SimpleNamespace(attempt_deadline_seconds=15.0)

    def __init__(self, dispatcher: Any) -> None:
        self.dispatcher = dispatcher

    def queue_drain(self, queue: str) -> Any:
        raise AssertionError("nothing is to be drained")


def test_a_notifier_instead_of_a_function_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="function"):
        install(_app(), _Notifier(None))  # type: ignore[arg-type]


def test_a_shift_too_short_to_do_anything_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="shift"):
        install(_app(), lambda: None, shift=timedelta(milliseconds=10))


def test_an_application_is_installed_on_once() -> None:
    app = _app()
    install(app, lambda: None)
    with pytest.raises(ConfigurationError, match="already"):
        install(app, lambda: None)


def test_the_task_is_acknowledged_early_and_keeps_no_result_whatever_the_application_says() -> None:
    """Held unacknowledged for a whole shift, a ring would come again from elsewhere."""
    app = _app(task_acks_late=True, task_default_rate_limit="1/m", task_track_started=True)
    install(app, lambda: None)
    task = app.tasks["claimnotify.ring"]
    assert not task.acks_late
    assert task.ignore_result
    assert not task.rate_limit
    assert not task.track_started


@pytest.mark.parametrize(
    ("made", "problem"),
    [
        (object(), "not a Notifier"),
        (_Notifier(RecordingDispatcher()), "RecordingDispatcher"),
    ],
)
def test_what_the_function_returns_is_checked(made: Any, problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        ProcessNotifiers(lambda: made).mine()


def test_a_process_has_one_notifier() -> None:
    app, made = _app(), []

    def make() -> Any:
        made.append(_Notifier(CeleryDispatcher(app)))
        return made[-1]

    notifiers = ProcessNotifiers(make)
    assert notifiers.mine() is notifiers.mine()
    assert len(made) == 1


@pytest.mark.parametrize(
    ("hard_limit", "shift", "length"),
    [
        (None, 10, 10),  # there is none
        (300, 10, 10),  # it leaves time enough
        (20, 10, 4),  # what begins last may take fifteen seconds, and one is left to record it
        (12, 10, 1),  # too little for an attempt: as short as it gets
    ],
)
def test_a_shift_ends_in_time_for_a_hard_limit(
    hard_limit: float | None, shift: float, length: float
) -> None:
    app = _app(task_time_limit=hard_limit)
    task = SimpleNamespace(time_limit=None, request=SimpleNamespace(timelimit=(None, None)))
    hours = _worker(app, shift=shift)._hours("notifications", task, _Notifier.settings)
    assert hours.length == length
    assert hours.grace == 15
    assert hours.limit == (hard_limit - 3 if hard_limit else float("inf"))


@pytest.fixture
def long_job() -> Iterator[None]:
    @job(name="options.long", timeout=timedelta(seconds=100))
    async def long() -> None: ...

    yield
    registry.remove(long)


@pytest.mark.usefixtures("long_job")
@pytest.mark.parametrize(
    ("of_message", "of_task", "of_application", "length"),
    [
        (None, None, None, 10),
        (None, None, 300, 10),
        (None, None, 108, 5),  # the job that begins last may take a hundred seconds
        (None, 108, 20, 5),  # the task's own goes before that of all tasks, longer or not
        (106, 300, 300, 3),
        (None, 50, None, 1),
    ],
)
def test_a_shift_leaves_time_for_the_longest_job_of_its_queue(
    of_message: float | None, of_task: float | None, of_application: float | None, length: float
) -> None:
    app = _app(task_time_limit=of_application)
    request = SimpleNamespace(timelimit=(of_message, None))
    task = SimpleNamespace(time_limit=of_task, request=request)
    assert _worker(app)._hours("processing", task, _Notifier.settings).length == length


@pytest.mark.usefixtures("long_job")
@pytest.mark.parametrize(
    ("of_task", "given", "queue", "said"),
    [
        (None, None, "processing", False),
        (None, 104, "processing", False),
        (None, 103, "processing", True),
        (104, 10, "processing", False),  # the task's own goes before
        (30, None, "processing", True),
        (30, None, "scheduled", False),  # not taken by this worker, or without such a job
    ],
)
def test_a_hard_limit_too_short_for_a_job_is_said_at_the_start(
    of_task: float | None,
    given: float | None,
    queue: str,
    said: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = _app()
    worker = _CeleryWorker(
        app, ProcessNotifiers(lambda: None), broker_queues={_QUEUE: queue}, shift=10.0
    )
    worker.register()
    app.finalize()
    app.tasks["claimnotify.ring"].time_limit = of_task
    app.amqp.queues.select_add(_QUEUE)
    controller = SimpleNamespace(time_limit=given)
    worker._on_ready(sender=SimpleNamespace(app=app, controller=controller))
    worker._on_shutting_down()
    assert ("options.long (100 s)" in caplog.text) is said


@pytest.mark.parametrize(
    ("options", "takes"),
    [
        ({}, True),
        ({"queues": None, "pool_cls": "celery.concurrency.prefork.TaskPool"}, True),
        ({"queues": ["celery"]}, False),  # -Q celery
        ({"pool_cls": "gevent"}, False),
        ({"pool_cls": "<class 'celery.concurrency.eventlet.TaskPool'>"}, False),
    ],
)
def test_a_worker_takes_rings_unless_it_was_told_its_queues(
    options: dict[str, Any], takes: bool
) -> None:
    app = _app()
    _worker(app)._on_begin(instance=SimpleNamespace(app=app), options=options)
    assert (_QUEUE in app.amqp.queues.consume_from) is takes
    assert "celery" in app.amqp.queues.consume_from


def test_the_worker_of_another_application_is_left_alone() -> None:
    app, other = _app(), _app()
    _worker(app)._on_begin(instance=SimpleNamespace(app=other), options={})
    assert _QUEUE not in app.amqp.queues.consume_from


def test_a_pool_of_greenlets_refuses_rings_it_was_given_all_the_same() -> None:
    app = _app()
    worker = _worker(app)
    worker._on_begin(
        instance=SimpleNamespace(app=app), options={"queues": [_QUEUE], "pool_cls": "gevent"}
    )
    with pytest.raises(ConfigurationError, match="gevent"):
        worker._hear(None, "ring")


def test_a_ring_that_is_none_of_ours_is_dropped_and_said_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = _app()
    worker = _worker(app, _Notifier(CeleryDispatcher(app, signing_key=b"k" * 32)))
    assert worker._hear(None, "junk") == {}
    assert worker._hear(None, "1.00.é") == {}
    assert caplog.text.count("was dropped") == 1


def test_the_dispatcher_believes_its_own_rings_only() -> None:
    app = _app()
    mine = CeleryDispatcher(app, signing_key=b"k" * 32)
    other = CeleryDispatcher(app, signing_key=b"x" * 32)
    ring = _ring(mine, "notifications")
    assert mine.queue_of(ring) == "notifications"
    with pytest.raises(InvalidInput, match="not signed"):
        other.queue_of(ring)
    fewer = CeleryDispatcher(app, signing_key=b"k" * 32, queues=("processing",))
    with pytest.raises(InvalidInput, match="another queue"):
        fewer.queue_of(ring)


def test_the_notifiers_key_signs_unless_another_was_given(caplog: pytest.LogCaptureFixture) -> None:
    app = _app()
    dispatcher = CeleryDispatcher(app)
    with pytest.raises(ConfigurationError, match="signing_key"):
        dispatcher.consumer(("notifications",), lambda queue: None)
    dispatcher.ring("notifications")
    assert "no key" in caplog.text
    dispatcher.sign_with(b"k" * 32)
    ring = _ring(dispatcher, "notifications")
    assert CeleryDispatcher(app, signing_key=b"k" * 32).queue_of(ring) == "notifications"
    dispatcher.sign_with(b"x" * 32)
    assert dispatcher.queue_of(ring) == "notifications"


def test_where_tasks_are_eager_nothing_is_published_and_that_is_said_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    dispatcher = CeleryDispatcher(_app(task_always_eager=True), signing_key=b"k" * 32)
    ringer = dispatcher._ringer()
    for _ in range(3):
        ringer._ring("notifications")
    dispatcher.close()
    (said,) = [each.getMessage() for each in caplog.records if "claimnotify" in each.name]
    assert said.endswith("waits in the database: call notifier.drain().")
    assert "Nothing is lost" not in said
    assert "broker again" not in said


def test_a_dispatcher_shows_no_password() -> None:
    app = Celery("options", broker="redis://:hush@host:6379/0", set_as_current=False)
    dispatcher = CeleryDispatcher(app)
    assert "hush" not in dispatcher.location
    assert dispatcher.location.startswith("celery+redis://")
    assert dispatcher._place.redact("AUTH hush failed") == "AUTH *** failed"


def _ring(dispatcher: CeleryDispatcher, queue: str) -> str:
    """Return the ring that the dispatcher would publish."""
    kept: list[bytes] = []
    opened = dispatcher._ringer()._open_queue(queue)
    opened.storage = SimpleNamespace(enqueue=lambda data, priority=None: kept.append(data))
    opened.enqueue(opened._ring.s(queue))
    return kept[0].decode()
