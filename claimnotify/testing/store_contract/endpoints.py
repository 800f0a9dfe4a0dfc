"""The part of the store's contract about webhook endpoints, their keys, and what is encrypted of them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

from claimnotify.model.endpoints import Endpoint
from claimnotify.ports import Store
from claimnotify.testing.store_contract.case import MINUTE, ONE, TWO, Advance, Case, StoreCase

__all__ = ["EndpointContract"]

_MOST = 10


class EndpointContract(StoreCase):
    """What was registered is read as it was, by its tenant only; keys follow one another."""

    def test_an_endpoint_is_kept_as_it_was(self, store: Store, case: Case) -> None:
        endpoint = case.endpoint(
            event_types=("claim.*", "fraud.flagged"),
            description="ü",
            rate_limit="5/second",
            tags=("eu", "vip"),
            metadata={"crm": "ü"},
            header_names=("authorization",),
            sealed_headers="not readable",
            timeout=timedelta(seconds=2.5),
            ordering="strict",
        )
        assert store.endpoints.get_endpoint(ONE, endpoint.id) == endpoint
        assert store.endpoints.get_endpoint(ONE, "0" * 32) is None

    def test_endpoints_are_listed_oldest_first(self, store: Store, case: Case) -> None:
        first, second = case.endpoint(), case.endpoint(owner="partner")
        third = case.endpoint()
        listed = store.endpoints.list_endpoints
        assert list(listed(ONE)) == [first, second, third]
        assert list(listed(ONE, "cus_7")) == [first, third]
        assert list(listed(ONE, limit=2)) == [first, second]
        assert list(listed(ONE, limit=2, after=first.id)) == [second, third]
        assert list(listed(ONE, "cus_7", limit=2, after=first.id)) == [third]
        with store.outbox.transaction() as transaction:
            found = transaction.endpoints_of(ONE, ["cus_7", "nobody"])
            assert {owner: list(each) for owner, each in found.items()} == {"cus_7": [first, third]}
            found = transaction.endpoints_of(ONE, ["partner"])
            assert {owner: list(each) for owner, each in found.items()} == {"partner": [second]}

    def test_what_is_changed_is_changed_and_the_rest_stays(self, store: Store, case: Case) -> None:
        endpoint = case.endpoint(
            tags=("eu",), header_names=("x-one",), sealed_headers="sealed", rate_limit="5/second"
        )
        update = store.endpoints.update_endpoint
        assert update(ONE, endpoint.id, {"url": "https://other.example.com/", "tags": ()})
        changed = store.endpoints.get_endpoint(ONE, endpoint.id)
        assert changed is not None
        assert changed.updated_at is not None
        expected = replace(
            endpoint, url="https://other.example.com/", tags=(), updated_at=changed.updated_at
        )
        assert changed == expected
        update(ONE, endpoint.id, {"header_names": (), "sealed_headers": ""})
        update(ONE, endpoint.id, {"timeout": timedelta(seconds=3), "metadata": {"a": "b"}})
        update(ONE, endpoint.id, {"timeout": None, "event_types": ("a.b",), "ordering": "fifo"})
        changed = store.endpoints.get_endpoint(ONE, endpoint.id)
        assert changed is not None
        assert changed == replace(
            expected,
            header_names=(),
            sealed_headers="",
            metadata={"a": "b"},
            event_types=("a.b",),
            ordering="fifo",
            updated_at=changed.updated_at,
        )
        assert not update(ONE, "0" * 32, {"url": "https://other.example.com/"})

    def test_an_endpoint_is_disabled_and_enabled(self, store: Store, case: Case) -> None:
        endpoint, disable = case.endpoint(), store.endpoints.set_endpoint_enabled
        assert disable(ONE, endpoint.id, enabled=False, reason="by hand")
        off = replace(endpoint, enabled=False, disabled_reason="by hand")
        assert store.endpoints.get_endpoint(ONE, endpoint.id) == off
        assert disable(ONE, endpoint.id, enabled=True, reason="none is kept")
        assert store.endpoints.get_endpoint(ONE, endpoint.id) == endpoint
        assert not disable(ONE, "0" * 32, enabled=True)

    def test_a_deleted_endpoint_is_gone_with_its_keys(self, store: Store, case: Case) -> None:
        endpoint, other = case.endpoint(), case.endpoint()
        assert store.endpoints.delete_endpoint(ONE, endpoint.id)
        assert not store.endpoints.delete_endpoint(ONE, endpoint.id)
        assert list(store.endpoints.list_endpoints(ONE)) == [other]
        assert list(store.endpoints.list_endpoint_keys(ONE, endpoint.id)) == []
        pairs = [(ONE, endpoint.id), (ONE, other.id)]
        assert set(store.endpoints.load_endpoints(pairs)) == {(ONE, other.id)}

    def test_a_new_key_retires_the_others(self, store: Store, case: Case, advance: Advance) -> None:
        endpoint, add = case.endpoint(), store.endpoints.add_endpoint_key
        pair = (ONE, endpoint.id)
        newer = replace(case.key(endpoint), ciphertext="newer", kind="v1a", public_key="whpk_AAAA")
        soon = store.clock.now() + MINUTE
        assert add(ONE, newer, retire_others_at=soon, most=_MOST) == 2
        kept, keys = store.endpoints.load_endpoints([pair])[pair]
        assert kept == endpoint
        assert [each.ciphertext for each in keys] == ["newer", "not readable"]
        assert [each.expires_at for each in keys] == [None, soon]
        assert list(store.endpoints.list_endpoint_keys(ONE, endpoint.id)) == list(keys)
        assert keys[0] == newer
        newest = replace(case.key(endpoint), ciphertext="newest")
        assert add(ONE, newest, retire_others_at=soon + MINUTE, most=_MOST) == 3
        keys = store.endpoints.load_endpoints([pair])[pair][1]
        assert [each.expires_at for each in keys] == [None, soon + MINUTE, soon], "never put off"
        advance(2 * MINUTE)
        keys = store.endpoints.load_endpoints([pair])[pair][1]
        assert list(keys) == [newest] == list(store.endpoints.list_endpoint_keys(*pair))
        assert store.endpoints.load_endpoints([]) == {}

    def test_an_expired_key_is_not_kept(self, store: Store, case: Case, advance: Advance) -> None:
        """Who adds a key deletes those of its endpoint; all others wait until they are asked for."""
        endpoint, other = case.endpoint(), case.endpoint(tenant=TWO)

        def rotate(which: Endpoint, name: str) -> None:
            key, ends = replace(case.key(which), ciphertext=name), store.clock.now() + MINUTE
            assert store.endpoints.add_endpoint_key(
                which.tenant, key, retire_others_at=ends, most=_MOST
            )

        def kept() -> list[str]:
            return sorted(each.ciphertext for each in store.sealing.sealed("", 10))

        rotate(endpoint, "second")
        rotate(other, "theirs")
        assert store.sealing.forget_expired() == 0
        assert kept() == ["not readable", "not readable", "second", "theirs"]
        advance(2 * MINUTE)
        rotate(endpoint, "third")
        assert kept() == ["not readable", "second", "theirs", "third"]
        assert store.sealing.forget_expired() == 1
        assert kept() == ["second", "theirs", "third"], "one that is to expire signs until then"
        advance(2 * MINUTE)
        assert store.sealing.forget_expired() == 1
        assert kept() == ["theirs", "third"]

    def test_there_are_never_too_many_live_keys(self, store: Store, case: Case) -> None:
        endpoint, add = case.endpoint(), store.endpoints.add_endpoint_key
        later = store.clock.now() + MINUTE

        def rotated(_number: int) -> int | None:
            return add(ONE, case.key(endpoint), retire_others_at=later, most=4)

        with ThreadPoolExecutor(6) as threads:
            lives = sorted(live or 0 for live in threads.map(rotated, range(6)))
        assert lives == [2, 3, 4, 5, 5, 5]
        assert len(store.endpoints.list_endpoint_keys(ONE, endpoint.id)) == 4
        last = case.key(endpoint)
        now = store.clock.now()
        assert add(ONE, last, retire_others_at=now, most=4) == 1, "those that end now do not count"
        assert list(store.endpoints.list_endpoint_keys(ONE, endpoint.id)) == [last]

    def test_there_is_no_key_without_its_endpoint(self, store: Store, case: Case) -> None:
        gone = case.endpoint()
        store.endpoints.delete_endpoint(ONE, gone.id)
        now = store.clock.now()
        key = case.key(gone)
        add = store.endpoints.add_endpoint_key
        assert add(ONE, key, retire_others_at=now, most=_MOST) is None
        assert list(store.endpoints.list_endpoint_keys(ONE, gone.id)) == []

    def test_no_tenant_sees_or_changes_another_s_endpoints(self, store: Store, case: Case) -> None:
        endpoint, endpoints = case.endpoint(), store.endpoints
        assert endpoints.get_endpoint(TWO, endpoint.id) is None
        assert list(endpoints.list_endpoints(TWO)) == []
        assert list(endpoints.list_endpoints(TWO, "cus_7")) == []
        assert list(endpoints.list_endpoint_keys(TWO, endpoint.id)) == []
        assert endpoints.load_endpoints([(TWO, endpoint.id)]) == {}
        assert not endpoints.update_endpoint(TWO, endpoint.id, {"description": "theirs"})
        assert not endpoints.set_endpoint_enabled(TWO, endpoint.id, enabled=False)
        assert not endpoints.delete_endpoint(TWO, endpoint.id)
        with store.outbox.transaction() as transaction:
            assert transaction.endpoints_of(TWO, ["cus_7"]) == {}
        now, key = store.clock.now(), case.key(endpoint)
        assert endpoints.add_endpoint_key(TWO, key, retire_others_at=now, most=_MOST) is None
        pair = (ONE, endpoint.id)
        kept, keys = endpoints.load_endpoints([pair])[pair]
        assert (kept, [each.expires_at for each in keys]) == (endpoint, [None])
        assert keys[0].id != key.id

    def test_what_is_encrypted_is_gone_through_page_by_page(self, store: Store, case: Case) -> None:
        plain = case.endpoint()
        others = [
            case.endpoint(tenant=TWO, header_names=("x",), sealed_headers=f"h{number}")
            for number in range(3)
        ]
        pages, after = [], ""
        while page := store.sealing.sealed(after, 2):
            pages.append(len(page))
            changes = [(each, f"new {each.ciphertext}") for each in page]
            assert store.sealing.reseal(changes) == len(page)
            assert store.sealing.reseal([(each, "again") for each in page]) == 0, "they are others"
            after = page[-1].name
        assert pages == [2, 2, 2, 1]
        ids = [(each.tenant, each.id) for each in (plain, *others)]
        found = store.endpoints.load_endpoints(ids)
        assert {each.sealed_headers for each, _ in found.values()} == {
            "",
            *(f"new h{number}" for number in range(3)),
        }
        assert {tuple(each.header_names) for each, _ in found.values()} == {(), ("x",)}
        assert {key.ciphertext for _, keys in found.values() for key in keys} == {
            "new not readable"
        }

    def test_an_encrypted_value_that_is_gone_is_not_written(self, store: Store, case: Case) -> None:
        endpoint = case.endpoint(header_names=("x",), sealed_headers="h")
        every = store.sealing.sealed("", 10)
        assert [each.ciphertext for each in every] == ["not readable", "h"]
        assert len({each.context for each in every}) == 2
        assert store.sealing.reseal([]) == 0
        store.endpoints.update_endpoint(
            ONE, endpoint.id, {"header_names": ("y",), "sealed_headers": "other"}
        )
        changes = [(each, f"new {each.ciphertext}") for each in every]
        assert store.sealing.reseal(changes) == 1, "what is still there is written all the same"
        kept = [each.ciphertext for each in store.sealing.sealed("", 10)]
        assert kept == ["new not readable", "other"]
        every = store.sealing.sealed("", 10)
        store.endpoints.delete_endpoint(ONE, endpoint.id)
        assert store.sealing.reseal([(each, "new") for each in every]) == 0
        assert list(store.sealing.sealed("", 10)) == []
