"""FastAPI: what became of a webhook is noted when the path operation ends, before the answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from typing import Annotated, Any

import fastapi
import httpx
import pytest
from fastapi import BackgroundTasks, Depends, FastAPI
from fastapi.responses import StreamingResponse

from claimnotify.errors import ConfigurationError
from claimnotify.webhooks import generate_secret, signed_headers
from claimnotify.webhooks.receiving import Intake, MemorySeenIds, ReceivedWebhook
from claimnotify.webhooks.receiving.starlette import webhook_dependency

SECRET = generate_secret()


@pytest.fixture
def intake() -> Intake:
    return Intake(SECRET, seen=MemorySeenIds())


def site(intake: Intake, receive: Any, **options: Any) -> FastAPI:
    """An application with `receive` at /, whose `webhook` is verified by `intake`."""
    app = FastAPI(**options)
    webhook = Annotated[ReceivedWebhook, Depends(webhook_dependency(intake))]
    receive.__annotations__ = {**receive.__annotations__, "webhook": webhook}
    app.post("/", status_code=204, response_model=None)(receive)
    return app


async def post(app: FastAPI, *, raising: bool = False) -> int:
    transport = httpx.ASGITransport(app, raise_app_exceptions=raising)
    headers = signed_headers([SECRET], "msg_1", datetime.now(UTC), b"{}")
    async with httpx.AsyncClient(transport=transport, base_url="http://site.test") as client:
        return (await client.post("/", content=b"{}", headers=headers)).status_code


async def test_a_webhook_is_done_before_background_tasks_run(intake: Intake) -> None:
    """However long they take, the lease does not end meanwhile, and a double gets its 200."""
    handled: list[str] = []
    begun, may_end = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        begun.set()
        await may_end.wait()

    async def receive(webhook: Any, tasks: BackgroundTasks) -> None:
        handled.append(webhook.id)
        tasks.add_task(work)

    receive.__annotations__["tasks"] = BackgroundTasks
    app = site(intake, receive)
    first = asyncio.create_task(post(app))
    try:
        await asyncio.wait_for(begun.wait(), 20)
        assert await post(app) == 200
    finally:
        may_end.set()
    assert await first == 204
    assert handled == ["msg_1"]


async def test_what_fails_after_the_answer_does_not_free_the_id(intake: Intake) -> None:
    def fail() -> None:
        raise RuntimeError("in the background")

    def receive(webhook: Any, tasks: BackgroundTasks) -> None:
        tasks.add_task(fail)

    receive.__annotations__["tasks"] = BackgroundTasks
    app = site(intake, receive)
    with pytest.raises(RuntimeError, match="in the background"):
        await post(app, raising=True)
    assert await post(app) == 200


async def test_an_answer_that_breaks_off_does_not_free_the_id(intake: Intake) -> None:
    def parts() -> Iterator[bytes]:
        yield b"a"
        raise RuntimeError("broke off")

    handled: list[str] = []

    def receive(webhook: Any) -> StreamingResponse:
        handled.append(webhook.id)
        return StreamingResponse(parts())

    app = site(intake, receive)
    with pytest.raises(RuntimeError, match="broke off"):
        await post(app, raising=True)
    assert await post(app) == 200
    assert handled == ["msg_1"]


async def test_an_answer_that_is_refused_is_a_failure(intake: Intake) -> None:
    """FastAPI checks what was returned before the response exists."""
    answers: list[Any] = ["no number", 7]

    def receive(webhook: Any) -> int:
        return answers.pop(0)  # type: ignore[no-any-return]

    webhook = Annotated[ReceivedWebhook, Depends(webhook_dependency(intake))]
    receive.__annotations__ = {"webhook": webhook, "return": int}
    app = FastAPI()
    app.post("/")(receive)
    assert [await post(app), await post(app)] == [500, 200]
    assert answers == []


@pytest.mark.parametrize("fails", [False, True])
async def test_a_router_and_its_route_may_both_depend_on_the_webhook(
    intake: Intake, fails: bool
) -> None:
    handled: list[str] = []

    def receive(webhook: Any) -> None:
        handled.append(webhook.id)
        if fails and len(handled) == 1:
            raise RuntimeError("no")

    app = site(intake, receive, dependencies=[Depends(webhook_dependency(intake))])
    expected = [500, 204, 200] if fails else [204, 200, 200]
    assert [await post(app) for _ in range(3)] == expected
    assert handled == ["msg_1"] * (1 + fails)


async def test_two_intakes_on_one_route_are_refused(intake: Intake) -> None:
    def receive(webhook: Any) -> None: ...

    other = Intake(SECRET, seen=MemorySeenIds())
    app = site(intake, receive, dependencies=[Depends(webhook_dependency(other))])
    with pytest.raises(ConfigurationError, match="two intakes on one route"):
        await post(app, raising=True)


async def test_a_dependency_of_the_application_may_depend_on_the_webhook(intake: Intake) -> None:
    """One with a `yield`, which FastAPI ends after the response."""
    webhook = Annotated[ReceivedWebhook, Depends(webhook_dependency(intake))]
    ended: list[str] = []

    async def named(webhook: Any) -> AsyncIterator[str]:
        yield webhook.id
        ended.append(webhook.id)

    named.__annotations__["webhook"] = webhook

    def receive(webhook: Any, name: Any) -> None:
        assert name == webhook.id

    receive.__annotations__["name"] = Annotated[str, Depends(named)]
    assert await post(site(intake, receive)) == 204
    assert ended == ["msg_1"]


def test_a_fastapi_that_ends_dependencies_too_late_is_refused(
    intake: Intake, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before 0.121 `Depends` had no `scope`."""

    def before(dependency: Any = None, *, use_cache: bool = True) -> Any: ...

    monkeypatch.setattr(fastapi, "Depends", before)
    with pytest.raises(ConfigurationError, match=r"0\.121"):
        webhook_dependency(intake)
