"""Places for look-ups go by what is known of a name, and a domain has a part of them."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from claimnotify.http.look_up_places import LookUpPlaces, Standing


class Time:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def places(time: Time) -> LookUpPlaces:
    return LookUpPlaces(monotonic=time)


def taken(places: LookUpPlaces, names: Iterable[str]) -> int:
    return sum(places.take(name) for name in names)


def learn(places: LookUpPlaces, time: Time, names: Iterable[str], *, seconds: float) -> None:
    """Let each name be looked up once, alone."""
    for name in names:
        assert places.take(name)
        time.now += seconds
        places.give_back(name)


def of_many_domains(label: str, count: int = 300) -> list[str]:
    return [f"{label}.domain{number}.com" for number in range(count)]


@pytest.mark.parametrize(
    ("seconds", "places_of_all", "of_a_domain", "of_three_labels"),
    [(0.02, 256, 32, 16), (None, 192, 24, 12), (1.5, 64, 8, 4)],
    ids=["prompt", "new", "slow"],
)
@pytest.mark.parametrize("kind", ["all", "two labels", "three labels"])
def test_how_many_names_have_places_together(
    places: LookUpPlaces,
    time: Time,
    kind: str,
    seconds: float | None,
    places_of_all: int,
    of_a_domain: int,
    of_three_labels: int,
) -> None:
    names, most = {
        "all": (of_many_domains("hooks"), places_of_all),
        "two labels": ([f"name{n}.evil.com" for n in range(300)], of_a_domain),
        "three labels": ([f"name{n}.evil.co.uk" for n in range(300)], of_three_labels),
    }[kind]
    if seconds is not None:
        learn(places, time, names, seconds=seconds)
    assert taken(places, names) == most
    places.give_back(names[0])
    assert places.take(names[0]), "what is given back can be taken again"


def test_what_slow_and_new_names_leave_is_for_better_ones(places: LookUpPlaces, time: Time) -> None:
    slow, prompt = of_many_domains("slow"), of_many_domains("prompt")
    learn(places, time, slow, seconds=2.0)
    learn(places, time, prompt, seconds=0.1)
    assert taken(places, slow) == 64
    assert taken(places, of_many_domains("new")) == 128
    assert taken(places, prompt) == 64


def test_a_new_name_that_is_taking_long_counts_as_a_slow_one(
    places: LookUpPlaces, time: Time
) -> None:
    learn(places, time, ["hooks.slow.com"], seconds=2.0)
    assert taken(places, of_many_domains("new", 64)) == 64
    assert places.take("hooks.slow.com")
    places.give_back("hooks.slow.com")
    learn(places, time, ["hooks.slow.com"], seconds=2.0)
    assert not places.take("hooks.slow.com")


def test_a_name_is_slow_until_it_is_prompt_again(places: LookUpPlaces, time: Time) -> None:
    name = "hooks.customer.net"
    assert places.standing(name) is Standing.UNKNOWN
    for seconds, standing in [(5.0, Standing.SLOW), (0.5, Standing.PROMPT), (2.0, Standing.SLOW)]:
        learn(places, time, [name], seconds=seconds)
        assert places.standing(name) is standing


def test_what_is_known_of_names_is_bounded(places: LookUpPlaces, time: Time) -> None:
    learn(places, time, ["first.com"], seconds=2.0)
    learn(places, time, (f"name{n}.com" for n in range(8192)), seconds=0.0)
    assert places.standing("first.com") is Standing.UNKNOWN
    assert places.standing("name0.com") is Standing.PROMPT


def test_names_of_one_label_share_no_domain(places: LookUpPlaces) -> None:
    assert taken(places, [f"host{n}" for n in range(100)]) == 100
