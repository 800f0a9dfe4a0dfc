"""What the page says of numbers, examples and answers is what the code does."""

from __future__ import annotations

import re
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from random import Random

import pytest

from claimnotify.policy.retry import DEFAULT_SCHEDULES
from claimnotify.settings import Settings
from claimnotify.testing import WebhookReceiver
from claimnotify.webhooks import Webhook
from claimnotify.webhooks.rotation import DEFAULT_GRACE
from tests.acceptance.integrators.page import PAGE, Vector, blocks, example, vectors

HMAC_VECTORS = [each for each in vectors() if each.key.startswith("whsec_")]
UNITS = {"s": timedelta(seconds=1), "min": timedelta(minutes=1), "h": timedelta(hours=1)}


class Leaning(Random):
    """Randomness that always gives the same place between two ends.

    Args:
        place: -1 for the lower end, 0 for the middle, 1 for the upper.
    """

    def __init__(self, place: float) -> None:
        super().__init__(0)
        self.place = place

    def uniform(self, a: float, b: float) -> float:
        return (a + b) / 2 + self.place * (b - a) / 2


def waits(place: float = 0) -> list[timedelta]:
    """Return the waits after each failed attempt of a webhook until it is given up."""
    schedule = DEFAULT_SCHEDULES["webhook"]
    found: list[timedelta] = []
    while (wait := schedule.next_wait(len(found) + 1, random=Leaning(place))) is not None:
        found.append(wait)
    return found


def said(pattern: str) -> str:
    """Return what the page says where `pattern`, in which any white space fits a space, matches."""
    match = re.search(pattern.replace(" ", r"\s+"), PAGE)
    assert match, pattern
    return match[1]


def test_the_retry_schedule_is_the_one_we_follow() -> None:
    listed = re.findall(r"(\d+) (s|min|h)\b", said("We try again after (.*?)\\."))
    assert [int(number) * UNITS[unit] for number, unit in listed] == waits()
    share = int(said(r"at random by up to (\d+) %")) / 100
    for place in (-1, 1):
        leant = [wait * (1 + place * share) for wait in waits()]
        assert waits(place) == pytest.approx(leant, abs=timedelta(milliseconds=1))
    assert int(said(r"After (\d+) attempts")) == len(waits()) + 1
    hours = sum(waits(), timedelta()) / timedelta(hours=1)
    assert int(said(r"in about (\d+) hours")) == round(hours)


def test_the_deadline_and_the_grace_period_are_our_defaults() -> None:
    deadline = Settings.model_fields["attempt_deadline_seconds"].default
    assert {int(each) for each in re.findall(r"(\d+) seconds\b", PAGE)} == {deadline}
    assert int(said(r"grace period, (\d+) hours")) * UNITS["h"] == DEFAULT_GRACE


@pytest.mark.parametrize("vector", HMAC_VECTORS, ids=lambda vector: vector.id)
def test_the_pages_vectors_are_what_we_sign(vector: Vector) -> None:
    at = datetime.fromtimestamp(int(vector.timestamp), UTC)
    assert Webhook(vector.key).sign(vector.id, at, vector.body) == vector.signature


def test_the_pages_example_is_its_second_vector() -> None:
    headers, body = example()
    (_, vector, _) = vectors()
    assert {name: headers[name] for name in vector.headers} == vector.headers
    assert body == vector.body
    assert f"body has {len(body.encode())} bytes" in PAGE


def test_a_request_signed_in_a_shell_verifies() -> None:
    for command in ("sh", "openssl", "curl", "base64", "od"):
        if shutil.which(command) is None:
            pytest.skip(f"{command} is not installed")
    (block,) = blocks("sh")
    secret = re.search(r"^secret=(.*)$", block, re.MULTILINE)
    assert secret
    with WebhookReceiver(secret[1]) as receiver:
        script = block.replace("http://localhost:8000/hook", receiver.url)
        assert script != block
        result = subprocess.run(
            ["sh", "-eu", "-c", script], capture_output=True, text=True, timeout=60
        )
        assert result.returncode == 0, result.stderr
        (received,) = receiver.wait_for(1)
    assert received.verified
    assert "Zoë".encode() in received.body
