"""What a replay repeats: the last of a chain; what a recovery repeats; what an endpoint missed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claimnotify.model.ids import IdSource, first_id_at
from claimnotify.model.notifications import Delivery
from claimnotify.model.replays import Window
from claimnotify.model.states import DeliveryStatus, Reason
from claimnotify.policy.replays import is_lost, last_of_chain, missed

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def delivery(
    key: str,
    status: str = "failed",
    *,
    to: str | None = "A",
    of: str | None = None,
    channel: str = "webhook",
    reason: str = "why",
) -> Delivery:
    return Delivery(
        id=key,
        notification_id="n",
        tenant="t",
        channel=channel,
        address="",
        endpoint_id=to,
        status=DeliveryStatus(status),
        reason=reason,
        created_at=NOW,
        replay_of=of,
    )


@given(st.integers(0, 20), st.randoms())
def test_wherever_a_chain_is_entered_its_last_is_found(length: int, random: object) -> None:
    chain = [delivery("0")]
    chain += [delivery(str(n + 1), of=str(n)) for n in range(length)]
    # Another endpoint got it later, and that is replayed too.
    others = [delivery("x", to="B", of="0"), delivery("y", to="B", of="x")]
    among = [*chain, *others]
    random.shuffle(among)  # type: ignore[attr-defined]
    assert {last_of_chain(each, among).id for each in chain} == {str(length)}
    assert {last_of_chain(each, among).id for each in others} == {"y"}


def test_a_replay_over_another_channel_is_another_chain() -> None:
    mail = delivery("1", channel="email", to=None)
    text = delivery("2", channel="sms", to=None, of="1")
    assert last_of_chain(mail, [mail, text]) == mail


@pytest.mark.parametrize(
    ("each", "lost"),
    [
        (delivery("1"), True),
        (delivery("1", of="0"), True),
        (delivery("1", "skipped", reason=Reason.ENDPOINT_DISABLED), False),
        (delivery("1", "skipped", reason=Reason.ENDPOINT_DISABLED, of="0"), True),
        (delivery("1", "skipped", reason=Reason.NOTIFICATIONS_DISABLED, of="0"), False),
        *((delivery("1", str(s)), False) for s in DeliveryStatus if s not in ("failed", "skipped")),
    ],
)
def test_what_a_recovery_repeats(each: Delivery, lost: bool) -> None:
    assert is_lost(each) == lost


@pytest.mark.parametrize(
    ("deliveries", "repeated"),
    [
        ([], None),
        ([delivery("1", "skipped", to=None)], "1"),
        ([delivery("1", "delivered", to="B")], "1"),
        ([delivery("1", "pending", to="B"), delivery("2", "failed", to="C")], "1"),
        ([delivery("1", "delivered", to="B"), delivery("2", "skipped")], "2"),
        ([delivery("1", "skipped"), delivery("2", "skipped", of="1")], "2"),
        ([delivery("1", "skipped"), delivery("2", "pending", of="1")], None),
        # It had one, whatever became of that.
        *(([delivery("1", str(s))], None) for s in DeliveryStatus if s != "skipped"),
        # It waits for its time.
        ([delivery("1", "scheduled", to="B")], None),
        # It was called back or expired before anybody got it.
        ([delivery("1", "cancelled", to="B"), delivery("2", "skipped")], None),
        ([delivery("1", "expired", to="B")], None),
        ([delivery("1", "cancelled", to="B"), delivery("2", "delivered", to="C")], "1"),
        # It went to other channels only.
        ([delivery("1", "delivered", to=None, channel="email")], None),
    ],
)
def test_what_an_endpoint_missed(deliveries: list[Delivery], repeated: str | None) -> None:
    found = missed("A", deliveries)
    assert (None if found is None else found.id) == repeated


@given(
    st.datetimes(datetime(1970, 1, 1), datetime(2500, 1, 1)).map(lambda m: m.replace(tzinfo=UTC)),
    st.integers(0, 999),
)
def test_an_id_sorts_after_the_bound_of_its_moment_and_before_that_of_the_next(
    moment: datetime, later: int
) -> None:
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    ms = (moment - epoch) // timedelta(milliseconds=1)
    made = IdSource(now_ns=lambda: ms * 1_000_000 + later * 1_000)()
    start = epoch + timedelta(milliseconds=ms)
    assert first_id_at(start) < made < first_id_at(start + timedelta(milliseconds=1))
    elsewhere = start.astimezone(timezone(timedelta(hours=5)))
    assert first_id_at(elsewhere) == first_id_at(start)


def test_a_window_has_its_first_moment_and_not_the_one_after_it() -> None:
    window, tick = Window(NOW, NOW + timedelta(hours=1)), timedelta(microseconds=1)
    inside = [window.since, window.until - tick]
    outside = [window.since - tick, window.until]
    assert [window.covers(each) for each in inside + outside] == [True, True, False, False]
