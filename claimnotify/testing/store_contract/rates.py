"""The part of the store's contract about rate limits, which hold across all workers."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from claimnotify.policy.rates import RateLimit, channel_limit
from claimnotify.ports import Store
from claimnotify.testing.store_contract.case import MINUTE, ONE, Advance, Case, StoreCase

__all__ = ["RateContract"]

_HOUR = timedelta(hours=1)


class RateContract(StoreCase):
    """No more goes out than a limit allows, whoever asks."""

    def test_at_once_goes_what_a_second_allows(self, store: Store) -> None:
        many = RateLimit(20, timedelta(seconds=1))
        assert store.work.take(ONE, {"a": (many, 7)}) == {"a": 7}
        few = RateLimit(1, MINUTE)
        assert store.work.take(ONE, {"b": (few, 9), "c": (many, 99)}) == {"b": 1, "c": 20}

    def test_what_is_used_up_comes_back_with_time(self, store: Store, advance: Advance) -> None:
        limit = RateLimit(1, MINUTE)
        assert store.work.take(ONE, {"a": (limit, 1)}) == {"a": 1}
        assert store.work.take(ONE, {"a": (limit, 1)}) == {"a": 0}
        assert store.work.take(ONE, {"b": (limit, 1)}) == {"b": 1}, "another limit is another"
        advance(MINUTE)
        assert store.work.take(ONE, {"a": (limit, 2)}) == {"a": 1}

    def test_never_more_than_the_limit_and_a_second_s_burst(
        self, store: Store, advance: Advance
    ) -> None:
        limit = RateLimit(6, MINUTE)
        began, taken = store.clock.now(), 0
        for _ in range(20):
            taken += store.work.take(ONE, {"a": (limit, 5)})["a"]
            advance(timedelta(seconds=3))
        spent = store.clock.now() - began
        # Asked every three seconds, one each ten seconds comes after 0, 12, 24, 36 and 48.
        assert 5 <= taken <= spent // limit.interval + limit.burst

    def test_those_who_ask_at_once_do_not_get_it_twice(self, store: Store) -> None:
        wanted = {"a": (RateLimit(1, _HOUR), 1), "b": (RateLimit(2, _HOUR), 1)}
        with ThreadPoolExecutor(4) as pool:
            got = list(pool.map(lambda _: store.work.take(ONE, wanted), range(8)))
        assert sum(each["a"] for each in got) == 1
        assert sum(each["b"] for each in got) == 1

    def test_a_channel_s_rate_bounds_what_is_leased(
        self, store: Store, case: Case, advance: Advance
    ) -> None:
        rates = {"post": RateLimit(1, _HOUR)}
        case.accept_many(3, channel="post")
        case.accept_many(3, channel="pigeon")
        lease = case.lease(rates=rates)
        assert sorted(each.delivery.channel for each in lease.works) == ["pigeon"] * 3 + ["post"]
        assert lease.taken == {"post": 1}
        assert case.nothing_due(rates=rates)
        advance(_HOUR)
        (work,) = case.lease(rates=rates).works
        assert work.delivery.channel == "post"
        assert len(case.store.work.counts()) == 2

    def test_what_is_put_back_can_be_taken_again(self, store: Store, case: Case) -> None:
        limit = RateLimit(1, _HOUR)
        case.accept_many(2, channel="post")
        assert len(case.lease(rates={"post": limit}).works) == 1
        assert store.work.take("", {channel_limit("post"): (limit, 1)}) == {
            channel_limit("post"): 0
        }
        store.work.put_back("", {channel_limit("post"): (limit, 1)})
        store.work.put_back(ONE, {"unknown": (limit, 1)})
        wanted = {channel_limit("post"): (limit, 2)}
        assert store.work.take("", wanted) == {channel_limit("post"): 1}

    def test_a_limit_that_was_raised_is_that_at_once(self, store: Store) -> None:
        slow, fast = RateLimit(10, _HOUR), RateLimit(100, timedelta(seconds=1))
        assert store.work.take(ONE, {"a": (slow, 9)}) == {"a": 1}
        assert store.work.take(ONE, {"a": (fast, 9)}) == {"a": 9}

    def test_a_clock_that_goes_back_blocks_nothing(self, store: Store, advance: Advance) -> None:
        limit = RateLimit(10, timedelta(seconds=1))
        advance(_HOUR)
        assert store.work.take(ONE, {"a": (limit, 99)}) == {"a": 10}
        advance(-_HOUR)
        assert store.work.take(ONE, {"a": (limit, 99)}) == {"a": 10}
