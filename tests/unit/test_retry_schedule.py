"""The durable retry schedule: how long, how often, with how much jitter, and the peer's own wish."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tenacity import stop_after_attempt, stop_after_delay, stop_never, wait_exponential, wait_fixed

from claimnotify.errors import (
    ConfigurationError,
    InvalidInput,
    TransientDeliveryError,
    TransientJobError,
)
from claimnotify.policy.retry import (
    DEFAULT_SCHEDULES,
    RetrySchedule,
    checked_schedules,
    later,
    schedule_for,
)
from claimnotify.testing import fake_notifier

S, MIN, H = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
WEBHOOK = [5 * S, 5 * MIN, 30 * MIN, 2 * H, 5 * H, 10 * H, 14 * H, 20 * H, 24 * H]


class Middle(Random):
    """Draws the middle of every range, so that jitter adds nothing."""

    def random(self) -> float:
        return 0.5


def _waits(schedule: RetrySchedule) -> list[timedelta]:
    waits: list[timedelta] = []
    while (wait := schedule.next_wait(len(waits) + 1, random=Middle())) is not None:
        waits.append(wait)
    return waits


def test_webhooks_are_tried_for_three_days() -> None:
    assert _waits(DEFAULT_SCHEDULES["webhook"]) == WEBHOOK


@pytest.mark.parametrize("channel", ["email", "sms"])
def test_people_are_tried_for_less_long_and_never_sooner_than_before(channel: str) -> None:
    waits = _waits(DEFAULT_SCHEDULES[channel])
    assert waits[0] == 5 * S
    assert waits == sorted(waits)
    assert sum(waits, timedelta(0)) < sum(WEBHOOK, timedelta(0))


@pytest.mark.parametrize(
    ("schedule", "longest"),
    [
        (DEFAULT_SCHEDULES["webhook"], 26.4 * H),  # a day, and a tenth of it
        (RetrySchedule.of(), timedelta(0)),
        (RetrySchedule.of(H, 9 * H, 2 * H, jitter=0), 9 * H),
        (RetrySchedule.of(H, 50 * H, jitter=0.5), 75 * H),
        # One that would begin after the time that counts does not.
        (RetrySchedule.of(100 * H, 30 * H, 900 * H, jitter=0), 100 * H),
        (RetrySchedule(wait=wait_fixed(H), stop=stop_after_delay(7 * H), jitter=0), H),
        (RetrySchedule(wait=wait_fixed(1), stop=stop_never, jitter=0), S),
    ],
)
def test_the_longest_wait_is_that_of_the_tries_that_count(
    schedule: RetrySchedule, longest: timedelta
) -> None:
    assert schedule.longest_wait(within=5 * 24 * H) == longest


def test_a_channel_we_do_not_know_is_tried_as_email() -> None:
    assert schedule_for("pigeon", {}) is DEFAULT_SCHEDULES["email"]


def test_the_applications_own_schedule_goes_first() -> None:
    own = RetrySchedule.of(S)
    assert schedule_for("webhook", {"webhook": own}) is own
    assert schedule_for("sms", {"webhook": own}) is DEFAULT_SCHEDULES["sms"]


def test_no_wait_means_one_attempt() -> None:
    assert _waits(RetrySchedule.of()) == []


@given(attempt=st.integers(1, 9), seed=st.integers())
def test_jitter_stays_within_its_share(attempt: int, seed: int) -> None:
    wait = DEFAULT_SCHEDULES["webhook"].next_wait(attempt, random=Random(seed))
    assert wait is not None
    base = WEBHOOK[attempt - 1]
    assert base * 0.9 - S * 0.001 <= wait <= base * 1.1 + S * 0.001


def test_jitter_spreads() -> None:
    schedule = RetrySchedule.of(H, jitter=0.5)
    waits = {schedule.next_wait(1, random=Random(seed)) for seed in range(50)}
    assert len(waits) > 40


@given(asked=st.timedeltas(timedelta(0), timedelta(days=7)), seed=st.integers())
def test_what_the_peer_asks_for_is_a_floor_below_no_jitter(asked: timedelta, seed: int) -> None:
    schedule = RetrySchedule.of(MIN, jitter=1.0)
    wait = schedule.next_wait(1, random=Random(seed), retry_after=asked)
    assert wait is not None
    assert wait == max(asked, schedule.next_wait(1, random=Random(seed)) or timedelta(0))


def test_asking_for_later_does_not_buy_another_attempt() -> None:
    assert RetrySchedule.of(S).next_wait(2, random=Middle(), retry_after=H) is None


def test_it_can_stop_by_time() -> None:
    schedule = RetrySchedule(wait=wait_fixed(60), stop=stop_after_delay(3600), jitter=0)
    assert schedule.next_wait(7, random=Middle(), elapsed=59 * MIN) == MIN
    assert schedule.next_wait(7, random=Middle(), elapsed=61 * MIN) is None


def test_it_takes_tenacitys_words() -> None:
    schedule = RetrySchedule(
        wait=wait_exponential(multiplier=1, max=10), stop=stop_after_attempt(6), jitter=0
    )
    assert _waits(schedule) == [S * seconds for seconds in (1, 2, 4, 8, 10)]


@pytest.mark.parametrize("jitter", [-0.1, 1.1, float("nan"), None, "0.1", [0]])
def test_a_share_that_is_none_is_refused(jitter: Any) -> None:
    with pytest.raises(InvalidInput, match="jitter: is no number from 0 to 1"):
        RetrySchedule.of(S, jitter=jitter)


@pytest.mark.parametrize("rule", [None, 5, "5", S, wait_fixed, stop_after_attempt, [wait_fixed(5)]])
def test_a_rule_that_is_none_is_refused(rule: Any) -> None:
    with pytest.raises(
        InvalidInput, match=r"wait: is no rule of tenacity's\. Give one such as wait"
    ):
        RetrySchedule(wait=rule, stop=stop_after_attempt(5))
    with pytest.raises(
        InvalidInput, match=r"stop: is no rule of tenacity's\. Give one such as stop"
    ):
        RetrySchedule(wait=wait_fixed(5), stop=rule)


@pytest.mark.parametrize("wait", [5, "5", None, [S], wait_fixed(5)])
def test_a_wait_of_a_list_has_a_unit(wait: Any) -> None:
    with pytest.raises(InvalidInput, match=r"waits: has a .*\. Give timedeltas"):
        RetrySchedule.of(S, wait)


@pytest.mark.parametrize(
    "wrong",
    ["x", 5, RetrySchedule.of(), [RetrySchedule.of()]]
    + [{"email": each} for each in (5, RetrySchedule, None)],
)
def test_what_are_no_schedules_by_channel_is_refused(wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"retry.*Give schedules by channel"):
        checked_schedules(wrong)
    with pytest.raises(ConfigurationError, match=r"retry.*Give schedules by channel"):
        fake_notifier(retry=wrong)


def test_schedules_by_channel_are_taken() -> None:
    own = RetrySchedule.of(S)
    assert checked_schedules(None) == checked_schedules({}) == {}
    assert checked_schedules({"email": own}) == {"email": own}


@pytest.mark.parametrize("error", [TransientDeliveryError, TransientJobError])
def test_a_wait_that_is_asked_for_has_a_unit(error: type[TransientJobError]) -> None:
    assert error("busy", retry_after=MIN).retry_after == MIN
    assert error("busy").retry_after is None
    with pytest.raises(InvalidInput, match=r"retry_after: is an? int. Give a timedelta"):
        error("busy", retry_after=60)  # type: ignore[arg-type]  # a fault on purpose


def test_no_wait_leads_beyond_the_end_of_time() -> None:
    noon = datetime(2026, 3, 1, 12, tzinfo=UTC)
    assert later(noon, MIN) == noon + MIN
    assert later(noon, -MIN) == later(noon, timedelta.min) == noon
    assert later(noon, timedelta.max).year in (2125, 2126)
    endless = RetrySchedule(wait=wait_exponential(), stop=stop_after_attempt(1000), jitter=0)
    wait = endless.next_wait(900, random=Random(1), retry_after=timedelta.max)
    assert wait is not None
    assert later(noon, wait).year in (2125, 2126)
