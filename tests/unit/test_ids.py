"""Ids: UUIDv7 as RFC 9562 lays them out, sorted by the moment they were made."""

from __future__ import annotations

import os
import re
from concurrent.futures import ThreadPoolExecutor
from uuid import RFC_4122, UUID

from hypothesis import given
from hypothesis import strategies as st

from claimnotify.model.ids import IdSource

MS = 1_000_000


def test_an_id_is_a_uuid_of_version_seven() -> None:
    made = IdSource()()
    assert re.fullmatch(r"[0-9a-f]{32}", made)
    assert UUID(made).version == 7
    assert UUID(made).variant == RFC_4122


def test_it_carries_the_time_in_milliseconds() -> None:
    """RFC 9562, appendix A.6: 017F22E2-79B0-7CC3-98C4-DC0C0C07398F is 2022-02-22 19:22:22 UTC."""
    made = IdSource(now_ns=lambda: 0x017F22E279B0 * MS)()
    assert made.startswith("017f22e279b07")


@given(st.binary(min_size=10, max_size=10))
def test_any_randomness_gives_a_valid_id(random: bytes) -> None:
    made = UUID(IdSource(now_ns=lambda: 5 * MS, random_bytes=lambda _size: random)())
    assert (made.version, made.variant) == (7, RFC_4122)


@given(st.lists(st.tuples(st.integers(-3, 3), st.binary(min_size=10, max_size=10)), max_size=50))
def test_ids_of_one_source_sort_by_when_they_were_made(steps: list[tuple[int, bytes]]) -> None:
    """Also within a millisecond, and when the clock goes back."""
    clock = {"now": 1_700_000_000_000 * MS}
    random = {"next": bytes(10)}
    source = IdSource(now_ns=lambda: clock["now"], random_bytes=lambda _size: random["next"])
    made = []
    for step, drawn in steps:
        clock["now"] += step * MS
        random["next"] = drawn
        made.append(source())
    assert made == sorted(set(made))


def test_randomness_that_runs_over_moves_to_the_next_millisecond() -> None:
    source = IdSource(now_ns=lambda: 5 * MS, random_bytes=lambda _size: b"\xff" * 10)
    first, second = source(), source()
    assert int(first[:12], 16) == 5
    assert int(second[:12], 16) == 6
    assert UUID(second).version == 7
    assert first < second


def test_threads_that_share_a_source_get_distinct_ids() -> None:
    source = IdSource(now_ns=lambda: 5 * MS)
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _number: source(), range(2000)))
    assert len(set(made)) == 2000


def test_a_forked_child_makes_other_ids_than_its_parent() -> None:
    """Within one millisecond, of randomness that the parent had drawn ahead."""
    source = IdSource(now_ns=lambda: 5 * MS)
    source()
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(write, "".join(source() for _ in range(10)).encode())
        os._exit(0)
    os.waitpid(child, 0)
    theirs = os.read(read, 320).decode()
    os.close(read)
    os.close(write)
    assert len(theirs) == 320
    assert {theirs[at : at + 32] for at in range(0, 320, 32)}.isdisjoint(
        source() for _ in range(10)
    )


def test_two_sources_do_not_agree() -> None:
    sources = [IdSource(now_ns=lambda: 5 * MS) for _ in range(2)]
    assert sources[0]() != sources[1]()
