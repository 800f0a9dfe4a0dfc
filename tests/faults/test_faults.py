"""Each fault once: nothing accepted is lost, and the audit shows what was received.

`make faults RUNS=200` makes many runs of each, with other seeds.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future

import pytest

from tests.faults.catalogue import CATALOGUE
from tests.faults.process import pool, run_until_met
from tests.faults.report import line
from tests.faults.stacks import Missing
from tests.faults.verdict import Verdict

pytestmark = pytest.mark.slow

_SEED = 1
_PARALLEL = 3
_LIMIT = 400.0
_ON_MARIADB = ("worker_killed_after_send", "worker_frozen", "connections_dropped")
_CASES = [
    pytest.param(stack, name, id=f"{stack}-{name}")
    for stack in ("sqlite", "postgresql", "mariadb")
    for name, fault in CATALOGUE.items()
    if stack in fault.stacks and (stack != "mariadb" or name in _ON_MARIADB)
]


@pytest.fixture(scope="module")
def verdict_of(request: pytest.FixtureRequest) -> Iterator[Callable[[str, str], Verdict]]:
    """Return the verdict of a stack and a fault; those that are asked for run a few at a time."""
    asked = [
        (str(item.callspec.params["stack"]), str(item.callspec.params["fault"]))
        for item in request.session.items
        if isinstance(item, pytest.Function) and item.module is request.module
        if "fault" in getattr(item, "fixturenames", ())
    ]
    with pool(_PARALLEL) as processes:
        runs: dict[tuple[str, str], Future[Verdict]] = {
            each: processes.submit(run_until_met, *each, _SEED) for each in asked
        }
        yield lambda stack, fault: runs[stack, fault].result(_LIMIT)
        for future in runs.values():
            future.cancel()


@pytest.mark.parametrize(("stack", "fault"), _CASES)
def test_nothing_is_lost(verdict_of: Callable[[str, str], Verdict], stack: str, fault: str) -> None:
    """What was accepted is what was received and what the audit shows."""
    try:
        verdict = verdict_of(stack, fault)
    except Missing as error:
        if os.environ.get("CLAIMNOTIFY_REQUIRE_SERVICES") == "1":
            pytest.fail(f"{error} (CLAIMNOTIFY_REQUIRE_SERVICES=1)", pytrace=False)
        pytest.skip(str(error))
    assert verdict.passed, line(verdict)
    assert verdict.in_flight, f"no strike met a delivery in flight: {line(verdict)}"
