"""The part of the store's contract about the in-app inbox."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from claimnotify.model.messages import InAppMessage
from claimnotify.model.states import DeliveryStatus
from claimnotify.ports import InboxItem, Store
from claimnotify.testing.store_contract.case import ONE, TWO, Case, StoreCase

__all__ = ["InboxContract"]


class InboxContract(StoreCase):
    """Each recipient has an inbox of items, newest first, with marks that are set once."""

    def put(self, case: Case, *titles: str, tenant: str = ONE, owner: str = "cus_7") -> None:
        """Write items, one after the other."""
        for title in titles:
            case.accept(tenant=tenant, owner=owner)
            lease = case.lease()
            item = (owner, InAppMessage(title=title, body=f"The body of {title}."))
            delivered = DeliveryStatus.DELIVERED
            case.store.work.record(
                [case.outcome(lease, lease.works[0], delivered, inbox_item=item)]
            )

    def items(
        self, store: Store, tenant: str = ONE, recipient: str = "cus_7", **options: Any
    ) -> Sequence[InboxItem]:
        """Return items of an inbox, those that are not archived unless it is said otherwise."""
        defaults = {"limit": 99, "before": None, "unread_only": False, "archived": False}
        return store.inbox.list_items(tenant, recipient, **{**defaults, **options})

    def test_newest_first_and_page_by_page(self, store: Store, case: Case) -> None:
        self.put(case, "one", "two", "three")
        page = self.items(store, limit=2)
        assert [item.title for item in page] == ["three", "two"]
        assert [item.title for item in self.items(store, before=page[-1].id)] == ["one"]

    def test_a_mark_is_set_once(self, store: Store, case: Case) -> None:
        self.put(case, "one", "two", "three")
        three, two, one = self.items(store)
        assert store.inbox.mark(ONE, "cus_7", "seen_at", [one.id]) == 1
        (seen,) = (item for item in self.items(store) if item.seen_at is not None)
        assert seen.id == one.id
        assert store.inbox.mark(ONE, "cus_7", "seen_at", None) == 2
        assert store.inbox.mark(ONE, "cus_7", "seen_at", None) == 0
        (still,) = (item for item in self.items(store) if item.id == one.id)
        assert still.seen_at == seen.seen_at
        assert store.inbox.mark(ONE, "cus_7", "read_at", [two.id, three.id, "0" * 32]) == 2
        assert [item.id for item in self.items(store, unread_only=True)] == [one.id]

    def test_what_is_read_was_seen(self, store: Store, case: Case) -> None:
        self.put(case, "one")
        assert store.inbox.mark(ONE, "cus_7", "read_at", None) == 1
        (item,) = self.items(store)
        assert item.seen_at is not None
        assert item.read_at is not None

    def test_what_is_archived_is_out_of_the_way(self, store: Store, case: Case) -> None:
        self.put(case, "one", "two")
        two, one = self.items(store)
        assert store.inbox.mark(ONE, "cus_7", "archived_at", [one.id]) == 1
        assert [item.id for item in self.items(store)] == [two.id]
        assert [item.id for item in self.items(store, archived=True)] == [two.id, one.id]
        assert store.inbox.count(ONE, "cus_7", mark="read_at") == 1

    def test_marks_are_counted(self, store: Store, case: Case) -> None:
        self.put(case, "one", "two", "three")
        store.inbox.mark(ONE, "cus_7", "read_at", [self.items(store)[0].id])
        store.inbox.mark(ONE, "cus_7", "seen_at", [self.items(store)[1].id])
        assert store.inbox.count(ONE, "cus_7", mark="read_at") == 2
        assert store.inbox.count(ONE, "cus_7", mark="seen_at") == 1

    @pytest.mark.parametrize(("tenant", "recipient"), [(TWO, "cus_7"), (ONE, "cus_8")])
    def test_nobody_reads_or_marks_another_s(
        self, store: Store, case: Case, tenant: str, recipient: str
    ) -> None:
        self.put(case, "one")
        (item,) = self.items(store)
        assert self.items(store, tenant, recipient, archived=True) == []
        assert store.inbox.count(tenant, recipient, mark="seen_at") == 0
        for ids in (None, [item.id]):
            for mark in ("seen_at", "read_at", "archived_at"):
                assert store.inbox.mark(tenant, recipient, mark, ids) == 0
        assert self.items(store) == [item]
