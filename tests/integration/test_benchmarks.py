"""The benchmarks run, give ratios of what they measured, and their sinks count what they receive."""

from __future__ import annotations

import json
import os
import re
import smtplib
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import pytest

_ROOT = Path(__file__).parents[2]
_BENCHMARKS = _ROOT / "benchmarks"
_PATIENCE = 30.0


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(_ROOT), str(_BENCHMARKS)])}


@pytest.mark.parametrize(
    ("program", "run", "ours", "other"),
    [
        ("signatures", "sign", "ours", "standardwebhooks"),
        ("rendering", "rendering", "ours", "Jinja2"),
    ],
)
def test_a_program_prints_and_writes_the_median_of_its_pairs(
    program: str, run: str, ours: str, other: str, tmp_path: Path
) -> None:
    done = subprocess.run(
        [sys.executable, _BENCHMARKS / f"{program}.py", "--quick", "--results", tmp_path],
        env=_environment(),
        capture_output=True,
        text=True,
        timeout=_PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    document = json.loads((tmp_path / f"{program}.json").read_text())
    raw = document["rounds"][run]
    pairs = zip(raw[ours], raw[other], strict=True)
    expected = [
        theirs["cpu"] / theirs["work"] / (mine["cpu"] / mine["work"]) for mine, theirs in pairs
    ]
    figure = next(
        each for each in document["figures"] if other in each["over"] and each["measure"] == "cpu"
    )
    assert len(expected) >= 2
    assert figure["ratios"] == pytest.approx(expected)
    assert figure["measured"] == pytest.approx(median(expected))
    assert document["quick"] is True
    assert document["machine"]["cores"] == os.cpu_count()
    assert "pydantic" in document["versions"]
    assert re.search(rf"{re.escape(figure['what'])} .*{figure['measured']:.3g}×", done.stdout)


@contextmanager
def _sink(module: str, *hosts: str) -> Iterator[Any]:
    """Start a sink and give what sends it a command and returns its answer."""
    with subprocess.Popen(
        [sys.executable, "-m", f"sinks.{module}", *hosts],
        env=_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None

        def ask(do: str, **arguments: object) -> Any:
            process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
            process.stdin.flush()
            return json.loads(process.stdout.readline())["answer"]

        yield ask
        process.stdin.close()
        assert process.wait(_PATIENCE) == 0


def _request(identity: str, number: int) -> bytes:
    body = json.dumps({"data": {"number": number}}).encode()
    head = f"POST / HTTP/1.1\r\nHost: a\r\nWebhook-Id: {identity}\r\nContent-Length: {len(body)}"
    return head.encode() + b"\r\n\r\n" + body


def _counts(answer: Mapping[str, Any]) -> tuple[int, int]:
    return answer["distinct"], answer["requests"]


def test_the_http_sink_counts_distinct_ids_and_stays_silent_where_told() -> None:
    with _sink("http_sink", "127.0.0.1", "-127.0.0.2") as ask:
        port = ask("port")
        ask("reset", arrivals=True)
        sent = _request("msg_1", 1) + _request("msg_2", 2) + _request("msg_1", 1)
        with socket.create_connection(("127.0.0.1", port), _PATIENCE) as peer:
            peer.sendall(sent[:30])  # a request may come in parts, and several in one
            peer.sendall(sent[30:])
            reply = b""
            while reply.count(b"HTTP/1.1 200 OK\r\n") < 3:
                reply += peer.recv(4096)
        assert _counts(ask("wait", distinct=2, at_most=_PATIENCE)) == (2, 3)
        assert [number for number, _ in ask("arrivals")] == [1, 2]
        with socket.create_connection(("127.0.0.2", port), _PATIENCE) as silent:
            silent.sendall(_request("msg_3", 3))
            silent.settimeout(0.2)
            with pytest.raises(TimeoutError):
                silent.recv(1)
        assert _counts(ask("wait", distinct=3, at_most=0.05)) == (2, 3)


def test_the_smtp_sink_counts_mails_by_message_id() -> None:
    with _sink("smtp_sink", "127.0.0.1") as ask:
        with smtplib.SMTP("127.0.0.1", ask("port"), "test.example.com", _PATIENCE) as server:
            for identity in ("<1@example.com>", "<2@example.com>", "<1@example.com>"):
                mail = f"Subject: Hi\r\nMessage-ID: {identity}\r\n\r\n.One dot\r\n"
                server.sendmail("a@example.com", ["b@example.com"], mail)
        assert _counts(ask("count")) == (2, 3)
