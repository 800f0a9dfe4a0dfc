"""`claimnotify events` tells of the application's events, and writes files whole or not at all."""

from __future__ import annotations

import json
import os
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator, validate

from claimnotify.cli.written import put
from claimnotify.errors import ConfigurationError
from claimnotify.model.events import catalogue
from tests.acceptance.conftest import KEY, Claimnotify, Said

APPLICATION = '''
from claimnotify import Event, Notifier
from pydantic import Field

class Boarded(Event, type="trip.boarded", category="trips", channels=("in_app", "webhook")):
    """Someone went on board."""

    seat: str = Field(description="Where.", examples=["12\u202e\x9bA"])

class BoardedAgain(Event, type="trip.boarded", version=2, category="trips", channels=("webhook",)):
    """Someone went on board again."""

    row: int

class Landed(Event, type="trip.landed", channels=("email",)):
    """Only people are told."""

    place: str

class Odd(Event, type="odd.one", channels=("webhook",), subject="name", webhook_payload="thin"):
    name: str
    size: int

notifier = Notifier.from_settings()
'''


Events = Callable[..., Said]


@pytest.fixture
def events(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, claimnotify: Claimnotify
) -> Iterator[Events]:
    """Runs `claimnotify events …` in this process, in a folder with an application."""
    before = set(catalogue)
    (tmp_path / "events_app.py").write_text(APPLICATION, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("CLAIMNOTIFY_DATABASE_URL", f"sqlite:///{tmp_path / 'app.db'}")

    def run(*arguments: str, app: str = "events_app:notifier") -> Said:
        if app:
            monkeypatch.setenv("CLAIMNOTIFY_APP", app)
        else:
            monkeypatch.delenv("CLAIMNOTIFY_APP", raising=False)
        return claimnotify("events", *arguments)

    yield run
    sys.modules.pop("events_app", None)
    for event_class in set(catalogue) - before:
        if event_class.__module__ == "events_app":
            catalogue.remove(event_class)


@pytest.fixture
def apart(tmp_path: Path) -> Events:
    """Runs it in a process of its own: the catalogue has what was imported, and tests import a lot."""
    (tmp_path / "events_app.py").write_text(APPLICATION, encoding="utf-8")
    environment = os.environ | {
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "CLAIMNOTIFY_DATABASE_URL": f"sqlite:///{tmp_path / 'app.db'}",
        "CLAIMNOTIFY_SECRET_KEYS": KEY,
    }

    def run(*arguments: str, app: str) -> Said:
        done = subprocess.run(
            [
                sys.executable,
                "-c",
                "from claimnotify.cli import main; main()",
                "events",
                *arguments,
            ],
            env=environment | {"CLAIMNOTIFY_APP": app},
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )
        return Said(done.returncode, done.stdout, done.stderr)

    return run


def _json(said: Said) -> Any:
    assert (said.code, said.err) == (0, "")
    return json.loads(said.out)


def _rows(said: Said) -> list[list[str]]:
    assert (said.code, said.err) == (0, "")
    lines = [line.split("│") for line in said.out.splitlines() if "│" in line]
    return [[cell.strip() for cell in line[1:-1]] for line in lines]


def _refused(said: Said) -> str:
    assert (said.code, said.out) == (2, ""), said
    assert said.err.startswith("error: ")
    assert said.err.count("\n") == 1
    return said.err


def test_the_list_has_the_applications_events_in_order(events: Events) -> None:
    assert _rows(events("list", "--only", "trip.*")) == [
        ["trip.boarded", "1", "trips", "in_app, webhook"],
        ["trip.boarded", "2", "trips", "webhook"],
        ["trip.landed", "1", "general", "email"],
    ]
    assert ["odd.one", "1", "general", "webhook"] in _rows(events("list"))


def test_without_an_application_the_events_of_this_package_are_told_and_no_database_is_made(
    apart: Events, tmp_path: Path
) -> None:
    types = [row[0] for row in _rows(apart("list", "--only", "claim.*", app=""))]
    assert types[:2] == ["claim.approved", "claim.paid"]
    assert not (tmp_path / "app.db").exists()


def test_the_example_fits_the_schema(events: Events) -> None:
    for arguments, data in (
        (("trip.boarded", "--version", "1"), {"seat": "12\u202e\x9bA"}),
        (("trip.boarded",), {"row": 1}),
        (("odd.one",), {"name": "name"}),
    ):
        schema = _json(events("schema", *arguments))
        example = _json(events("example", *arguments))
        assert example == data
        Draft202012Validator(schema).validate(example)
        assert _json(events("example", *arguments, "--envelope"))["data"] == data


def test_invisible_characters_are_printed_escaped_and_the_json_stays_right(events: Events) -> None:
    said = events("example", "trip.boarded", "--version", "1")
    assert "\\u202e" in said.out
    assert "\\u009b" in said.out
    assert not {"\u202e", "\x9b"} & set(said.out)


@pytest.mark.parametrize("command", ["schema", "example"])
def test_an_unknown_type_or_version_is_an_error(events: Events, command: str) -> None:
    said = _refused(events(command, "trip.lost"))
    assert "there is no event type trip.lost. See: claimnotify events list" in said
    said = _refused(events(command, "trip.boarded", "--version", "3"))
    assert "there is no event type trip.boarded of version 3" in said


@pytest.mark.parametrize("command", ["list", "openapi", "docs"])
def test_a_pattern_that_nothing_fits_is_an_error(events: Events, command: str) -> None:
    assert "no event type fits nope.*" in _refused(events(command, "--only", "nope.*"))


def test_openapi_has_the_events_that_go_to_webhooks_and_all_if_asked(events: Events) -> None:
    document = _json(
        events("openapi", "--only", "trip.*", "--title", "Trips", "--api-version", "3")
    )
    validate(document, cls=OpenAPIV31SpecValidator)
    assert document["info"] == {"title": "Trips", "version": "3"}
    assert list(document["webhooks"]) == ["trip.boarded-v1", "trip.boarded-v2"]
    document = _json(events("openapi", "--only", "trip.*", "--all"))
    assert list(document["webhooks"]) == ["trip.boarded-v1", "trip.boarded-v2", "trip.landed"]


def test_the_page_has_the_events_that_go_to_webhooks_and_all_if_asked(events: Events) -> None:
    said = events("docs", "--only", "trip.*", "--title", "Trips")
    assert said.out.startswith("# Trips\n\n## `trip.boarded-v1`\n\nSomeone went on board.\n")
    assert "| `seat` | string | yes | Where. |\n" in said.out
    assert "trip.landed" not in said.out
    assert "Only people are told." in events("docs", "--only", "trip.*", "--all").out


@pytest.mark.parametrize("app", ["", "events_app:notifier"], ids=["alone", "application"])
def test_the_events_about_endpoints_are_listed_always_and_written_of_if_they_are_named(
    apart: Events, app: str
) -> None:
    def run(*arguments: str) -> Said:
        return apart(*arguments, app=app)

    ours = ["endpoint.disabled", "endpoint.failing", "endpoint.ping"]
    assert [row[0] for row in _rows(run("list", "--only", "endpoint.*"))] == ours
    assert _json(run("example", "endpoint.ping"))["endpoint_id"]
    document = _json(run("openapi"))
    assert document["webhooks"]
    assert not set(ours) & set(document["webhooks"])
    assert list(_json(run("openapi", "--only", "endpoint.*"))["webhooks"]) == ours
    assert set(ours) < set(_json(run("openapi", "--all"))["webhooks"])
    page = run("docs", "--only", "endpoint.ping").out
    assert "## `endpoint.ping`" in page


@pytest.mark.parametrize("command", ["openapi", "docs"])
def test_what_is_written_is_what_would_be_printed(
    events: Events, command: str, tmp_path: Path
) -> None:
    printed = events(command, "--only", "odd.*").out
    said = events(command, "--only", "odd.*", "--output", "made")
    assert said == (0, "", "")
    assert (tmp_path / "made").read_text(encoding="utf-8") == printed


def test_a_file_is_replaced_in_one_step_and_keeps_its_mode_and_its_link(
    events: Events, tmp_path: Path
) -> None:
    made, link = tmp_path / "made.json", tmp_path / "link.json"
    made.write_text("before")
    made.chmod(0o640)
    link.symlink_to(made)
    with made.open() as reader:  # who reads it meanwhile reads the old one to its end
        assert events("openapi", "--output", "link.json").code == 0
        assert reader.read() == "before"
    assert json.loads(made.read_text(encoding="utf-8"))["openapi"] == "3.1.0"
    assert link.is_symlink()
    assert stat.S_IMODE(made.stat().st_mode) == 0o640
    assert not list(tmp_path.glob(".*.part"))


@pytest.mark.parametrize(
    ("output", "problem"),
    [
        (".", "it is a folder"),
        ("..", "it is a folder"),
        ("/", "it is a folder"),
        ("", "it is a folder"),  # the current one
        ("nowhere/made.json", "No such file or directory"),
        ("events_app.py/made.json", "Not a directory"),
        ("n" * 300, "File name too long"),
        ("loop", "Too many levels of symbolic links"),
        ("socket", "it is neither a file nor a pipe"),
        ("closed/made.json", "Permission denied"),
    ],
)
def test_a_file_that_cannot_be_written_is_an_error_and_leaves_nothing_behind(
    events: Events, tmp_path: Path, output: str, problem: str
) -> None:
    if output.startswith("closed") and os.geteuid() == 0:
        pytest.skip("every folder is open to root")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "closed").mkdir(mode=0o555)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket")
    before = set(tmp_path.iterdir()) | {tmp_path / "app.db", tmp_path / "__pycache__"}
    said = _refused(events("openapi", "--output", output))
    assert said.startswith(f"error: output: {output or '.'} cannot be written: {problem}"), said
    assert {each for each in tmp_path.iterdir() if not each.name.startswith("app")} <= before


