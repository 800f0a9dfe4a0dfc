"""What is written to the queue, and what is believed of what is read there."""

from __future__ import annotations

import json
import pickle

import pytest
from huey.registry import Message
from huey.serializer import Serializer
from hypothesis import given
from hypothesis import strategies as st

from claimnotify.dispatch.serializer import TASK_NAME, SignedJsonSerializer
from claimnotify.errors import ConfigurationError, InvalidInput

_KEY = b"a key of the application's, long enough"


def _ring(queue: str = "notifications", **changes: object) -> Message:
    fields: dict[str, object] = {
        "id": "id-1",
        "name": TASK_NAME,
        "retries": 0,
        "retry_delay": 0,
        "retry_backoff": 0,
        "args": (queue,),
        "kwargs": {},
    }
    return Message(**(fields | changes))


def _signed(body: bytes, key: bytes = _KEY) -> bytes:
    return b".".join((b"1", SignedJsonSerializer(key)._sign(body), body))


def test_a_ring_survives_the_round_trip() -> None:
    serializer = SignedJsonSerializer(_KEY)
    assert serializer.deserialize(serializer.serialize(_ring())) == _ring()


def test_processes_with_one_key_understand_each_other_and_others_do_not() -> None:
    data = SignedJsonSerializer(_KEY).serialize(_ring())
    assert SignedJsonSerializer(_KEY).deserialize(data) == _ring()
    with pytest.raises(InvalidInput, match="not signed with our key"):
        SignedJsonSerializer(_KEY + b"!").deserialize(data)


def test_the_message_is_json_and_names_neither_key_nor_class() -> None:
    data = SignedJsonSerializer(_KEY).serialize(_ring())
    _, signature, body = data.split(b".", 2)
    assert len(signature) == 64
    assert json.loads(body) == {"id": "id-1", "name": TASK_NAME, "args": ["notifications"]}
    assert _KEY not in data


def test_the_format_is_pinned() -> None:
    """Applications and workers of different releases share a queue while a deployment rolls."""
    assert SignedJsonSerializer(b"k" * 32).serialize(_ring()) == (
        b"1.62501dd90be35997d2a1fc9f69cc32d3b0d808365f3eb795c8a8d84602fa0d13."
        b'{"id":"id-1","name":"claimnotify.ring","args":["notifications"]}'
    )


@pytest.mark.parametrize(
    "change",
    [
        {"args": ("notifications", "more")},
        {"args": (b"bytes",)},
        {"kwargs": {"payload": "text"}},
        {"name": "os.system"},
        {"retries": 3},
        {"on_complete": _ring()},
        {"expires": 60},
    ],
)
def test_nothing_but_a_ring_is_written(change: dict[str, object]) -> None:
    with pytest.raises(InvalidInput):
        SignedJsonSerializer(_KEY).serialize(_ring(**change))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"null",
        b"\xff\xfe",
        b"[" * 1500,  # deep nesting
        b'{"id":"1","name":"claimnotify.ring","args":[]}',
        b'{"id":"1","name":"claimnotify.ring","args":[1]}',
        b'{"id":"1","name":"claimnotify.ring","args":"notifications"}',
        b'{"id":1,"name":"claimnotify.ring","args":["notifications"]}',
        b'{"id":"1","name":"os.system","args":["notifications"]}',
        b'{"id":"1","name":"claimnotify.ring","args":["notifications"],"kwargs":{}}',
    ],
)
def test_a_valid_signature_is_not_enough(body: bytes) -> None:
    with pytest.raises(InvalidInput, match="is not a ring"):
        SignedJsonSerializer(_KEY).deserialize(_signed(body))


@given(st.binary(max_size=200) | st.text() | st.none() | st.integers())
def test_junk_is_refused_with_one_error_that_does_not_repeat_it(data: object) -> None:
    with pytest.raises(InvalidInput) as refused:
        SignedJsonSerializer(_KEY).deserialize(data)
    assert str(refused.value) in {
        "queue message: is not a ring. It is dropped.",
        "queue message: is not signed with our key. It is dropped.",
    }
    assert refused.value.__cause__ is None


@given(st.integers(min_value=0), st.integers(min_value=0, max_value=7))
def test_any_flipped_bit_is_noticed(position: int, bit: int) -> None:
    serializer = SignedJsonSerializer(_KEY)
    data = bytearray(serializer.serialize(_ring()))
    data[position % len(data)] ^= 1 << bit
    with pytest.raises(InvalidInput):
        serializer.deserialize(bytes(data))


def test_nothing_is_unpickled(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: object) -> None:
        raise AssertionError("something was unpickled")

    monkeypatch.setattr(pickle, "loads", forbidden)
    with pytest.raises(InvalidInput):
        SignedJsonSerializer(_KEY).deserialize(Serializer().serialize(_ring()))


def test_what_is_too_long_for_a_ring_is_not_even_verified() -> None:
    body = json.dumps({"id": "x" * 4000, "name": TASK_NAME, "args": ["notifications"]}).encode()
    with pytest.raises(InvalidInput, match="is not a ring"):
        SignedJsonSerializer(_KEY).deserialize(_signed(body))


def test_an_empty_key_is_a_configuration_error() -> None:
    with pytest.raises(ConfigurationError, match="signing_key"):
        SignedJsonSerializer(b"")
