"""`claimnotify listen` is a real process that real deliveries go to, and says what came of each."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

import httpx
import pytest

from claimnotify import Event, Notifier
from claimnotify.model.notifications import Delivery
from claimnotify.policy.retry import RetrySchedule
from claimnotify.testing import RecordingDispatcher, WebhookReceiver
from claimnotify.webhooks import generate_secret, signed_headers
from tests.ports import free_port
from tests.waiting import until

_ROOT = Path(__file__).parents[2]
_MAIN = "from claimnotify.cli import main; main()"
_BODY = b'{"type":"claim.paid"}'
_HOSTILE = "\x1b[2J\x9b31m\u202e\x7f ü"


class BagWeighed(Event, type="listen.bag_weighed", channels=("webhook",)):
    note: str = "twelve kilos"


def _command(*options: str) -> list[str]:
    return [sys.executable, "-c", _MAIN, "listen", *options]


def _environment(**more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(_ROOT), **more}


class Listening:
    """`claimnotify listen` in a process of its own; its output is read as it comes."""

    def __init__(self, *options: str, **environment: str) -> None:
        port = () if "--port" in options else ("--port", "0")
        self._process = subprocess.Popen(
            _command(*port, *options),
            env=_environment(**environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.lines: list[str] = []
        self._errors = ""
        self._reading = threading.Thread(target=self._read)
        self._reading.start()

    def __enter__(self) -> Self:
        until(lambda: self.lines or self._process.poll() is not None, "the first line")
        assert self.lines, self.finish()
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self.finish()

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as stream:
            self.lines.extend(iter(stream.readline, ""))

    @property
    def url(self) -> str:
        found = re.search(r"http://[^\s\"]+", self.lines[0])
        assert found, self.lines
        return found[0]

    def events(self, name: str = "request") -> list[dict[str, Any]]:
        """What `--json` printed of this kind so far."""
        return [found for found in map(json.loads, list(self.lines)) if found["event"] == name]

    def wait_for(self, count: int, name: str = "request") -> list[dict[str, Any]]:
        until(lambda: len(self.events(name)) >= count, f"{count} of {name}", seconds=20)
        return self.events(name)

    def end(self, signum: signal.Signals = signal.SIGTERM) -> tuple[int, str]:
        self._process.send_signal(signum)
        return self.finish()

    def finish(self) -> tuple[int, str]:
        """Wait for its end; return the exit code and what it said on standard error."""
        code = self._process.wait(20)
        self._reading.join()
        assert self._process.stderr is not None
        if not self._process.stderr.closed:
            with self._process.stderr as stream:
                self._errors = stream.read()
        return code, self._errors


@pytest.fixture
def listening() -> Iterator[Callable[..., Listening]]:
    """Starts `claimnotify listen`; whatever runs at the end of the test is ended."""
    with ExitStack() as stack:

        def start(*options: str, **environment: str) -> Listening:
            return stack.enter_context(Listening(*options, **environment))

        yield start


@pytest.fixture
def notifier(sqlite_url: str) -> Iterator[Notifier]:
    """A notifier that makes three attempts, a moment apart."""
    moment = timedelta(milliseconds=300)
    with Notifier.from_settings(
        database_url=sqlite_url,
        dispatcher=RecordingDispatcher(),
        secret_keys="a-key-for-tests-of-thirty-two-characters",
        webhook_allow_networks="127.0.0.0/8",
        webhook_allow_http=True,
        retry={"webhook": RetrySchedule.of(moment, moment, jitter=0)},
    ) as made:
        yield made


@pytest.fixture
def registered(notifier: Notifier) -> tuple[int, str]:
    """A port that nobody listens on yet, and the secret of the endpoint registered there."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    _, secret = notifier.endpoints.register(f"http://127.0.0.1:{port}/hook?x=1", owner="cus_7")
    return port, secret


def _deliver(
    notifier: Notifier, condition: Callable[[Delivery], bool], note: str = "twelve kilos"
) -> Delivery:
    """Publish an event and drain until its delivery is as `condition` says."""
    made = notifier.publish(BagWeighed(note=note), owner="cus_7")

    def delivered() -> Delivery | None:
        notifier.drain()
        ((delivery,),) = [each.deliveries for each in notifier.history(notification_id=made.id)]
        return delivery if condition(delivery) else None

    found = until(delivered, "the delivery", seconds=20)
    assert found is not None
    return found


def _ended(delivery: Delivery) -> bool:
    return delivery.finished_at is not None


def _tried(delivery: Delivery) -> bool:
    return bool(delivery.history)


