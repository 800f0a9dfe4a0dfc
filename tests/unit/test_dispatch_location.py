"""What a queue URL means, and what of it is printed."""

from __future__ import annotations

import traceback
from pathlib import Path

import pytest

from claimnotify.dispatch.huey import HueyDispatcher
from claimnotify.dispatch.location import parse_queue_url
from claimnotify.errors import ConfigurationError


@pytest.mark.parametrize(
    ("url", "backend", "target", "printable"),
    [
        ("sqlite:////var/queue.db", "sqlite", "/var/queue.db", "sqlite:////var/queue.db"),
        ("redis://host", "redis", "redis://host", "redis://host"),
        ("redis://host:6379/3", "redis", "redis://host:6379/3", "redis://host:6379/3"),
        ("redis://:s3cret@host/0", "redis", "redis://:s3cret@host/0", "redis://host/0"),
        ("rediss://u:s3cret@host", "redis", "rediss://u:s3cret@host", "rediss://u@host"),
        ("redis://[::1]:6379", "redis", "redis://[::1]:6379", "redis://[::1]:6379"),
        (
            "postgresql+psycopg://u:s3cret@host:5432/name?sslmode=require&password=s3cret",
            "postgresql",
            "postgresql://u:s3cret@host:5432/name?sslmode=require&password=s3cret",
            "postgresql://u@host:5432/name",
        ),
        ("postgres://host/name", "postgresql", "postgresql://host/name", "postgresql://host/name"),
        ("memory://", "memory", "memory://", "memory://"),
    ],
)
def test_urls_are_understood(url: str, backend: str, target: str, printable: str) -> None:
    location = parse_queue_url(url)
    assert (location.backend, location.target, location.printable) == (backend, target, printable)
    assert "s3cret" not in repr(location)


def test_a_relative_sqlite_path_becomes_absolute() -> None:
    assert parse_queue_url("sqlite:///queue.db").target == str(Path("queue.db").absolute())


@pytest.mark.parametrize(
    "url",
    [
        "",
        "nonsense",
        "amqp://u:s3cret@host",
        "redis://u:s3cret@host:port",
        "redis://u:s3cret@",
        "redis://u:s3cret@host/name",
        "redis://u:s3cret@host/0?no_such_option=s3cret",
        "redis://u:s3cret@host/0?socket_timeout=s3cret",
        "redis://u:s3cret@host?db=s3cret",
        "postgresql://u:s3cret@host",
        "postgresql://u:s3cret@host/name?no_such_option=s3cret",
        "postgresql://u:s3cret@[host/name",
        "sqlite://queue.db",
        "sqlite:///",
        "sqlite:///:memory:",
        "sqlite:////",
    ],
)
def test_a_bad_url_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        HueyDispatcher(url, signing_key=b"k" * 32)
    assert refused.value.field == "queue_url"
    assert refused.value.problem
    assert refused.value.remedy
    lines = traceback.format_exception(refused.value, limit=0)
    assert "s3cret" not in "".join(lines)


def test_the_password_is_struck_out_of_what_a_driver_says() -> None:
    url = "redis://u:s3cret@host"
    said = parse_queue_url(url).redact(f"no connection to {url} with 's3cret'")
    assert said == "no connection to *** with '***'"


@pytest.mark.parametrize(
    ("options", "field"),
    [({"namespace": "with-dash"}, "namespace"), ({"queues": ("with space",)}, "queues")],
)
def test_names_that_a_store_would_alter_are_refused(options: dict[str, object], field: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        HueyDispatcher("memory://", signing_key=b"k" * 32, **options)  # type: ignore[arg-type]
    assert refused.value.field == field


def test_an_unknown_queue_cannot_be_listened_to_and_its_ring_is_harmless() -> None:
    dispatcher = HueyDispatcher("memory://", signing_key=b"k" * 32)
    dispatcher.ring("no_such_queue")
    with pytest.raises(ConfigurationError, match="no_such_queue"):
        dispatcher.consumer(("no_such_queue",), lambda queue: None)
    dispatcher.close()
