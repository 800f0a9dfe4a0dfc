"""The demonstration deletes what it made, and nothing else."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from claimnotify.cli.demo_folder import prepare
from claimnotify.errors import ConfigurationError

_MAIL = ("mail/0001-ana@example.com.eml", "mail/0001-ana@example.com.html")
_MADE = ("demo.db", "demo.db-wal", "queue.db", "worker.log", *_MAIL)


def _write(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"this is {name}")


def _files(folder: Path) -> set[str]:
    """Return the files in a folder that are not the demonstration's mark."""
    found = {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir()}
    return {name for name in found if name != ".claimnotify-demo"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "some" / "demo"


def test_a_folder_is_made_or_an_empty_one_taken(folder: Path) -> None:
    prepare(folder)
    assert (folder / "mail").is_dir()
    shutil.rmtree(folder)
    folder.mkdir()
    prepare(folder)
    assert (folder / "mail").is_dir()


def test_what_a_demonstration_made_is_deleted_and_nothing_else(folder: Path) -> None:
    others = {"notes.txt", "mail/notes.html", "mail/0001-bob@example.com.eml", "sub/demo.db"}
    prepare(folder)
    _write(folder, *_MADE, *others)
    prepare(folder)
    assert _files(folder) == others


def test_what_a_demonstration_before_the_mark_made_is_deleted(folder: Path) -> None:
    _write(folder, *_MADE)
    prepare(folder)
    assert _files(folder) == set()
    _write(folder, *_MADE)
    prepare(folder)
    assert _files(folder) == set(), "it is marked now"


@pytest.mark.parametrize(
    "names",
    [
        ("notes.txt",),
        ("demo.db",),
        ("worker.log", "mail/0001-ana@example.com.eml"),
        (*_MADE, "notes.txt"),
        (*_MADE, "mail/notes.eml"),
        (*_MADE, ".claimnotify-demo"),  # whose text is another
    ],
)
def test_a_folder_with_files_of_others_is_refused_and_left_as_it_is(
    folder: Path, names: tuple[str, ...]
) -> None:
    _write(folder, *names)
    with pytest.raises(ConfigurationError, match="not empty, and no demo made it") as refused:
        prepare(folder)
    assert refused.value.remedy
    found = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert found == set(names)


def test_a_mail_folder_that_is_a_link_is_not_followed(folder: Path, tmp_path: Path) -> None:
    prepare(folder)
    (folder / "mail").rmdir()
    _write(tmp_path, *_MAIL)
    (folder / "mail").symlink_to(tmp_path / "mail")
    with pytest.raises(ConfigurationError, match="is a link"):
        prepare(folder)
    assert _files(tmp_path) >= set(_MAIL)


def test_what_is_no_folder_is_refused(tmp_path: Path) -> None:
    _write(tmp_path, "notes.txt")
    with pytest.raises(ConfigurationError, match="is no folder"):
        prepare(tmp_path / "notes.txt")
    with pytest.raises(ConfigurationError, match="cannot be used: Not a directory"):
        prepare(tmp_path / "notes.txt" / "demo")
    assert (tmp_path / "notes.txt").read_text() == "this is notes.txt"