def _codes(delivery: Delivery) -> list[int | None]:
    return [attempt.status_code for attempt in delivery.history]


def _signed(secret: str, *, age: timedelta = timedelta(0)) -> Mapping[str, str]:
    return signed_headers([secret], "msg_1", datetime.now(UTC) - age, _BODY)


def test_it_verifies_real_deliveries_and_ends_after_so_many(
    listening: Callable[..., Listening], notifier: Notifier, registered: tuple[int, str]
) -> None:
    port, secret = registered
    listener = listening(
        "--json", "--port", str(port), "--count", "2", CLAIMNOTIFY_LISTEN_SECRET=secret
    )
    first = _deliver(notifier, _ended)
    second = _deliver(notifier, _ended, note="\x1b[2J")
    assert listener.finish() == (0, "")
    assert (_codes(first), _codes(second)) == ([204], [204])
    assert (first.status, second.status) == ("delivered", "delivered")
    one, two = listener.events()
    assert one["webhook_id"] == first.notification_id
    assert (one["method"], one["target"]) == ("POST", "/hook?x=1")
    assert (one["verified"], one["problem"], one["status"], one["times"]) == (True, "", 204, 1)
    assert (one["body"]["type"], one["body"]["data"]["note"]) == ("listen.bag_weighed", "twelve kilos")  # fmt: skip
    assert one["size"] > 50
    assert datetime.fromisoformat(one["sent_at"]).tzinfo is not None
    assert -1.0 < one["age_seconds"] < 10.0
    assert two["body"]["data"]["note"] == "\x1b[2J"
    assert listener.events("ended") == [{"event": "ended", "received": 2, "verified": 2}]


def test_another_secret_is_answered_with_400_and_the_next_attempt_succeeds_with_the_right_one(
    listening: Callable[..., Listening], notifier: Notifier, registered: tuple[int, str]
) -> None:
    port, secret = registered
    options = ("--json", "--port", str(port))
    wrong = listening(*options, CLAIMNOTIFY_LISTEN_SECRET=generate_secret())
    made = _deliver(notifier, _tried)
    (refused,) = wrong.wait_for(1)
    assert (refused["verified"], refused["status"]) == (False, 400)
    assert refused["problem"] == "no signature matches"
    assert made.history[0].status_code == 400
    assert "no signature matches" in made.history[0].detail
    assert wrong.end()[0] == 0

    both = f"{generate_secret()} {secret}"  # one of several is enough
    right = listening(*options, "--count", "1", CLAIMNOTIFY_LISTEN_SECRET=both)
    until(notifier.drain, "the next attempt", seconds=20)
    assert right.finish() == (0, "")
    assert right.events()[0]["webhook_id"] == refused["webhook_id"] == made.notification_id
    (notification,) = notifier.history(notification_id=made.notification_id)
    assert _codes(notification.deliveries[0]) == [400, 204]


def test_the_chosen_status_and_retry_after_reach_the_sender(
    listening: Callable[..., Listening], notifier: Notifier, registered: tuple[int, str]
) -> None:
    port, secret = registered
    options = ("--port", str(port), "--secret", secret, "--status", "503", "--retry-after", "3600")
    listener = listening("--json", *options)
    made = _deliver(notifier, _tried)
    assert (_codes(made), made.status) == ([503], "pending")
    assert made.due_at is not None
    assert made.due_at - made.history[0].started_at >= timedelta(seconds=3600)
    assert [each["status"] for each in listener.wait_for(1)] == [503]


def test_failing_first_shows_the_retries_and_that_they_are_repetitions(
    listening: Callable[..., Listening], notifier: Notifier, registered: tuple[int, str]
) -> None:
    port, secret = registered
    listener = listening("--json", "--port", str(port), "--secret", secret, "--fail-first", "2")
    made = _deliver(notifier, _ended)
    assert (_codes(made), made.status) == ([500, 500, 204], "delivered")
    tries = listener.wait_for(3)
    assert [each["times"] for each in tries] == [1, 2, 3]
    assert [each["status"] for each in tries] == [500, 500, 204]
    assert {each["webhook_id"] for each in tries} == {made.notification_id}
    assert all(each["verified"] for each in tries)
    assert tries[0]["note"] == "failed on purpose, 1 of 2"
    # Each webhook fails its own first attempts.
    assert _codes(_deliver(notifier, _ended)) == [500, 500, 204]


