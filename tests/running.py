"""How a session runs its tests: in which process each, and each with the events of its own module."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from xdist.remote import Producer
    from xdist.scheduler import Scheduling

    from claimnotify.model.events import Event

_CLAIMS = "claimnotify.claims.events"
_TOGETHER = (
    "tests/acceptance/integrators/test_public_keys.py",  # compile once for all
    "tests/acceptance/integrators/test_verifiers.py",
    "tests/acceptance/test_packaging.py",  # builds once for all
    "tests/acceptance/test_services.py",  # looks for what the test before left
    "tests/faults/test_faults.py",  # starts processes that make the runs of all
)
_APART = pytest.StashKey[dict[str, list[type["Event"]]]]()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Scheduling:
    """Spread the tests over several processes one by one, after those that stay together.

    The marker `xdist_group` is not for this: xdist 3.8 cannot change the names that pytest 9.2
    gives, so it has no effect.
    """
    from xdist.scheduler import LoadScopeScheduling

    class Spreading(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            module = nodeid.partition("::")[0]
            return module if module in _TOGETHER else nodeid

    return Spreading(config, log)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Take the events that test modules define out of the catalogue, and those of the claims pack.

    Every notifier checks the templates of all events there are. With those of two hundred modules
    that is most of the time of most tests.
    """
    apart = session.config.stash[_APART] = defaultdict(list)
    if "claimnotify.model.events" not in sys.modules:
        return
    from claimnotify.model.events import catalogue

    for event_class in catalogue:
        module = event_class.__module__
        if module.rpartition(".")[2].startswith("test_") or module == _CLAIMS:
            catalogue.remove(event_class)
            apart[module].append(event_class)


@pytest.fixture(autouse=True, scope="module")
def _events_of_the_module(request: pytest.FixtureRequest) -> Iterator[None]:
    """Put the events that a module defines into the catalogue for the time of its tests."""
    own = request.config.stash[_APART].get(request.module.__name__, [])
    if not own:
        yield
        return
    from claimnotify.model.events import catalogue

    for event_class in own:
        catalogue.add(event_class)
    yield
    for event_class in own:
        catalogue.remove(event_class)
