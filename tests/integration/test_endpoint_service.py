"""Endpoints in a real database: registered, listed, switched, rotated, in the caller's transaction."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from claimnotify.errors import ForbiddenDestination, InvalidInput, NotFound
from claimnotify.http.egress import EgressPolicy
from claimnotify.model.ids import IdSource
from claimnotify.model.notifications import Delivery
from claimnotify.model.states import DeliveryStatus
from claimnotify.store.store import SqlStore
from claimnotify.webhooks import CachedEndpointDirectory, EndpointService, KeyRing

URL = "https://example.com/hook"
RING = KeyRing(["k" * 32])


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "endpoints.db"


@pytest.fixture
def store(database: Path) -> Iterator[SqlStore]:
    store = SqlStore(f"sqlite:///{database}", ring=lambda queue: None)
    store.check()
    yield store
    store.close()


def service_of(store: SqlStore, tenant: str = "default") -> EndpointService:
    return EndpointService(
        store.endpoints,
        cipher=RING,
        policy=EgressPolicy(),
        clock=store.clock,
        new_id=IdSource(),
        tenant=tenant,
    )


@pytest.fixture
def service(store: SqlStore) -> EndpointService:
    return service_of(store)


def secrets_of(store: SqlStore, endpoint_id: str, tenant: str = "default") -> list[str]:
    directory = CachedEndpointDirectory(store.endpoints, cipher=RING)
    delivery = Delivery(
        id="d",
        notification_id="n",
        tenant=tenant,
        channel="webhook",
        address="",
        endpoint_id=endpoint_id,
        status=DeliveryStatus.SENDING,
        reason="leased",
        created_at=store.clock.now(),
    )
    directory.load([delivery])
    found = directory.get(tenant, endpoint_id)
    return [] if found is None else list(found.secrets)


def test_what_was_registered_is_found_and_signs_with_the_secret_that_was_shown(
    service: EndpointService, store: SqlStore
) -> None:
    endpoint, secret = service.register(
        URL, owner="cus_7", event_types=["claim.*"], description="Accounting"
    )
    assert service.get(endpoint.id) == endpoint
    assert (endpoint.owner, endpoint.url, endpoint.enabled) == ("cus_7", URL, True)
    assert secrets_of(store, endpoint.id) == [secret]


def test_the_secret_is_not_in_the_database_file(
    service: EndpointService, store: SqlStore, database: Path
) -> None:
    _, secret = service.register(URL, owner="cus_7")
    store.close()
    kept = b"".join(path.read_bytes() for path in database.parent.iterdir())
    assert b"example.com/hook" in kept
    assert secret.removeprefix("whsec_").encode() not in kept


def test_listing_is_by_owner_and_tenant_oldest_first(
    service: EndpointService, store: SqlStore
) -> None:
    first, _ = service.register(URL, owner="cus_7")
    second, _ = service.register(URL, owner="cus_8")
    third, _ = service.register(URL, owner="cus_7")
    assert [each.id for each in service.list()] == [first.id, second.id, third.id]
    assert [each.id for each in service.list("cus_7")] == [first.id, third.id]
    assert service_of(store, "acme").list() == []


def test_another_tenant_can_neither_see_nor_change_an_endpoint(
    service: EndpointService, store: SqlStore
) -> None:
    endpoint, secret = service.register(URL, owner="cus_7")
    other = service_of(store, "acme")
    for call in (other.get, other.disable, other.enable, other.delete, other.rotate):
        with pytest.raises(NotFound):
            call(endpoint.id)
    assert service.get(endpoint.id).enabled
    assert secrets_of(store, endpoint.id) == [secret]
    assert secrets_of(store, endpoint.id, "acme") == []


def test_disabling_remembers_why_and_enabling_forgets(service: EndpointService) -> None:
    endpoint, _ = service.register(URL, owner="cus_7")
    service.disable(endpoint.id, reason="too many failures")
    found = service.get(endpoint.id)
    assert (found.enabled, found.disabled_reason) == (False, "too many failures")
    service.enable(endpoint.id)
    found = service.get(endpoint.id)
    assert (found.enabled, found.disabled_reason) == (True, "")


def test_a_deleted_endpoint_and_its_keys_are_gone(
    service: EndpointService, store: SqlStore
) -> None:
    endpoint, _ = service.register(URL, owner="cus_7")
    service.delete(endpoint.id)
    assert secrets_of(store, endpoint.id) == []
    for call in (service.get, service.delete, service.rotate, service.disable, service.enable):
        with pytest.raises(NotFound):
            call(endpoint.id)


def test_rotating_keeps_the_old_secret_signing_for_the_grace_period(
    service: EndpointService, store: SqlStore
) -> None:
    endpoint, first = service.register(URL, owner="cus_7")
    second = service.rotate(endpoint.id)
    third = service.rotate(endpoint.id, grace=timedelta(hours=1))
    assert secrets_of(store, endpoint.id) == [third, second, first]
    store.clock.shift(timedelta(hours=1, seconds=1))
    assert secrets_of(store, endpoint.id) == [third]


def test_rotating_without_grace_ends_the_old_secret_at_once(
    service: EndpointService, store: SqlStore
) -> None:
    endpoint, _ = service.register(URL, owner="cus_7")
    second = service.rotate(endpoint.id, grace=timedelta(0))
    assert secrets_of(store, endpoint.id) == [second]
    with pytest.raises(InvalidInput, match="grace"):
        service.rotate(endpoint.id, grace=timedelta(seconds=-1))


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"owner": ""}, "owner"),
        ({"owner": "a\nb"}, "owner"),
        ({"event_types": "claim.*"}, "event_types"),
        ({"event_types": []}, "event_types"),
        ({"event_types": ["Claim!"]}, "event_types"),
        ({"description": "x" * 256}, "description"),
        ({"description": "\x00"}, "description"),
        ({"rate_limit": "x"}, "rate_limit"),
        ({"rate_limit": 5}, "rate_limit"),
    ],
)
def test_bad_input_names_its_field_and_writes_nothing(
    service: EndpointService, change: dict[str, object], field: str
) -> None:
    with pytest.raises(InvalidInput, match=field):
        service.register(URL, **{"owner": "cus_7", **change})  # type: ignore[arg-type]
    assert service.list() == []


def test_a_forbidden_url_is_not_registered(service: EndpointService) -> None:
    with pytest.raises(ForbiddenDestination):
        service.register("https://169.254.169.254/latest/", owner="cus_7")
    assert service.list() == []


def test_a_session_decides_whether_it_was_written(
    service: EndpointService, store: SqlStore, database: Path
) -> None:
    engine = create_engine(f"sqlite:///{database}")
    with Session(engine) as session:
        lost, _ = service.register(URL, owner="cus_7", session=session)
        session.rollback()
        kept, first = service.register(URL, owner="cus_7", session=session)
        session.commit()
        second = service.rotate(kept.id, session=session)
        service.disable(kept.id, session=session)
        session.commit()
        service.delete(kept.id, session=session)
        session.rollback()
    engine.dispose()
    assert [each.id for each in service.list()] == [kept.id]
    assert not service.get(kept.id).enabled
    assert secrets_of(store, kept.id) == [second, first]
    assert lost.id != kept.id


async def test_the_a_twins_do_the_same_and_take_an_async_session(
    service: EndpointService, store: SqlStore, database: Path
) -> None:
    engine = create_async_engine(f"sqlite+aiosqlite:///{database}")
    async with AsyncSession(engine) as session:
        await service.aregister(URL, owner="cus_7", session=session)
        await session.rollback()
        kept, first = await service.aregister(URL, owner="cus_7", session=session)
        await session.commit()
        second = await service.arotate(kept.id, session=session)
        await service.adisable(kept.id, reason="asked", session=session)
        await service.aenable(kept.id, session=session)
        await session.commit()
        await service.adelete(kept.id, session=session)
        await session.rollback()
    await engine.dispose()
    assert [each.id for each in await service.alist("cus_7")] == [kept.id]
    assert (await service.aget(kept.id)).enabled
    assert secrets_of(store, kept.id) == [second, first]
    third = await service.arotate(kept.id)
    assert secrets_of(store, kept.id) == [third, second, first]
    await service.adelete(kept.id)
    with pytest.raises(NotFound):
        await service.aget(kept.id)


@pytest.mark.parametrize("grace", [timedelta(seconds=-1), timedelta.max, 5, "1 day", None])
async def test_a_grace_that_is_none_leaves_the_secret(
    service: EndpointService, store: SqlStore, grace: Any
) -> None:
    endpoint, secret = service.register(URL, owner="cus_7")
    with pytest.raises(InvalidInput, match=r"grace: .*\. Give a timedelta"):
        service.rotate(endpoint.id, grace=grace)
    with pytest.raises(InvalidInput, match=r"grace: .*\. Give a timedelta"):
        await service.arotate(endpoint.id, grace=grace)
    assert secrets_of(store, endpoint.id) == [secret]


@pytest.mark.parametrize("reason", ["\ud800", "\x00", "x" * 256, None, 5, b"x"])
async def test_a_reason_that_cannot_be_kept_leaves_the_endpoint_as_it_was(
    service: EndpointService, reason: Any
) -> None:
    endpoint, _ = service.register(URL, owner="cus_7")
    with pytest.raises(InvalidInput, match="reason: is not text of at most 255 characters"):
        service.disable(endpoint.id, reason=reason)
    with pytest.raises(InvalidInput, match="reason: is not text of at most 255 characters"):
        await service.adisable(endpoint.id, reason=reason)
    assert service.get(endpoint.id).enabled
