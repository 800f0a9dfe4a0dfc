"""The command line prints data as plain text, and an error as one line with exit code 2."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from claimnotify import Event, Notifier, Recipient, job
from claimnotify.model.job_specs import registry
from claimnotify.testing import RecordingDispatcher
from tests.acceptance.conftest import KEY, Claimnotify, Said


class BagFound(Event, type="command_line.bag_found", channels=("in_app", "webhook")):
    bag: str


@pytest.fixture
def notifier(sqlite_url: str) -> Notifier:
    """A notifier on the command line's database, with one address whose brackets are markup to some."""
    made = Notifier.from_settings(
        database_url=sqlite_url,
        dispatcher=RecordingDispatcher(),
        secret_keys=KEY,
        webhook_allow_networks="fe80::/10",
    )
    made.endpoints.register("https://[fe80::1]:8443/hook", owner="[/x]", event_types=["*"])
    return made


def _is_one_line(said: Said) -> str:
    """Make sure that all that was said is an error's line, and return it."""
    assert (said.code, said.out) == (2, ""), said
    assert said.err.startswith("error: ")
    assert said.err.count("\n") == 1
    assert said.err.endswith("\n")
    return said.err


def _told(database_url: str, statement: str) -> None:
    engine = create_engine(database_url)
    with engine.begin() as connection:
        connection.execute(text(statement))
    engine.dispose()


def test_data_is_shown_as_it_is_and_never_read_as_markup(
    claimnotify: Claimnotify, notifier: Notifier
) -> None:
    long = "[bold]hi " + "x" * 200
    ids = [notifier.publish(BagFound(bag="red"), owner="[/x]").id]
    for owner in (":bomb: [link=x]", long):
        ids.append(notifier.notify(BagFound(bag="red"), to=Recipient(id=owner)).id)
    notifier.close()
    listed = claimnotify("deliveries", "list")
    assert (listed.code, listed.err) == (0, "")
    for owner in ("[/x]", ":bomb: [link=x]", long):
        assert f"command_line.bag_found for {owner}\n" in listed.out
    shown = claimnotify("deliveries", "show", ids[0])
    assert shown.out.startswith(
        "command_line.bag_found for [/x]\n  webhook to https://[fe80::1]:8443/hook: "
    )
    assert claimnotify("deliveries", "show", ids[1]).out.startswith(
        "command_line.bag_found for :bomb: [link=x]\n"
    )


def test_what_would_act_on_the_terminal_is_shown_escaped(
    claimnotify: Claimnotify, notifier: Notifier, sqlite_url: str
) -> None:
    shown = notifier.publish(BagFound(bag="red"), owner="[/x]").id
    notifier.notify(BagFound(bag="red"), to=Recipient(id="cus_\u202e7"))
    notifier.drain()
    notifier.close()
    _told(
        sqlite_url,
        "UPDATE claimnotify_attempts SET detail = char(27) || '[2J' || char(10) || '[/x]'",
    )
    _told(sqlite_url, "UPDATE claimnotify_attempts SET headers = NULL")
    _told(sqlite_url, "UPDATE claimnotify_deliveries SET reason = char(27) || '[1m[/x]'")
    assert "for cus_\\u202e7\n" in claimnotify("deliveries", "list").out
    lines = claimnotify("deliveries", "show", shown).out.splitlines()
    assert len(lines) == 4
    assert lines[1].endswith("(\\x1b[1m[/x])")
    assert lines[3].endswith(r"\x1b[2J\n[/x]")
    assert "nope\\u202e" in _is_one_line(claimnotify("deliveries", "show", "nope\u202e"))
    assert "'\\x1b[2J'" in _is_one_line(claimnotify("worker", "--queues", "\x1b[2J"))
    assert r"--\x1b[2J" in _is_one_line(claimnotify("status", "--\x1b[2J"))


def test_a_delivery_is_replayed_and_shown_with_what_was_sent_and_answered(
    claimnotify: Claimnotify, notifier: Notifier, sqlite_url: str
) -> None:
    note = notifier.publish(BagFound(bag="red"), owner="[/x]")
    first = note.deliveries[0].id
    notifier.drain()
    notifier.cancel(note.id)
    notifier.close()
    headers = """'{"request": {"webhook-id": "[/x]"}, "response": {"server": "it"}}'"""
    _told(sqlite_url, f"UPDATE claimnotify_attempts SET headers = {headers}, duration_us = 120999")
    said = claimnotify("deliveries", "replay", first)
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith("  webhook to https://[fe80::1]:8443/hook: pending (queued)\n")
    assert said.out.endswith(f", a replay of {first}\n")
    again = claimnotify("deliveries", "replay", first)
    assert again.out == said.out, "it is under way, and not replayed again"
    lines = claimnotify("deliveries", "show", note.id).out.splitlines()
    assert lines[2] == f"    delivery {first}"
    assert " in 120 ms " in lines[3]
    assert lines[4:6] == ["       > webhook-id: [/x]", "       < server: it"]
    assert lines[6:] == said.out.splitlines()