def test_what_does_not_verify_is_no_attempt_that_fails_first(
    listening: Callable[..., Listening],
) -> None:
    """Anybody can send a `webhook-id`, and what is refused anyway has failed nothing on purpose."""
    secret = generate_secret()
    listener = listening("--json", "--secret", secret, "--fail-first", "1")
    forged, real = _signed(generate_secret()), _signed(secret)
    codes = [
        httpx.post(listener.url, content=_BODY, headers=headers).status_code
        for headers in (forged, forged, real, forged, real)
    ]
    assert codes == [400, 400, 500, 400, 204]
    assert httpx.get(listener.url, headers=real).status_code == 405
    assert [each["times"] for each in listener.wait_for(6)] == [1, 2, 3, 4, 5, 6]


def test_what_is_forwarded_verifies_there_and_the_applications_answer_comes_back(
    listening: Callable[..., Listening], notifier: Notifier, registered: tuple[int, str]
) -> None:
    port, secret = registered
    with WebhookReceiver(secret) as application:
        application.respond(202)
        application.respond(503, retry_after=3600)  # the last, as it keeps the endpoint waiting
        listener = listening(
            "--json", "--port", str(port), "--secret", secret, "--forward", f"{application.url}?y=2"
        )
        first = _deliver(notifier, _ended)
        second = _deliver(notifier, _tried)
        assert second.due_at is not None
        assert second.due_at - second.history[0].started_at >= timedelta(seconds=3600)
        assert second.history[0].detail.startswith("the endpoint answered 503")
        # A request that is not ours never gets to the application.
        assert httpx.post(listener.url, content=_BODY).status_code == 400
        one, two = application.wait_for(2)
        assert len(application.received) == 2
    assert (_codes(first), _codes(second)) == ([202], [503])
    assert (one.verified, two.verified) == (True, True)
    assert (two.id, two.path) == (second.notification_id, "/webhooks?y=2")
    assert two.headers["content-type"] == "application/json"
    assert two.headers["user-agent"].startswith("claimnotify/")
    assert two.headers["host"] == application.url.split("/")[2]
    assert [each["note"] for each in listener.wait_for(3)] == ["forwarded", "forwarded", ""]
    # The application is gone by now.
    assert httpx.post(listener.url, content=_BODY, headers=_signed(secret)).status_code == 502
    assert listener.wait_for(4)[-1]["note"].startswith("not forwarded: ")


def test_what_was_forwarded_and_comes_back_is_answered_with_508(
    listening: Callable[..., Listening],
) -> None:
    """Straight back under another name of this machine, and round through a second receiver."""
    one, other, secret = free_port(), free_port(), generate_secret()
    common = ("--json", "--secret", secret, "--host", "localhost")
    first = listening(*common, "--port", str(one), "--forward", f"http://127.0.0.1:{one}/")
    assert httpx.post(first.url, content=_BODY, headers=_signed(secret)).status_code == 508
    shown = [(each["status"], each["note"]) for each in first.wait_for(2)]
    circle = "it was forwarded from here already: --forward leads back"
    assert shown == [(508, circle), (508, "forwarded")]
    assert first.end()[0] == 0

    first = listening(*common, "--port", str(one), "--forward", f"http://127.0.0.1:{other}/")
    second = listening(*common, "--port", str(other), "--forward", f"http://127.0.0.1:{one}/")
    assert httpx.post(first.url, content=_BODY, headers=_signed(secret)).status_code == 508
    assert [each["note"] for each in first.wait_for(2)] == [circle, "forwarded"]
    assert [each["note"] for each in second.wait_for(1)] == ["forwarded"]


def test_without_a_secret_it_says_plainly_that_nothing_was_verified(
    listening: Callable[..., Listening],
) -> None:
    listener = listening()
    hints = until(lambda: len(listener.lines) >= 6 and "".join(listener.lines))
    assert isinstance(hints, str)
    assert f"claimnotify endpoints add {listener.url}" in hints
    assert "CLAIMNOTIFY_WEBHOOK_ALLOW_NETWORKS=127.0.0.0/8 CLAIMNOTIFY_WEBHOOK_ALLOW_HTTP=true" in hints  # fmt: skip
    assert "NOTHING IS VERIFIED" in hints
    headers = _signed(generate_secret())
    assert [httpx.post(listener.url, content=_BODY, headers=headers).status_code for _ in "ab"] == [204, 204]  # fmt: skip
    assert listener.end(signal.SIGINT) == (0, "")
    said = "".join(listener.lines)
    assert said.count("POST /, 21 bytes: NOT VERIFIED, no secret was given; answered 204\n") == 2
    assert "  webhook-id msg_1\n" in said
    assert "  webhook-id msg_1, seen 2 times\n" in said
    assert '  {\n    "type": "claim.paid"\n  }\n' in said
    assert said.endswith("\nrequests received: 2, verified: 0\n")


