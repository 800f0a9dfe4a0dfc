"""The part of the store's contract about sending an endpoint what failed, and what it never got."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest

from claimnotify.delivery.replay import Replayer
from claimnotify.errors import InvalidInput
from claimnotify.model.endpoints import Endpoint
from claimnotify.model.notifications import Notification
from claimnotify.model.queues import DELIVERIES
from claimnotify.model.replays import Recovery
from claimnotify.model.states import DeliveryStatus, Reason
from claimnotify.ports import Store
from claimnotify.testing.store_contract.case import MINUTE, ONE, TWO, Advance, Case
from claimnotify.testing.store_contract.webhooks import NOBODY, ReplayCase, Webhooks, skipped

__all__ = ["RecoveryContract"]

_TICK = timedelta(microseconds=1)
_NONE = Recovery(replayed=0, more=False)


def _all_of(replayer: Replayer, endpoint: Endpoint, notes: list[Notification]) -> Recovery:
    return replayer.recover(endpoint, since=notes[0].created_at, until=None, limit=100)


def _missing(replayer: Replayer, endpoint: Endpoint, notes: list[Notification]) -> Recovery:
    return replayer.replay_missing(endpoint, since=notes[0].created_at, until=None, limit=100)


class RecoveryContract(ReplayCase):
    """Each that failed or was missed is sent once more, however often and by how many it is asked for."""

    def test_what_failed_is_replayed_oldest_first_and_once(
        self,
        case: Case,
        webhooks: Webhooks,
        replayer: Replayer,
        endpoint: Endpoint,
        rings: list[str],
    ) -> None:
        notes = [webhooks.failed(endpoint) for _ in range(3)]
        assert _all_of(replayer, endpoint, notes) == Recovery(replayed=3, more=False)
        assert set(rings) == {DELIVERIES}
        firsts = [note.deliveries[0].id for note in notes]
        assert webhooks.replays_of(notes) == [[first] for first in firsts]
        made = [case.seen(note)[1].id for note in notes]
        assert made == sorted(made)
        assert _all_of(replayer, endpoint, notes) == _NONE
        assert {work.delivery.id for work in case.lease().works} == set(made)

    def test_other_states_endpoints_and_tenants_are_left_alone(
        self, store: Store, case: Case, webhooks: Webhooks, replayer: Replayer, endpoint: Endpoint
    ) -> None:
        other, theirs = case.endpoint(), case.endpoint(tenant=TWO)
        notes = [webhooks.failed(other), webhooks.failed(theirs, tenant=TWO)]
        for ending in ("delivered", "cancelled", "expired"):
            notes.append(webhooks.accept(endpoint))
            webhooks.end(DeliveryStatus(ending))
        notes.append(webhooks.accept(skipped(endpoint)))
        notes.append(webhooks.accept(endpoint))
        assert _all_of(replayer, endpoint, notes) == _NONE
        assert webhooks.replays_of(notes) == [[]] * len(notes)

    def test_the_window_has_its_first_moment_and_not_its_last(
        self, webhooks: Webhooks, replayer: Replayer, endpoint: Endpoint, advance: Advance
    ) -> None:
        notes = []
        for _ in range(3):
            notes.append(webhooks.failed(endpoint))
            advance(MINUTE)
        first, second, third = (note.created_at for note in notes)
        for since, until in (
            (first + _TICK, second),
            (third + _TICK, None),
            (first - MINUTE, first),
        ):
            window = {"since": since, "until": until, "limit": 9}
            assert replayer.recover(endpoint, **window) == _NONE  # type: ignore[arg-type]
        assert replayer.recover(endpoint, since=second, until=third, limit=9).replayed == 1
        assert [len(each) for each in webhooks.replays_of(notes)] == [0, 1, 0]
        assert replayer.recover(endpoint, since=first, until=None, limit=9).replayed == 2

    def test_the_limit_leaves_the_rest_to_the_next_call(
        self, webhooks: Webhooks, replayer: Replayer, endpoint: Endpoint
    ) -> None:
        notes = [webhooks.failed(endpoint) for _ in range(5)]
        since = notes[0].created_at
        for left, more in ((3, True), (1, True), (0, False)):
            found = replayer.recover(endpoint, since=since, until=None, limit=2)
            assert found.more == more
            assert sum(not each for each in webhooks.replays_of(notes)) == left

    def test_a_replay_that_failed_is_the_one_that_is_recovered(
        self, webhooks: Webhooks, replayer: Replayer, endpoint: Endpoint, advance: Advance
    ) -> None:
        note = webhooks.failed(endpoint)
        advance(MINUTE)
        second = replayer.replay(note.deliveries[0].id, tenant=ONE)
        webhooks.end(DeliveryStatus.FAILED)
        window = {"since": note.created_at, "until": note.created_at + MINUTE / 2, "limit": 9}
        assert replayer.recover(endpoint, **window) == _NONE  # type: ignore[arg-type]
        assert _all_of(replayer, endpoint, [note]).replayed == 1
        assert webhooks.replays_of([note]) == [[note.deliveries[0].id, second.id]]

    def test_a_replay_that_its_endpoint_was_off_for_is_recovered(
        self, webhooks: Webhooks, replayer: Replayer, endpoint: Endpoint
    ) -> None:
        """It was asked for, and nothing else would bring it: what was skipped at first is missed."""
        note, missed = webhooks.failed(endpoint), webhooks.accept(skipped(endpoint))
        second = replayer.replay(note.deliveries[0].id, tenant=ONE)
        webhooks.end(DeliveryStatus.SKIPPED, Reason.ENDPOINT_DISABLED)
        assert _missing(replayer, endpoint, [note]).replayed == 1, "that of the other one"
        assert _all_of(replayer, endpoint, [note]).replayed == 1
        assert _all_of(replayer, endpoint, [note]) == _NONE
        assert webhooks.replays_of([note]) == [[note.deliveries[0].id, second.id]]
        assert len(webhooks.replays_of([missed])[0]) == 1

    def test_what_another_endpoint_got_later_is_recovered_all_the_same(
        self, case: Case, webhooks: Webhooks, replayer: Replayer, endpoint: Endpoint
    ) -> None:
        """That names this endpoint's delivery as what it repeats, and is no replay of it."""
        note = webhooks.failed(endpoint)
        late = case.endpoint()
        assert _missing(replayer, late, [note]).replayed == 1
        assert _all_of(replayer, endpoint, [note]).replayed == 1
        made = [each.endpoint_id for each in case.seen(note)]
        assert made == [endpoint.id, late.id, endpoint.id]

    @pytest.mark.parametrize("what", ["failed", "missed"])
    def test_callers_at_once_send_each_once_more(
        self, case: Case, webhooks: Webhooks, replayer: Replayer, endpoint: Endpoint, what: str
    ) -> None:
        """Also those that ask for an endpoint whose notifications are the same ones."""
        other = case.endpoint()
        targets = [endpoint, other] if what == "failed" else [NOBODY]
        notes = [webhooks.accept(*targets) for _ in range(30)]
        while what == "failed" and not case.all_ended():
            webhooks.end(DeliveryStatus.FAILED)
        call = _all_of if what == "failed" else _missing
        together, done = threading.Barrier(4), []

        def ask(which: Endpoint) -> None:
            together.wait()
            done.append(call(replayer, which, notes).replayed)

        each = (endpoint, other, endpoint, other)
        threads = [threading.Thread(target=ask, args=(which,)) for which in each]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sum(done) == 60
        for note in notes:
            made = [d.endpoint_id for d in case.seen(note) if d.replay_of is not None]
            assert sorted(map(str, made)) == sorted([endpoint.id, other.id])

    def test_a_disabled_endpoint_is_not_recovered(
        self, store: Store, webhooks: Webhooks, replayer: Replayer, endpoint: Endpoint
    ) -> None:
        """Neither is one that was disabled since the caller looked."""
        note = webhooks.failed(endpoint)
        store.endpoints.set_endpoint_enabled(ONE, endpoint.id, enabled=False)
        assert _all_of(replayer, endpoint, [note]) == Recovery(replayed=0, more=True)
        off = store.endpoints.get_endpoint(ONE, endpoint.id)
        assert off is not None
        for call in (_all_of, _missing):
            with pytest.raises(InvalidInput, match=r"disabled.*Enable it first"):
                call(replayer, off, [note])
        assert webhooks.replays_of([note]) == [[]]

    def test_what_was_accepted_before_an_endpoint_is_sent_to_it(
        self, case: Case, webhooks: Webhooks, replayer: Replayer, endpoint: Endpoint
    ) -> None:
        nobody = webhooks.accept(NOBODY)
        others = webhooks.accept(endpoint)
        webhooks.end(DeliveryStatus.DELIVERED)
        notes = [nobody, others]
        late = case.endpoint()
        assert _missing(replayer, late, notes) == Recovery(replayed=2, more=False)
        for note in notes:
            new = case.seen(note)[-1]
            assert (new.replay_of, new.endpoint_id) == (note.deliveries[0].id, late.id)
            assert (new.address, new.status) == (late.url, DeliveryStatus.PENDING)
        assert _missing(replayer, late, notes) == _NONE
        assert len(case.lease().works) == 2
        # It is a replay of what the other endpoint got, but not that endpoint's.
        again = replayer.replay(others.deliveries[0].id, tenant=ONE)
        assert (again.replay_of, again.endpoint_id) == (others.deliveries[0].id, endpoint.id)

    def test_what_was_skipped_while_it_was_disabled_is_sent_to_it(
        self, case: Case, webhooks: Webhooks, replayer: Replayer, endpoint: Endpoint
    ) -> None:
        note = webhooks.accept(case.endpoint(), skipped(endpoint))
        assert _missing(replayer, endpoint, [note]).replayed == 1
        assert webhooks.replays_of([note]) == [[note.deliveries[1].id]]
        while not case.all_ended():
            webhooks.end(DeliveryStatus.SKIPPED, Reason.ENDPOINT_DISABLED)
        assert _missing(replayer, endpoint, [note]).replayed == 1, "skipped once more"
        assert len(webhooks.replays_of([note])[0]) == 2

    @pytest.mark.parametrize("ending", ["failed", "delivered", "cancelled", "expired"])
    def test_what_it_had_is_not_missing(
        self, webhooks: Webhooks, replayer: Replayer, endpoint: Endpoint, ending: str
    ) -> None:
        had = webhooks.accept(skipped(endpoint), endpoint)
        webhooks.end(DeliveryStatus(ending))
        under_way = webhooks.accept(endpoint)
        assert _missing(replayer, endpoint, [had, under_way]) == _NONE

    def test_only_what_it_is_subscribed_to_is_sent(
        self, case: Case, webhooks: Webhooks, replayer: Replayer
    ) -> None:
        notes = [
            webhooks.accept(NOBODY, event_type="claim.approved", tags=("eu", "vip")),
            webhooks.accept(NOBODY, event_type="claim.approved", tags=("us",)),
            webhooks.accept(NOBODY, event_type="claim.approved"),
            webhooks.accept(NOBODY, event_type="refund.paid", tags=("eu",)),
            webhooks.accept(NOBODY, event_type="endpoint.disabled", tags=("eu",)),
            webhooks.accept(NOBODY, event_type="claim.paid", tags=("eu",), owner="another"),
            webhooks.accept(NOBODY, event_type="claim.paid", tags=("eu",), tenant=TWO),
            case.accept(event_type="claim.paid", tags=("eu",)),
        ]
        picky = case.endpoint(event_types=("claim.*",), tags=("eu",))
        assert _missing(replayer, picky, notes).replayed == 1
        assert [bool(each) for each in webhooks.replays_of(notes)] == [True] + [False] * 7
        greedy = case.endpoint()
        assert _missing(replayer, greedy, notes).replayed == 4, "all of its owner's but endpoint.*"
        explicit = case.endpoint(event_types=("endpoint.*",))
        assert _missing(replayer, explicit, notes).replayed == 1

    def test_what_was_addressed_to_one_endpoint_is_missing_nowhere(
        self, case: Case, webhooks: Webhooks, replayer: Replayer, endpoint: Endpoint
    ) -> None:
        """A ping or an example is no event, and its receiver could not tell it from one."""
        other = case.endpoint(event_types=("claim.*", "endpoint.*"))
        notes = [
            webhooks.accept(endpoint, to_endpoint=endpoint.id),
            webhooks.accept(skipped(endpoint), to_endpoint=endpoint.id, event_type="endpoint.ping"),
        ]
        for each in (endpoint, other):
            assert _missing(replayer, each, notes) == _NONE
        assert [case.store.journal.history(ONE)[place].to_endpoint for place in (0, 1)] == [
            endpoint.id
        ] * 2

    def test_an_endpoint_is_not_told_later_of_its_own_trouble(
        self, case: Case, webhooks: Webhooks, replayer: Replayer
    ) -> None:
        troubled, other = (case.endpoint(event_types=("*", "endpoint.*")) for _ in range(2))
        notes = [
            webhooks.accept(NOBODY, event_type="endpoint.failing", subject=troubled.id),
            webhooks.accept(NOBODY, event_type="claim.approved", subject=troubled.id),
        ]
        assert _missing(replayer, troubled, notes).replayed == 1
        assert [len(each) for each in webhooks.replays_of(notes)] == [0, 1]
        assert _missing(replayer, other, notes).replayed == 2

    @pytest.mark.parametrize("state", ["scheduled", "cancelled", "expired"])
    def test_what_is_not_to_be_sent_is_not_missing(
        self, case: Case, webhooks: Webhooks, replayer: Replayer, endpoint: Endpoint, state: str
    ) -> None:
        """It waits for its time, or was called back before anybody got it."""
        other = case.endpoint()
        note = webhooks.accept((other.id, DeliveryStatus(state), state))
        assert _missing(replayer, endpoint, [note]) == _NONE

    def test_the_window_of_what_was_missed(
        self, case: Case, webhooks: Webhooks, replayer: Replayer, advance: Advance
    ) -> None:
        notes = []
        for _ in range(3):
            notes.append(webhooks.accept(NOBODY))
            advance(MINUTE)
        first, second, third = (note.created_at for note in notes)
        late = case.endpoint()
        found = replayer.replay_missing(late, since=first + _TICK, until=third, limit=9)
        assert found == Recovery(replayed=1, more=False)
        assert [len(each) for each in webhooks.replays_of(notes)] == [0, 1, 0]
        assert replayer.replay_missing(late, since=first, until=second, limit=9).replayed == 1
        found = replayer.replay_missing(late, since=first, until=None, limit=9)
        assert found == Recovery(replayed=1, more=False)
