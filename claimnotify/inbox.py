"""The in-app inbox of one tenant: `notifier.inbox`."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from claimnotify.errors import InvalidInput
from claimnotify.model.awaiting import awaited, on_thread
from claimnotify.model.checks import check_flag, check_page, is_series
from claimnotify.model.recipients import check_identifier

if TYPE_CHECKING:
    from claimnotify.ports import Inbox, InboxItem

__all__ = ["InboxService"]


class InboxService:
    """Lists a recipient's items and marks them seen, read or archived.

    Every write takes `session=`; every method has an a-twin for async code.

    Args:
        inbox: Where items are kept.
        tenant: The tenant all calls are bound to.
    """

    def __init__(self, inbox: Inbox, *, tenant: str) -> None:
        self._inbox = inbox
        self._tenant = tenant

    def list(
        self,
        recipient_id: str,
        *,
        limit: int = 50,
        before: str | None = None,
        unread_only: bool = False,
        archived: bool = False,
    ) -> Sequence[InboxItem]:
        """Return items, newest first.

        Args:
            recipient_id: Whose inbox.
            limit: At most how many, 1 to 1000.
            before: Only items older than the one with this id.
            unread_only: Leave out items that were read.
            archived: Include items that were archived.
        """
        check_identifier(recipient_id, "recipient_id")
        check_page(limit, before=before)
        check_flag(unread_only, "unread_only")
        check_flag(archived, "archived")
        return self._inbox.list_items(
            self._tenant,
            recipient_id,
            limit=limit,
            before=before,
            unread_only=unread_only,
            archived=archived,
        )

    def unread_count(self, recipient_id: str) -> int:
        """Return how many items were not read, archived ones aside."""
        check_identifier(recipient_id, "recipient_id")
        return self._inbox.count(self._tenant, recipient_id, mark="read_at")

    def unseen_count(self, recipient_id: str) -> int:
        """Return how many items were not shown, archived ones aside."""
        check_identifier(recipient_id, "recipient_id")
        return self._inbox.count(self._tenant, recipient_id, mark="seen_at")

    def mark_seen(
        self, recipient_id: str, ids: Collection[str] | None = None, *, session: Any = None
    ) -> int:
        """Mark items (None: all) as shown; return how many that changed."""
        return self._mark(recipient_id, "seen_at", ids, session)

    def mark_read(
        self, recipient_id: str, ids: Collection[str] | None = None, *, session: Any = None
    ) -> int:
        """Mark items (None: all) as read, and so as seen; return how many that changed."""
        return self._mark(recipient_id, "read_at", ids, session)

    def archive(
        self, recipient_id: str, ids: Collection[str] | None = None, *, session: Any = None
    ) -> int:
        """Put items (None: all) away; return how many that changed."""
        return self._mark(recipient_id, "archived_at", ids, session)

    async def alist(self, recipient_id: str, **options: Any) -> Sequence[InboxItem]:
        """Do as `list`, without blocking the event loop."""
        return await on_thread(lambda: self.list(recipient_id, **options))

    async def aunread_count(self, recipient_id: str) -> int:
        """Do as `unread_count`, without blocking the event loop."""
        return await on_thread(lambda: self.unread_count(recipient_id))

    async def aunseen_count(self, recipient_id: str) -> int:
        """Do as `unseen_count`, without blocking the event loop."""
        return await on_thread(lambda: self.unseen_count(recipient_id))

    async def amark_seen(
        self, recipient_id: str, ids: Collection[str] | None = None, *, session: Any = None
    ) -> int:
        """Do as `mark_seen`; `session` is an AsyncSession."""
        return await self._amark(recipient_id, "seen_at", ids, session)

    async def amark_read(
        self, recipient_id: str, ids: Collection[str] | None = None, *, session: Any = None
    ) -> int:
        """Do as `mark_read`; `session` is an AsyncSession."""
        return await self._amark(recipient_id, "read_at", ids, session)

    async def aarchive(
        self, recipient_id: str, ids: Collection[str] | None = None, *, session: Any = None
    ) -> int:
        """Do as `archive`; `session` is an AsyncSession."""
        return await self._amark(recipient_id, "archived_at", ids, session)

    def _mark(self, recipient_id: str, mark: str, ids: Any, session: Any) -> int:
        check_identifier(recipient_id, "recipient_id")
        if ids is not None:
            ids = [ids] if isinstance(ids, str) else ids
            if not is_series(ids):
                raise InvalidInput("ids", f"is a {type(ids).__name__}", "Give a list of ids.")
            ids = [check_identifier(each, "ids") for each in ids]
        return self._inbox.mark(self._tenant, recipient_id, mark, ids, session=session)

    async def _amark(self, recipient_id: str, mark: str, ids: Any, session: Any) -> int:
        return await awaited(lambda joined: self._mark(recipient_id, mark, ids, joined), session)
