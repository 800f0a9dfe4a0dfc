"""Declaring jobs: names, parameters and options are checked when a function is decorated or enqueued."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import AfterValidator, BaseModel, SecretStr
from typing_extensions import TypeAliasType

from claimnotify import JobContext, RetrySchedule, job, scheduled
from claimnotify.errors import ConfigurationError, InvalidInput
from claimnotify.model.job_specs import JobSpec, registry, spec_of_job

if TYPE_CHECKING:
    Later = int
    """Not defined where annotations are resolved, until a test does so."""

MINUTE = timedelta(minutes=1)
LOOP: list[Any] = []
LOOP.append(LOOP)


@pytest.fixture(autouse=True)
def _own_jobs() -> Iterator[None]:
    before = set(registry)
    yield
    for spec in set(registry) - before:
        registry.remove(spec.function)


def at_module_level(number: int) -> None:
    """A function that a name can be derived for."""


@dataclass
class Passenger:
    name: str
    born: datetime


def typed(
    number: int,
    amount: Decimal,
    at_moment: datetime,
    passenger: Passenger,
    *,
    id: UUID | None = None,
    tags: tuple[str, ...] = (),
    context: JobContext,
) -> None:
    """A function with many kinds of parameters."""


def test_a_decorated_function_stays_what_it_is() -> None:
    @job(name="add")
    def add(a: int, b: int) -> int:
        return a + b

    assert add(1, 2) == 3
    spec = spec_of_job(add)
    assert (spec.name, spec.queue, spec.priority, spec.cron) == (
        "add",
        "processing",
        "normal",
        None,
    )


def test_the_name_is_derived_from_module_and_function() -> None:
    job(at_module_level)
    assert spec_of_job(at_module_level).name == f"{__name__}.at_module_level"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "no stable name"),  # defined inside a function
        ({"name": "two words"}, "not words joined by dots"),
        ({"name": "a/b"}, "not words joined by dots"),
        ({"name": "x" * 65}, "longer than 64"),
        ({"name": "n", "queue": "other"}, "no queue 'other'"),
        ({"name": "n", "queue": "notifications"}, "no queue 'notifications' for jobs"),
        ({"name": "n", "priority": "urgent"}, "unknown priority"),
        ({"name": "n", "timeout": timedelta(0)}, "timeout"),
        ({"name": "n", "timeout": 5}, "timeout"),
        ({"name": "n", "concurrency": 0}, "concurrency"),
        ({"name": "n", "concurrency": True}, "concurrency"),
        ({"name": "n", "concurrency": "4"}, "concurrency"),
        ({"name": "n", "retry": 3}, "RetrySchedule"),
        ({"name": "n", "retry": RetrySchedule}, "retry is no RetrySchedule"),
        ({"name": "n", "retry": [MINUTE]}, "retry is no RetrySchedule"),
        ({"name": ["n"]}, "not words joined by dots"),
        ({"name": b"n"}, "not words joined by dots"),
        ({"name": "n", "queue": ["processing"]}, "no queue"),
        ({"name": "n", "priority": ["high"]}, "unknown priority"),
        ({"name": "n", "priority": {}}, "unknown priority"),
        ({"name": "n", "timeout": "5 min"}, "timeout"),
    ],
)
def test_a_wrong_option_is_refused(options: dict[str, Any], words: str) -> None:
    for decorate in (job, partial(scheduled, cron="* * * * *")):
        with pytest.raises(ConfigurationError, match=words):
            decorate(**options)(lambda: None)
    assert registry.get("n") is None


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"cron": ["* * * * *"]}, "cron"),
        ({"cron": 5}, "cron"),
        ({"catch_up": ["all"]}, "catch_up"),
        ({"catch_up": True}, "catch_up"),
        ({"catch_up_limit": True}, "catch_up_limit"),
        ({"catch_up_limit": [5]}, "catch_up_limit"),
    ],
)
def test_a_wrong_option_of_a_schedule_is_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        scheduled(**{"name": "n", "cron": "* * * * *", **options})(lambda: None)
    assert registry.get("n") is None


def _alone(context: JobContext) -> None: ...
def _or_none(context: JobContext | None = None) -> None: ...
def _optional(context: Optional[JobContext] = None) -> None: ...  # noqa: UP045  # as some write them
def _annotated(context: Annotated[JobContext, "its run"]) -> None: ...
def _annotated_or_none(context: Annotated[JobContext | None, "its run"] = None) -> None: ...
def _aliased(context: Run) -> None: ...


Run = TypeAliasType("Run", JobContext | None)


@pytest.mark.parametrize(
    "function", [_alone, _or_none, _optional, _annotated, _annotated_or_none, _aliased]
)
def test_a_context_may_be_annotated_in_any_way_that_means_it(
    function: Callable[..., None],
) -> None:
    scheduled(name="n", cron="* * * * *")(function)
    arguments = spec_of_job(function).arguments
    assert arguments.context_name == "context"
    assert arguments.encode({}) == "{}"
    with pytest.raises(InvalidInput, match="context: is given by the worker"):
        arguments.encode({"context": None})


def _two(first: JobContext, second: Annotated[JobContext, "again"]) -> None: ...
def _two_or_none(first: JobContext, second: JobContext | None = None) -> None: ...
def _listed(contexts: list[JobContext]) -> None: ...
def _mixed(context: JobContext | int = 0) -> None: ...


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (_two, "'first' and 'second' are both annotated JobContext"),
        (_two_or_none, "'first' and 'second' are both annotated JobContext"),
        (_listed, "'contexts' has JobContext within another type"),
        (_mixed, "'context' has JobContext within another type"),
    ],
)
def test_a_context_that_cannot_be_given_is_refused(
    function: Callable[..., None], words: str
) -> None:
    with pytest.raises(ConfigurationError, match=words) as refused:
        job(name="n")(function)
    assert refused.value.remedy
    assert registry.get("n") is None


def test_what_cannot_be_resolved_yet_is_judged_at_first_use() -> None:
    def waits(first: JobContext, second: JobContext, third: Later) -> None: ...

    @scheduled(name="later", cron="* * * * *")  # by its text, its parameter is filled in
    def named(context: JobContext | Later) -> None: ...

    job(name="n")(waits)
    arguments = spec_of_job(waits).arguments
    with pytest.raises(ConfigurationError, match="Later"):
        arguments.check()
    globals()["Later"] = int
    try:
        with pytest.raises(ConfigurationError, match="both annotated JobContext"):
            arguments.check()
        with pytest.raises(ConfigurationError, match="within another type"):
            spec_of_job(named).arguments.check()
    finally:
        del globals()["Later"]


class Crew(BaseModel):
    captain: BaseModel


class Team(BaseModel):
    crew: list[Crew] = []


def _model(value: BaseModel) -> None: ...
def _model_or_none(value: BaseModel | None = None) -> None: ...
def _models(value: dict[str, list[BaseModel]]) -> None: ...
def _within(value: Team) -> None: ...
def _context_within(value: list[Run]) -> None: ...


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (_model, "is a BaseModel of no class in particular"),
        (_model_or_none, "is a BaseModel of no class in particular"),
        (_models, "is a BaseModel of no class in particular"),
        (_within, "is a BaseModel of no class in particular"),
        (_context_within, "has JobContext within another type"),
    ],
)
def test_a_type_that_no_argument_can_have_is_refused(
    function: Callable[..., None], words: str
) -> None:
    arguments = JobSpec(name="n", function=function, queue="processing").arguments
    for use in (arguments.check, lambda: arguments.encode({"value": Team()})):
        with pytest.raises(ConfigurationError, match=words) as refused:
            use()
        assert refused.value.remedy


class Tree(BaseModel):
    """Refers to itself, and has defaults that do, or look like a schema."""

    leaves: list[Tree] = []
    note: Any = LOOP
    look: Any = {"cls": BaseModel}


def _tree(value: Tree) -> None: ...


def test_a_type_that_refers_to_itself_is_taken() -> None:
    arguments = JobSpec(name="n", function=_tree, queue="processing").arguments
    given = {"value": Tree(leaves=[Tree(note=1, look=2)], note=3, look=4)}
    assert arguments.decode(arguments.encode(given)) == given


def _starred(*numbers: int) -> None: ...
def _optioned(**options: int) -> None: ...
def _positional(number: int, /) -> None: ...
def _reserved(session: int) -> None: ...


@pytest.mark.parametrize("function", [_starred, _optioned, _positional, _reserved])
def test_a_parameter_that_cannot_be_stored_by_name_is_refused(
    function: Callable[..., None],
) -> None:
    with pytest.raises(ConfigurationError, match="parameter"):
        job(name="n")(function)


def test_two_functions_cannot_share_a_name() -> None:
    job(name="one.name")(at_module_level)
    job(name="one.name")(at_module_level)  # the same one again
    with pytest.raises(
        ConfigurationError, match=r"is the name of .*at_module_level and of .*typed"
    ):
        job(name="one.name")(typed)


def test_arguments_come_back_as_their_parameters_types() -> None:
    arguments = JobSpec(name="typed", function=typed, queue="processing").arguments
    given = {
        "number": 7,
        "amount": Decimal("250.00"),
        "at_moment": datetime(2026, 3, 1, 12, tzinfo=UTC),
        "passenger": Passenger("Ana", datetime(1990, 1, 1, tzinfo=UTC)),
        "tags": ("a", "b"),
    }
    text = arguments.encode(given)
    assert json.loads(text).keys() == given.keys()
    assert arguments.decode(text) == given
    assert arguments.context_name == "context"


@pytest.mark.parametrize(
    "values",
    [
        {},  # one is missing
        {"number": "seven"},
        {"number": 1, "other": 2},
        {"number": float("nan")},
    ],
)
def test_arguments_that_do_not_fit_are_refused(values: dict[str, Any]) -> None:
    arguments = JobSpec(name="n", function=at_module_level, queue="processing").arguments
    with pytest.raises(InvalidInput, match="does not fit job 'n'"):
        arguments.encode(values)


def _anything(value) -> None: ...  # type: ignore[no-untyped-def]  # as some write them
def _number(value: float) -> None: ...
def _bytes(value: bytes) -> None: ...
def _secret(value: SecretStr) -> None: ...


@pytest.mark.parametrize(
    ("function", "value"),
    [
        (_anything, object()),
        (_anything, "\ud800"),
        (_anything, "x" * 1_100_000),
        (_number, float("inf")),  # JSON has no infinity
        (_bytes, b"\xff"),
        (_secret, SecretStr("s3cret")),  # is written as asterisks
        (_anything, (1, 2)),  # comes back as a list
        (_anything, datetime(2026, 1, 1, tzinfo=UTC)),  # comes back as a text
    ],
)
def test_what_does_not_survive_json_is_refused(function: Callable[..., None], value: Any) -> None:
    arguments = JobSpec(name="n", function=function, queue="processing").arguments
    with pytest.raises(InvalidInput) as caught:
        arguments.encode({"value": value})
    assert "s3cret" not in str(caught.value)


def _refuse(value: str) -> str:
    raise ValueError(f"{value} is none of ours")


def _checked(iban: Annotated[str, AfterValidator(_refuse)]) -> None: ...


def test_what_a_validator_says_is_not_repeated() -> None:
    arguments = JobSpec(name="n", function=_checked, queue="processing").arguments
    with pytest.raises(InvalidInput, match="iban: does not fit job 'n': refused by its validator"):
        arguments.encode({"iban": "DE02"})


def test_an_error_about_an_argument_does_not_repeat_it() -> None:
    arguments = JobSpec(name="n", function=at_module_level, queue="processing").arguments
    with pytest.raises(InvalidInput) as caught:
        arguments.encode({"number": "DE89370400440532013000"})
    error: BaseException | None = caught.value
    assert "DE89" not in str(error)
    assert error is not None
    assert error.__suppress_context__


def test_the_context_is_not_an_argument() -> None:
    arguments = JobSpec(name="n", function=typed, queue="processing").arguments
    with pytest.raises(InvalidInput, match="given by the worker"):
        arguments.encode({"context": None})


def test_annotations_that_cannot_be_resolved_are_named() -> None:
    def lost(value: Missing) -> None: ...  # type: ignore[name-defined]  # noqa: F821  # that is the point

    arguments = JobSpec(name="lost", function=lost, queue="processing").arguments
    with pytest.raises(ConfigurationError, match=r"job 'lost'.*Missing"):
        arguments.check()


def test_what_was_not_decorated_is_no_job() -> None:
    with pytest.raises(InvalidInput, match="typed is no job"):
        spec_of_job(typed)


@pytest.mark.parametrize("cron", ["", "* * * *", "* * * * * *", "61 * * * *", "0 0 30 2 *", 5])
def test_a_wrong_schedule_is_refused(cron: Any) -> None:
    with pytest.raises(ConfigurationError, match="cron"):
        scheduled(cron=cron)


def test_a_scheduled_function_needs_no_arguments() -> None:
    @scheduled(cron="0 3 * * *", name="nightly")
    def nightly(context: JobContext, *, dry: bool = False) -> None: ...

    assert spec_of_job(nightly).queue == "scheduled"
    with pytest.raises(ConfigurationError, match="'number' has no default"):
        scheduled(cron="0 3 * * *", name="other")(at_module_level)
    assert registry.get("other") is None


@pytest.mark.parametrize("catch_up", ["sometimes", None])
def test_a_wrong_policy_is_refused(catch_up: Any) -> None:
    with pytest.raises(ConfigurationError, match="catch_up"):
        scheduled(cron="0 3 * * *", name="n", catch_up=catch_up)(lambda: None)


def test_a_retry_schedule_is_kept() -> None:
    retry = RetrySchedule.of(timedelta(seconds=1))
    assert spec_of_job(job(name="n", retry=retry)(at_module_level)).retry is retry


@given(st.integers() | st.text() | st.none())
def test_any_argument_is_stored_or_refused_with_our_error(value: object) -> None:
    arguments = JobSpec(name="n", function=_anything, queue="processing").arguments
    try:
        text = arguments.encode({"value": value})
    except InvalidInput:
        return
    assert arguments.decode(text) == {"value": value}


def test_the_remaining_options_are_refused_when_they_are_of_the_wrong_kind() -> None:
    for options in ({"name": 5}, {"priority": []}, {"queue": []}, {"timeout": timedelta.max}):
        with pytest.raises(ConfigurationError):
            job(**({"name": "n"} | options))(at_module_level)  # type: ignore[call-overload]  # that is the point
    assert registry.get("n") is None


class _Desk:
    def build(self) -> None: ...


def _yields() -> Iterator[int]:
    yield 1


async def _yields_later() -> AsyncIterator[int]:
    yield 1


@pytest.mark.parametrize(
    ("function", "words"),
    [
        ("reports", "'reports' is no function. Options are given by name"),
        (5, "5 is no function"),
        (_Desk().build, "a method cannot be marked as a job. Decorate a function"),
        (_yields, "has a yield: calling it makes a generator and runs nothing"),
        (_yields_later, "has a yield"),
        (partial(_yields), "has a yield"),
    ],
)
@pytest.mark.parametrize("name", ["n", None])
def test_what_cannot_be_run_as_a_job_is_refused_and_not_registered(
    function: Any, words: str, name: str | None
) -> None:
    before = set(registry)
    with pytest.raises(ConfigurationError, match=words):
        job(name=name)(function)
    assert set(registry) == before


def test_a_name_given_as_the_first_argument_is_explained() -> None:
    with pytest.raises(ConfigurationError, match=r"@job\(name="):
        job("reports")  # type: ignore[call-overload]  # that is the point


MODULE = """
from claimnotify import job
@job(name="loaded.once")
def report(): return {number}
"""


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Any]]:
    """Write a module, and load it or load it again."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def load(text: str) -> Any:
        (tmp_path / "loaded_module.py").write_text(text)
        importlib.invalidate_caches()
        known = sys.modules.get("loaded_module")
        return importlib.reload(known) if known else importlib.import_module("loaded_module")

    yield load
    sys.modules.pop("loaded_module", None)


