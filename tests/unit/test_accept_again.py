"""A transaction of ours that loses a conflict with another one is run again, a caller's is not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from claimnotify.delivery.accept import Acceptor
from claimnotify.errors import StoreContention, StoreUnavailable


class _Transaction:
    def __init__(self, conflicts: list[Exception]) -> None:
        self._conflicts = conflicts
        self.calls = 0

    def cancel(self, tenant: str, notification_id: str) -> int:
        assert (tenant, notification_id) == ("acme", "n1")
        self.calls += 1
        if self._conflicts:
            raise self._conflicts.pop()
        return 2


class _Outbox:
    def __init__(self, conflicts: int, error: type[Exception] = StoreContention) -> None:
        made = [error("database_url", "lost a conflict", "Try again.") for _ in range(conflicts)]
        self.transactions = _Transaction(made)

    @contextmanager
    def transaction(self, session: Any = None) -> Iterator[_Transaction]:
        yield self.transactions


def _cancel(outbox: _Outbox, session: Any = None) -> int:
    acceptor = Acceptor(outbox=outbox, channels={}, new_id=lambda: "", queue="notifications")  # type: ignore[arg-type]
    return acceptor.cancel("n1", tenant="acme", session=session)


@pytest.mark.parametrize("conflicts", [0, 1, 4])
def test_a_lost_conflict_is_tried_again(conflicts: int) -> None:
    outbox = _Outbox(conflicts)
    assert _cancel(outbox) == 2
    assert outbox.transactions.calls == conflicts + 1


def test_not_for_ever() -> None:
    outbox = _Outbox(9)
    with pytest.raises(StoreContention):
        _cancel(outbox)
    assert outbox.transactions.calls == 5


def test_in_the_callers_transaction_only_the_caller_can_begin_anew() -> None:
    outbox = _Outbox(1)
    with pytest.raises(StoreContention):
        _cancel(outbox, session=object())
    assert outbox.transactions.calls == 1


def test_what_is_no_conflict_is_not_tried_again() -> None:
    outbox = _Outbox(1, StoreUnavailable)
    with pytest.raises(StoreUnavailable):
        _cancel(outbox)
    assert outbox.transactions.calls == 1
