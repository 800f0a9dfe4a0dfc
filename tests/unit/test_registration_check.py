"""A URL is refused when it is registered if its name leads to where it must not; else connect decides."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
import traceback
from collections.abc import Callable, Sequence

import dns.exception
import dns.resolver
import pytest

from claimnotify.errors import ForbiddenDestination
from claimnotify.http.egress import EgressPolicy
from claimnotify.http.registering import RegistrationCheck
from claimnotify.settings import Settings
from tests.dns_stub import SERVFAIL, SILENCE, DnsStub
from tests.waiting import until

URL = "https://hooks.customer.net/in"
HOST = "hooks.customer.net"
PUBLIC = "93.184.215.14"


def _looking_up() -> Sequence[threading.Thread]:
    return [each for each in threading.enumerate() if each.name == "claimnotify-dns-check"]


def asking(stub: DnsStub) -> Callable[[str, int], Sequence[str]]:
    """Return a look-up that really asks the stub."""

    def look_up(host: str, port: int) -> Sequence[str]:
        resolver = dns.resolver.Resolver(configure=False)
        resolver.nameservers, resolver.port, resolver.lifetime = [stub.host], stub.port, 30.0
        try:
            return [str(each) for each in resolver.resolve(host, "A")]
        except dns.exception.DNSException as error:
            raise socket.gaierror(str(error)) from None

    return look_up


@pytest.mark.parametrize(
    ("answers", "allowed"),
    [
        ([PUBLIC], True),
        ([PUBLIC, "10.0.0.1"], False),
        (["169.254.169.254"], False),
        (["inside.customer.net", "192.168.1.1"], False),
        (SERVFAIL, True),
        (SILENCE, True),
        ([], True),
    ],
    ids=str,
)
async def test_what_a_real_server_answers_decides_and_no_answer_does_not(
    answers: Sequence[str] | str, allowed: bool
) -> None:
    async with DnsStub() as stub:
        stub.script(HOST, answers)
        check = RegistrationCheck(EgressPolicy(), look_up=asking(stub), seconds=1.0)
        if allowed:
            await asyncio.to_thread(check.check, URL)
        else:
            with pytest.raises(ForbiddenDestination):
                await asyncio.to_thread(check.check, URL)
        assert stub.asked[:1] == [HOST]


def test_an_address_and_a_forbidden_spelling_ask_nobody() -> None:
    asked: list[str] = []

    def look_up(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        return [PUBLIC]

    check = RegistrationCheck(EgressPolicy(), look_up=look_up)
    check.check(f"https://{PUBLIC}/")
    for url in (
        "https://10.0.0.1/",
        "https://localhost/",
        "http://hooks.customer.net/",
        "nonsense",
    ):
        with pytest.raises(ForbiddenDestination):
            check.check(url)
    assert asked == []
    check.check(URL)
    assert asked == [HOST]


def test_where_a_name_leads_is_told_to_the_operator_and_not_to_the_customer(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Else whoever may register could ask our resolver for the addresses of internal hosts."""
    caplog.set_level(logging.INFO, logger="claimnotify.egress")
    check = RegistrationCheck(EgressPolicy(), look_up=lambda host, port: ["10.0.0.1"])
    with pytest.raises(ForbiddenDestination) as caught:
        check.check(f"{URL}?token=SECRET")
    assert str(caught.value).startswith("url: leads to an address that is not allowed")
    assert "10.0.0.1" not in f"{caught.value}{caught.value!r}"
    assert "private" not in str(caught.value)
    assert "10.0.0.1" not in "".join(traceback.format_exception(caught.value))
    (record,) = caplog.records
    assert HOST in record.getMessage()
    assert "10.0.0.1" in record.getMessage()
    assert "SECRET" not in caplog.text
    with pytest.raises(ForbiddenDestination, match=r"10\.0\.0\.1"):  # it is what the customer wrote
        check.check("https://10.0.0.1/")


def test_silent_servers_collect_no_threads() -> None:
    """Beyond a few at a time nobody is asked: then connect decides alone."""
    silent, asked = threading.Event(), []

    def look_up(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        silent.wait()
        return ["10.0.0.1"]

    check = RegistrationCheck(EgressPolicy(), look_up=look_up, seconds=0.01)
    for number in range(50):
        check.check(f"https://name{number}.customer.net/")
    until(lambda: len(asked) == len(_looking_up()))  # a thread may begin after nobody waits for it
    assert len(asked) == 8
    silent.set()
    until(lambda: not _looking_up())
    with pytest.raises(ForbiddenDestination):
        RegistrationCheck(EgressPolicy(), look_up=look_up).check(URL)


def test_it_is_on_unless_it_is_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CLAIMNOTIFY_WEBHOOK_CHECK_DNS", raising=False)
    assert Settings.load(secret_keys="k" * 40).webhook_check_dns