@pytest.mark.parametrize("json_lines", [False, True], ids=["plain", "json"])
def test_what_would_act_on_the_terminal_is_shown_escaped(
    listening: Callable[..., Listening], json_lines: bool
) -> None:
    """In JSON, in what is none, in an id, and in a terminal that has no such letters."""
    options = ["--json"] if json_lines else []
    listener = listening(*options, PYTHONIOENCODING="ascii")
    bodies = [json.dumps({"note": _HOSTILE}, ensure_ascii=False).encode(), _HOSTILE.encode(), b"\xff\x00\r\n", b"[" * 5000]  # fmt: skip
    for body in bodies:
        headers = {b"webhook-id": b"\x9b31m", b"webhook-timestamp": b"9" * 12}
        assert httpx.post(listener.url, content=body, headers=headers).status_code == 204
    assert listener.end() == (0, "")
    said = "".join(listener.lines)
    assert said.isascii()
    assert said.replace("\n", "").isprintable()
    if json_lines:
        shown = [each["body"] for each in listener.events()]
        assert shown == [{"note": _HOSTILE}, _HOSTILE, "�\x00\r\n", "[" * 5000]
        assert [each["is_json"] for each in listener.events()] == [True, False, False, False]
    else:
        assert r'    "note": "\u001b[2J\x9b31m\u202e\x7f \xfc"' in said
        assert "\n  \\x1b[2J\\x9b31m\\u202e\\x7f \\xfc\n" in said
        assert "  webhook-id \\x9b31m, seen 4 times\n" in said
        assert "  webhook-timestamp 999999999999, which is no time\n" in said


def test_a_long_body_is_shown_in_part(listening: Callable[..., Listening]) -> None:
    """Indenting could make gigabytes of a body that nests deeply."""
    listener = listening()
    nested = b"[" * 60 + b",".join([b"1"] * 200_000) + b"]" * 60
    assert httpx.post(listener.url, content=nested).status_code == 204
    assert listener.end() == (0, "")
    assert "  … and more\n" in listener.lines
    assert sum(map(len, listener.lines)) < 200_000


@pytest.mark.parametrize("json_lines", [False, True], ids=["plain", "json"])
def test_what_nests_deeply_is_shown_as_it_came_and_answered(
    listening: Callable[..., Listening], json_lines: bool
) -> None:
    """Python's own limits are near 1000 levels, or elsewhere, and not the same for all that it does."""
    listener = listening(*["--json"] if json_lines else [])
    depths = [1, 63, 64, 65, 300, *range(900, 1000, 4), 1500, 9000, 250_000]
    earlier = 0
    for opening, closing in (("[", "]"), ('{"a":', "}")):
        bodies = [opening * (depth - 1) + "[]" + closing * (depth - 1) for depth in depths]
        with httpx.Client() as client:
            sent = [body for body in bodies if len(body) < 1_000_000]
            assert {client.post(listener.url, content=body).status_code for body in sent} == {204}
        if json_lines:
            shown = listener.wait_for(earlier + len(sent))[earlier:]
            earlier += len(sent)
            assert [each["is_json"] for each in shown] == [depth <= 64 for depth in depths][
                : len(sent)
            ]
            assert [each["body"] for each in shown[3:]] == sent[3:]
    assert listener.end() == (0, "")
    if not json_lines:
        said = "".join(listener.lines)
        assert f"  {'[' * 65}{']' * 65}\n" in said
        assert f"{'  ' * 64}[]\n" in said


def test_an_old_attempt_is_refused_unless_it_is_tolerated(
    listening: Callable[..., Listening],
) -> None:
    secret = generate_secret()
    old = _signed(secret, age=timedelta(minutes=10))
    strict = listening("--json", CLAIMNOTIFY_LISTEN_SECRET=secret)
    assert httpx.post(strict.url, content=_BODY, headers=old).status_code == 400
    (refused,) = strict.wait_for(1)
    assert refused["problem"] == "the timestamp is too old"
    assert 599 < refused["age_seconds"] < 660
    lenient = listening("--json", "--tolerance", "3600", CLAIMNOTIFY_LISTEN_SECRET=secret)
    assert httpx.post(lenient.url, content=_BODY, headers=old).status_code == 204


