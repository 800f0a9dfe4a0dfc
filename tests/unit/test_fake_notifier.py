"""The notifier for tests keeps to itself: no environment, nothing left behind, a database on request."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.orm import Session

from claimnotify import Event, Recipient
from claimnotify.errors import ClaimnotifyError, ConfigurationError
from claimnotify.model.events import catalogue
from claimnotify.testing import RecordingDispatcher, fake_notifier

ANA = Recipient(id="cus_7", email="ana@example.com")


class BagFound(Event, type="fake.bag_found", channels=("in_app", "email")):
    bag: str


catalogue.remove(BagFound)


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which temporary folders are made."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def test_the_environment_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "NOTIFICATIONS_ENABLED": "false",
        "CLAIMNOTIFY_DATABASE_URL": "postgresql+psycopg://app@127.0.0.1/app",
        "CLAIMNOTIFY_TENANT": "airline",
        "CLAIMNOTIFY_RATE_LIMITS": "email=1/day",
        "CLAIMNOTIFY_CONCURRENCY": "none",
        "SMTP_HOST": "mail.example.com",
    }.items():
        monkeypatch.setenv(name, value)
    with fake_notifier() as notifier:
        for bag in "12":
            notifier.notify(BagFound(bag=bag), to=ANA)
        notifier.drain()
        assert len(notifier.outbox) == 2
        assert notifier.settings.tenant == "default"
        assert notifier.settings.smtp_host == ""


@pytest.mark.parametrize(
    "options",
    [
        {"no_such_setting": 1},
        {"concurrency": "none"},
        {"retry": 5},
        {"template_dir": "/nowhere"},
        {"queue_url": "inline://"},
        {"dispatcher": RecordingDispatcher()},
    ],
    ids=lambda options: next(iter(options)),
)
def test_a_refused_option_is_named_and_leaves_nothing_behind(
    options: dict[str, Any], temporary: Path
) -> None:
    with pytest.raises(ConfigurationError) as refused:
        fake_notifier(**options)
    assert refused.value.field in options
    assert refused.value.remedy
    assert list(temporary.iterdir()) == []


def test_its_own_database_is_gone_afterwards(temporary: Path) -> None:
    with fake_notifier():
        assert len(list(temporary.iterdir())) == 1
    assert list(temporary.iterdir()) == []


def test_it_works_in_the_database_of_the_applications_sessions(
    sqlite_url: str, temporary: Path
) -> None:
    engine = create_engine(sqlite_url)
    with fake_notifier(database_url=sqlite_url) as notifier:
        with Session(engine) as session:
            notifier.notify(BagFound(bag="lost"), to=ANA, session=session)
            session.rollback()
            notifier.notify(BagFound(bag="found"), to=ANA, session=session)
            session.commit()
        notifier.drain()
        assert len(notifier.outbox) == 1
        assert [note.payload for note in notifier.history()] == [{"bag": "found"}]
    with engine.connect() as connection:  # it was not deleted
        count = text("SELECT count(*) FROM claimnotify_notifications")
        assert connection.execute(count).scalar() == 1
    engine.dispose()
    assert list(temporary.iterdir()) == []


def test_a_wrong_database_is_a_clear_error() -> None:
    with pytest.raises(ClaimnotifyError, match=r"^database_url: "):
        fake_notifier(database_url="nonsense")
