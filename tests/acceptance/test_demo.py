"""The demonstration delivers everything it promises, and says so honestly when something is wrong."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]
_COMMAND = "import sys; from claimnotify.cli import main; sys.exit(main())"
_PROMISED = 60.0
"""Seconds that the demonstration says it takes at most."""
_MADE_TO_FAIL = """
import sys
from pathlib import Path
from claimnotify import testing
from claimnotify.cli import demo

OTHER = "whsec_" + "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

class Distrustful(testing.WebhookReceiver):
    def add_secret(self, secret):
        super().add_secret(OTHER)

class Refusing(testing.SmtpServer):
    def __enter__(self):
        server = super().__enter__()
        server.fail("RCPT", "550 5.1.1 no such user")
        return server

testing.WebhookReceiver = Distrustful
testing.SmtpServer = Refusing
sys.exit(demo.run_demo(Path(sys.argv[1])))
"""
_WITHOUT_A_WORKER = """
import sys
from pathlib import Path
from claimnotify.cli import demo

demo._APP = "claimnotify.cli.demo:there_is_no_such_thing"
sys.exit(demo.run_demo(Path(sys.argv[1])))
"""


def _python(code: str, *arguments: str, within: float = 180.0) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=_ROOT,
        env={**os.environ, "COLUMNS": "120"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=within,
    )


@pytest.mark.alone
def test_the_demonstration_delivers_all_it_promises(tmp_path: Path) -> None:
    """Two claims over four channels within a minute: every delivery arrived, every signature fits."""
    folder = tmp_path / "demo"
    result = _python(_COMMAND, "demo", "--directory", str(folder), within=_PROMISED)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "11 e-mails, 8 texts, 11 inbox items, 12 webhooks arrived" in result.stdout
    assert "14 of 14 signatures verified" in result.stdout
    assert f"as they were received: {folder / 'mail'}" in result.stdout
    assert len(list((folder / "mail").glob("*.eml"))) == 11
    assert len(list((folder / "mail").glob("*.html"))) == 11
    database = sqlite3.connect(folder / "demo.db")
    try:
        found = database.execute(
            "SELECT channel, status, attempts, count(*) FROM claimnotify_deliveries"
            " GROUP BY channel, status, attempts"
        ).fetchall()
    finally:
        database.close()
    assert set(found) == {
        ("email", "sent", 1, 11),
        ("in_app", "delivered", 1, 11),
        ("sms", "sent", 1, 8),
        ("webhook", "delivered", 1, 11),
        ("webhook", "delivered", 3, 1),  # its receiver answered 503 twice
    }
    (folder / "notes.txt").write_text("mine")
    again = _python(_COMMAND, "demo", "--directory", str(folder), within=_PROMISED)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "11 e-mails, 8 texts, 11 inbox items, 12 webhooks arrived" in again.stdout
    assert len(list((folder / "mail").glob("*.eml"))) == 11
    assert (folder / "notes.txt").read_text() == "mine"


def test_the_demonstration_fails_when_a_promise_is_broken(tmp_path: Path) -> None:
    """Receivers that know another secret, and a mail server that refuses one recipient."""
    result = _python(_MADE_TO_FAIL, str(tmp_path / "demo"))
    assert result.returncode == 1, result.stdout + result.stderr
    assert "over email: failed" in result.stdout
    assert "11 over email were promised, 10 arrived" in result.stdout
    assert "12 over webhook were promised, 0 arrived" in result.stdout
    assert "14 webhooks had a signature that does not verify" in result.stdout
    assert " 0 of 14 signatures verified" in result.stdout


def test_the_demonstration_fails_when_its_worker_does_not_start(tmp_path: Path) -> None:
    result = _python(_WITHOUT_A_WORKER, str(tmp_path / "demo"))
    assert result.returncode != 0
    assert "the worker did not start" in result.stderr
    assert "there_is_no_such_thing" in (tmp_path / "demo" / "worker.log").read_text()