def test_what_is_no_webhook_is_answered_and_shown(listening: Callable[..., Listening]) -> None:
    listener = listening("--json")
    got = httpx.get(listener.url)
    assert (got.status_code, got.headers["allow"]) == (405, "POST")
    assert "claimnotify listen" in got.text
    assert httpx.head(listener.url).status_code == 405
    assert httpx.post(listener.url, content=b"x" * (1024 * 1024 + 1)).status_code == 413
    with pytest.raises(httpx.TransportError):
        httpx.post(listener.url.replace("http:", "https:"), content=_BODY)
    tls = listener.wait_for(2, "refused")[1]
    assert (tls["status"], "http://" in tls["problem"]) == (400, True)
    assert [each["problem"] for each in listener.wait_for(2)] == ["a webhook is a POST request"] * 2


def test_no_secret_is_ever_printed(listening: Callable[..., Listening]) -> None:
    """Not while it verifies, not of a request, and not in the error of a mistyped command."""
    secret = generate_secret()
    bare = secret.removeprefix("whsec_")
    listener = listening("--secret", secret, CLAIMNOTIFY_LISTEN_SECRET=f"{secret} {secret}")
    httpx.post(listener.url, content=_BODY, headers=_signed(secret))
    httpx.post(listener.url, content=b"{}", headers=_signed(secret))
    assert listener.end() == (0, "")
    assert listener.lines[-1] == "requests received: 2, verified: 1\n"
    assert bare not in "".join(listener.lines)
    for mistaken in (
        (secret,),
        ("--secret", f"{secret}!"),
        ("--secret", ""),
        (f"--secrets={secret}",),
        ("--secret", secret, "--port", secret),
        ("--help",),
    ):
        result = subprocess.run(
            _command(*mistaken),
            env=_environment(CLAIMNOTIFY_LISTEN_SECRET=secret),
            capture_output=True,
            text=True,
            timeout=30,
        )
        assert result.returncode == (0 if mistaken == ("--help",) else 2), mistaken
        assert bare[:20] not in result.stdout + result.stderr, mistaken
        assert result.stderr.count("\n") <= 1, result.stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--count", "1"), ("count", "secret")),
        (("--forward", "http://127.0.0.1:9/", "--status", "200"), ("status", "--forward")),
        (("--forward", "somewhere"), ("url",)),
        (("--port", "8008", "--forward", "http://localhost:8008/hook"), ("forward", "back")),
        (("--tolerance", "nan"), ("tolerance",)),
        (("--tolerance", "inf"), ("tolerance", "seconds")),
        (("--delay", "nan"), ("delay",)),
        (("--status", "199"), ("--status", "200")),
        (("--host", "no.such.host.invalid"), ("port", "no.such.host.invalid")),
        (("--host", ""), ("host", "empty")),
        (("--host", " "), ("host", "empty")),
        (("--host", "a" * 64), ("port", "a" * 64)),
    ],
)
def test_options_that_cannot_work_are_one_line_and_exit_code_2(
    options: tuple[str, ...], words: tuple[str, ...]
) -> None:
    result = subprocess.run(
        _command("--port", "0", *options),
        env=_environment(),
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert (result.returncode, result.stdout) == (2, ""), result
    assert re.fullmatch(r"error: .*\n", result.stderr), result.stderr
    assert all(word.lower() in result.stderr.lower() for word in words), result.stderr


def test_a_port_in_use_is_one_line_and_exit_code_2() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = subprocess.run(
            _command("--port", str(port)),
            env=_environment(),
            capture_output=True,
            text=True,
            timeout=30,
        )
    assert (result.returncode, result.stdout) == (2, "")
    assert re.fullmatch(
        rf"error: port: {port} on 127\.0\.0\.1 cannot be listened on: .*--port.*\n", result.stderr
    ), result.stderr


def test_sigterm_ends_it_with_a_summary_even_while_an_answer_is_delayed(
    listening: Callable[..., Listening],
) -> None:
    secret = generate_secret()
    listener = listening("--json", "--delay", "600", CLAIMNOTIFY_LISTEN_SECRET=secret)
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(listener.url, content=_BODY, headers=_signed(secret), timeout=0.3)
    listener.wait_for(1)
    assert listener.end() == (0, "")
    assert listener.events("ended") == [{"event": "ended", "received": 1, "verified": 1}]


def test_it_ends_quietly_when_nobody_reads_its_output_any_more() -> None:
    with subprocess.Popen(
        _command("--port", "0"),
        env=_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        url = process.stdout.readline().split()[-1]
        for _ in range(5):
            process.stdout.readline()
        process.stdout.close()
        httpx.post(url, content=_BODY)
        assert process.wait(20) == 1
        assert process.stderr.read() == ""