def test_a_module_can_be_loaded_again_as_it_is_or_changed(load: Callable[[str], Any]) -> None:
    for number, text in enumerate((MODULE, MODULE, "\n\n" + MODULE)):
        module = load(text.format(number=number))
        spec = registry.get("loaded.once")
        assert spec is not None
        assert spec.function is module.report
        assert spec.function() == number
    del sys.modules["loaded_module"]
    assert load(MODULE.format(number=7)).report() == 7


def test_a_wrapped_function_of_a_module_that_is_loaded_again_is_replaced(
    load: Callable[[str], Any],
) -> None:
    text = (
        "from contextlib import ExitStack, ContextDecorator\nfrom claimnotify import job\n"
        "class Timed(ContextDecorator, ExitStack): ...\n"
        '@job(name="loaded.once")\n@Timed()\ndef report(): return 1\n'
    )
    for _ in range(2):
        assert registry_function(load(text)) is not None


def registry_function(module: Any) -> Callable[..., Any] | None:
    spec = registry.get("loaded.once")
    return spec.function if spec is not None and spec.function is module.report else None


@pytest.mark.parametrize(
    "text",
    [
        MODULE + MODULE,
        (
            "from claimnotify import job\ndef make():\n    @job(name='loaded.once')\n    def f(): ...\n"
            "make()\nmake()\n"
        ),
        (
            "from functools import partial\nfrom claimnotify import job\ndef f(a): ...\n"
            "for a in (1, 2): job(name='loaded.once')(partial(f, a=a))\n"
        ),
        (
            "from claimnotify import scheduled\ndef f(): ...\n"
            "for _ in (1, 2): scheduled(cron='* * * * *', name='loaded.once')(lambda: f())\n"
        ),
    ],
    ids=["twice", "made", "partial", "lambda"],
)
def test_a_name_has_one_function_in_one_load_of_a_module(
    load: Callable[[str], Any], text: str
) -> None:
    with pytest.raises(ConfigurationError, match=r"is the name of (.*) \(line \d+\) and of "):
        load(text.replace("{number}", "1"))


def test_what_is_typed_in_can_be_typed_in_again() -> None:
    """In a shell or a notebook, where a name is defined anew at will."""
    names: dict[str, Any] = {"__name__": "__main__"}
    for number in (1, 2):
        exec(MODULE.format(number=number), names)
    spec = registry.get("loaded.once")
    assert spec is not None
    assert spec.function() == 2