def test_a_name_that_no_file_can_have_is_an_error_of_ours() -> None:
    with pytest.raises(ConfigurationError, match="embedded null byte"):
        put("text", Path("a\0b"))


def test_a_name_as_long_as_names_can_be_is_written(events: Events, tmp_path: Path) -> None:
    assert events("openapi", "--output", "n" * 255) == (0, "", "")
    assert (tmp_path / ("n" * 255)).stat().st_size > 1000


@pytest.mark.parametrize("output", ["pipe", "link"])
def test_a_pipe_stays_one_and_its_reader_gets_what_would_be_printed(
    events: Events, tmp_path: Path, output: str
) -> None:
    printed = events("docs", "--only", "odd.*").out
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    # Readable and writable at once, so that nothing waits here, whoever opens it.
    with open(os.open(tmp_path / "pipe", os.O_RDWR | os.O_NONBLOCK), "rb") as reader:
        assert events("docs", "--only", "odd.*", "--output", output) == (0, "", "")
        assert (tmp_path / "pipe").is_fifo()
        assert reader.read(len(printed.encode()) + 1) == printed.encode()
    assert (tmp_path / "link").is_symlink()


def test_a_device_stays_one(events: Events, tmp_path: Path) -> None:
    """Nodes of our own: one takes everything, the other has no room."""
    empty, full = tmp_path / "empty", tmp_path / "full"
    try:
        os.mknod(empty, stat.S_IFCHR | 0o600, os.makedev(1, 3))
        os.mknod(full, stat.S_IFCHR | 0o600, os.makedev(1, 7))
        empty.open("rb").close()
    except PermissionError:
        pytest.skip("needs a user and a file system that may have devices")
    assert events("openapi", "--output", "empty") == (0, "", "")
    assert "No space left on device" in _refused(events("openapi", "--output", "full"))
    assert empty.is_char_device()
    assert full.is_char_device()
    assert not list(tmp_path.glob(".*.part"))


def test_what_fails_before_it_is_written_leaves_the_old_file(
    events: Events, tmp_path: Path
) -> None:
    source = tmp_path / "events_app.py"
    source.write_text(
        APPLICATION.replace("row: int", "row: int = Field(gt=1, lt=2)"), encoding="utf-8"
    )
    made = tmp_path / "made.json"
    made.write_text("before")
    said = _refused(events("openapi", "--output", "made.json"))
    assert "'trip.boarded': has no example for row" in said
    assert made.read_text() == "before"


def test_an_application_that_there_is_not_is_an_error(events: Events) -> None:
    assert "nowhere" in _refused(events("list", app="nowhere:notifier"))


@pytest.mark.skipif(os.name != "posix", reason="umask")
def test_a_new_file_is_as_readable_as_any_other(events: Events, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.touch()
    events("docs", "--output", "made.md")
    assert (tmp_path / "made.md").stat().st_mode == other.stat().st_mode
