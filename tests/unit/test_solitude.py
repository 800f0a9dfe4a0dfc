"""Who may kill its worker is alone: among jobs, and between jobs and deliveries."""

from __future__ import annotations

import pytest

from claimnotify.delivery.company import Company
from claimnotify.delivery.solitude import Solitude


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_one_holds_it_until_it_leaves() -> None:
    solitude = Solitude()
    assert solitude.enter("a")
    assert solitude.enter("a"), "who has it may ask again"
    assert not solitude.enter("b")
    assert solitude.is_held_by_other("b")
    assert not solitude.is_held_by_other("a")
    solitude.leave("b")
    assert not solitude.enter("b"), "only who has it can give it back"
    solitude.leave("a")
    assert solitude.enter("b")


def test_it_is_held_for_a_while_only(clock: Clock) -> None:
    solitude = Solitude(monotonic=clock)
    assert solitude.enter("a", seconds=60)
    clock.now += 59
    assert not solitude.enter("b")
    clock.now += 1
    assert not solitude.is_held_by_other("b")
    assert solitude.enter("b")


def test_a_job_that_is_alone_holds_it_until_it_ends(clock: Clock) -> None:
    company = Company(monotonic=clock)
    assert company.enter_alone()
    company.settle(1, alone=True)
    assert not company.solitude.enter("a drain")
    company.leave()
    assert company.solitude.enter("a drain")
    assert not company.enter_alone(), "now the drain goes first"
    assert company.enter(), "and jobs that killed nobody go on"


@pytest.mark.parametrize(("count", "alone"), [(0, False), (3, False)])
def test_a_look_that_finds_none_to_be_alone_gives_it_back(
    clock: Clock, count: int, alone: bool
) -> None:
    company = Company(monotonic=clock)
    assert company.enter_alone()
    company.settle(count, alone=alone)
    assert company.solitude.enter("a drain")


def test_a_job_that_goes_on_for_long_gives_it_back(clock: Clock) -> None:
    company = Company(monotonic=clock)
    assert company.enter_alone()
    company.settle(1, alone=True)
    clock.now += 61
    assert company.solitude.enter("a drain")