def test_a_payload_is_expunged(claimnotify: Claimnotify, notifier: Notifier) -> None:
    note = notifier.notify(BagFound(bag="red"), to=Recipient(id="cus_7"))
    said = claimnotify("deliveries", "expunge", note.id)
    assert (said.code, said.out) == (0, f"the payload of {note.id} is gone\n")
    (found,) = notifier.history()
    notifier.close()
    assert (found.payload, found.deliveries[0].reason) == ({}, "expunged")
    for command in ("replay", "expunge"):
        assert "there is no such" in _is_one_line(claimnotify("deliveries", command, "nope"))


def test_the_status_shows_any_reason_and_counts_deliveries_and_jobs(
    claimnotify: Claimnotify, notifier: Notifier, sqlite_url: str
) -> None:
    @job(name="command_line.sort")
    def sort() -> None:
        """Never run here."""

    notifier.enqueue(sort)
    registry.remove(sort)  # of this test alone
    notifier.publish(BagFound(bag="red"), owner="[/x]")
    notifier.close()
    _told(sqlite_url, "UPDATE claimnotify_deliveries SET reason = char(27) || '[1m[/x]'")
    said = claimnotify("status")
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith(f"database: {sqlite_url}\n")
    table = [line.replace("┃", "│").split("│") for line in said.out.splitlines()]
    cells = [[cell.strip() for cell in row[1:-1]] for row in table if len(row) > 1]
    assert cells[0] == ["queue", "status", "reason", "count"]
    assert ["notifications", "pending", "\\x1b[1m[/x]", "1"] in cells
    assert [cell[0] for cell in cells[1:]] == ["notifications", "processing"]


def test_a_notification_that_there_is_not_is_an_error(claimnotify: Claimnotify) -> None:
    problem = _is_one_line(claimnotify("deliveries", "show", "nope"))
    assert "no notification nope in this tenant" in problem
    assert "claimnotify deliveries list" in problem


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("deliveries", "list", "--recipent", "x"), ("--recipent", "claimnotify deliveries list --help")),
        (("deliveries", "list", "--limit", "many"), ("--limit", "integer")),
        (("deliveries", "list", "--limit", "0"), ("limit", "1000")),
        (("deliveries", "show"), ("notification_id", "claimnotify deliveries show --help")),
        (("status", "more"), ("more", "claimnotify status --help")),
        (("sing",), ("sing", "claimnotify --help")),
        (("status", "--app", "nowhere"), ("app", "nowhere")),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_that_says_where_to_look(
    claimnotify: Claimnotify, arguments: tuple[str, ...], words: tuple[str, ...]
) -> None:
    problem = _is_one_line(claimnotify(*arguments))
    assert all(word.lower() in problem.lower() for word in words), problem


@pytest.mark.parametrize("arguments", [(), ("db",), ("deliveries",), ("demo", "--help")])
def test_help_is_shown_without_a_command_and_when_asked(
    claimnotify: Claimnotify, arguments: tuple[str, ...]
) -> None:
    said = claimnotify(*arguments)
    assert "Usage: claimnotify" in said.out
    assert said.err == ""
    # Click before 8.2 ends with 0 where a command is missing.
    assert said.code in ((0,) if "--help" in arguments else (0, 2))


def test_a_demo_in_a_folder_of_others_is_refused(claimnotify: Claimnotify, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    refused = claimnotify("demo", "--directory", str(tmp_path))
    assert f"{tmp_path} is not empty" in _is_one_line(refused)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_database_in_a_folder_that_is_not_there_makes_none(
    claimnotify: Claimnotify, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "mistaken"
    monkeypatch.setenv("CLAIMNOTIFY_DATABASE_URL", f"sqlite:///{folder}/x.db")
    for command in (("status",), ("worker",), ("db", "upgrade")):
        assert f"there is no folder {folder}" in _is_one_line(claimnotify(*command))
    assert not folder.exists()


def test_the_folder_of_the_database_that_nobody_named_is_made(
    claimnotify: Claimnotify, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CLAIMNOTIFY_DATABASE_URL")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert claimnotify("status").code == 0
    assert (tmp_path / "data" / "claimnotify" / "claimnotify.db").is_file()
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "file"))
    assert "XDG_DATA_HOME" in _is_one_line(claimnotify("status"))
