"""The doorbell while its server is down, hangs or comes back, and what strangers put in the queue."""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from claimnotify.dispatch.backends import backend_for
from claimnotify.dispatch.huey import HueyDispatcher
from claimnotify.dispatch.location import parse_queue_url
from claimnotify.testing.dispatcher_contract import Heard
from tests.ports import free_port
from tests.waiting import until

_KEY = b"k" * 32


class Proxy:
    """Forwards a port of its own to a server, and can be cut off or made to hang."""

    def __init__(self, host: str, port: int) -> None:
        self._server = (host, port)
        self._listener: socket.socket | None = None
        self._sockets: list[socket.socket] = []
        self.hanging = False
        self.port = free_port()

    def up(self) -> None:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self.port))
        listener.listen()
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def down(self) -> None:
        if self._listener is not None:
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        while self._sockets:
            with contextlib.suppress(OSError):
                self._sockets.pop().shutdown(socket.SHUT_RDWR)

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            far = socket.create_connection(self._server)
            self._sockets += [near, far]
            threading.Thread(target=self._pump, args=(near, far), daemon=True).start()

    def _pump(self, near: socket.socket, far: socket.socket) -> None:
        with near, far:
            while True:
                for source in select.select([near, far], [], [])[0]:
                    try:
                        data = source.recv(65536)
                        if not self.hanging:
                            (far if source is near else near).sendall(data)
                    except OSError:
                        return
                    if not data:
                        return


@pytest.fixture(params=["redis", "postgresql"])
def served(request: pytest.FixtureRequest) -> Iterator[tuple[Proxy, str]]:
    """A proxy that is not up yet, and a queue URL through it."""
    url = request.getfixturevalue(
        {"redis": "redis_url", "postgresql": "postgres_url"}[request.param]
    )
    parts = urlsplit(url)
    proxy = Proxy(parts.hostname or "127.0.0.1", parts.port or 0)
    user = parts.netloc.rpartition("@")[0]
    netloc = f"{user}@127.0.0.1:{proxy.port}" if user else f"127.0.0.1:{proxy.port}"
    yield proxy, parts._replace(netloc=netloc).geturl()
    proxy.down()


def _said(caplog: pytest.LogCaptureFixture, text: str) -> int:
    return sum(text in record.getMessage() for record in caplog.records)


def test_a_consumer_outlives_its_server_and_says_so_once(
    served: tuple[Proxy, str], caplog: pytest.LogCaptureFixture
) -> None:
    """Started while the server is down; heard when it is up; the same after a second outage."""
    proxy, url = served
    caplog.set_level(logging.INFO)
    dispatcher = HueyDispatcher(url, signing_key=_KEY, ring_timeout=2.0)
    heard = Heard()
    consumer = dispatcher.consumer(("notifications", "scheduled"), heard)
    consumer.start()
    try:
        for outage in (1, 2):
            until(lambda outage=outage: _said(caplog, "cannot be used") == outage)  # type: ignore[misc]
            proxy.up()
            until(lambda outage=outage: _said(caplog, "usable again") == outage)  # type: ignore[misc]
            ringing = HueyDispatcher(url, signing_key=_KEY, ring_timeout=2.0)
            ringing.ring("notifications")
            ringing.close()
            heard.wait_for("notifications", times=outage)
            if outage == 1:
                proxy.down()
        assert _said(caplog, "cannot be used") == 2
        # Nothing of Huey's own chatter reaches a log at INFO.
        assert not [r for r in caplog.records if r.name.startswith("huey")]
        assert not [r for r in caplog.records if r.levelno <= logging.INFO]
    finally:
        consumer.stop()
        dispatcher.close()


def test_rings_to_a_dead_server_are_said_once_and_work_again_later(
    served: tuple[Proxy, str], caplog: pytest.LogCaptureFixture
) -> None:
    proxy, url = served
    dispatcher = HueyDispatcher(url, signing_key=_KEY, ring_timeout=2.0)
    try:
        dispatcher.ring("notifications")
        until(lambda: _said(caplog, "cannot be used"))
        proxy.up()

        def rung() -> bool:
            dispatcher.ring("notifications")
            return _said(caplog, "usable again") == 1

        until(rung)
        assert _said(caplog, "cannot be used") == 1
    finally:
        dispatcher.close()


@pytest.mark.alone
def test_a_hanging_server_holds_up_neither_ring_nor_close_nor_stop(
    served: tuple[Proxy, str], caplog: pytest.LogCaptureFixture
) -> None:
    proxy, url = served
    proxy.hanging = True
    proxy.up()
    start = time.monotonic()
    dispatcher = HueyDispatcher(url, signing_key=_KEY)
    consumer = dispatcher.consumer(("notifications",), Heard())
    consumer.start()
    for _ in range(100):
        dispatcher.ring("notifications")
    assert time.monotonic() - start < 0.5
    until(lambda: _said(caplog, "cannot be used") == 2)  # the ringer's and the consumer's
    for end in (consumer.stop, dispatcher.close):
        start = time.monotonic()
        end()
        assert time.monotonic() - start < 2
    proxy.down()


@pytest.mark.alone
def test_a_ring_gives_a_hanging_redis_its_timeout_and_no_more(redis_url: str) -> None:
    parts = urlsplit(redis_url)
    proxy = Proxy(parts.hostname or "", parts.port or 0)
    proxy.hanging = True
    proxy.up()
    location = parse_queue_url(f"redis://127.0.0.1:{proxy.port}/0")
    storage = backend_for(location, ring_timeout=0.2).ringing("any")
    start = time.monotonic()
    with pytest.raises(Exception, match=r"(?i)time"):
        storage.queue_size()
    assert time.monotonic() - start < 0.5
    storage.close()
    proxy.down()


class _Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (os.environ["BOMB"],)


@pytest.mark.parametrize("backend", ["sqlite", "redis", "postgresql", "memory"])
def test_what_is_no_ring_of_ours_is_dropped_and_said_once(
    backend: str,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Junk, a pickle and a ring signed with another key: none is believed, none does any harm."""
    monkeypatch.setenv("BOMB", str(tmp_path / "exploded"))
    url = {
        "sqlite": lambda: f"sqlite:///{tmp_path / 'queue.db'}",
        "redis": lambda: request.getfixturevalue("redis_url"),
        "postgresql": lambda: request.getfixturevalue("postgres_url"),
        "memory": lambda: "memory://",
    }[backend]()
    dispatcher = HueyDispatcher(url, signing_key=_KEY, ring_timeout=2.0)
    storage = dispatcher._backend.ringing("claimnotify_notifications")
    storage.prepare()
    for message in (b"junk", b"", pickle.dumps(_Bomb()), b"1." + b"0" * 64 + b".{}"):
        storage.enqueue(message)
    if backend != "memory":
        stranger = HueyDispatcher(url, signing_key=b"another key" * 3, ring_timeout=2.0)
        storage_of_stranger = stranger._ringer()._open_queue("notifications")
        storage_of_stranger.enqueue(storage_of_stranger._ring.s("notifications"))
        storage_of_stranger.let_go()
    expected = 4 if backend == "memory" else 5

    heard = Heard()
    consumer = dispatcher.consumer(("notifications",), heard)
    consumer.start()
    try:
        until(lambda: consumer.dropped == expected)
        assert heard.queues == []
        dispatcher.ring("notifications")
        heard.wait_for("notifications")
        assert _said(caplog, "was dropped") == 1
        assert "junk" not in caplog.text
        assert not (tmp_path / "exploded").exists()
    finally:
        consumer.stop()
        dispatcher.close()
        storage.close()


def test_a_listening_thread_that_dies_is_replaced(tmp_path: Path) -> None:
    dispatcher = HueyDispatcher(f"sqlite:///{tmp_path / 'queue.db'}", signing_key=_KEY)
    heard = Heard()

    def on_ring(queue: str) -> None:
        heard(queue)
        if len(heard.queues) == 1:
            raise SystemExit

    consumer = dispatcher.consumer(("notifications",), on_ring)
    consumer.start()
    try:
        dispatcher.ring("notifications")
        heard.wait_for("notifications")
        dispatcher.ring("notifications")
        heard.wait_for("notifications", times=2)
    finally:
        consumer.stop()
        dispatcher.close()


_FORK = """
if os.fork() == 0:
    dispatcher.ring("scheduled")
    raise SystemExit
os.wait()
"""


@pytest.mark.parametrize(
    "ending",
    [
        "",  # the script just ends
        "raise SystemExit(0)",
        "del dispatcher",
        # A child of a process that is ringing rings on a thread of its own.
        _FORK,
    ],
)
def test_a_ring_of_a_short_script_goes_out(tmp_path: Path, ending: str) -> None:
    url = f"sqlite:///{tmp_path / 'queue.db'}"
    script = (
        "import os\nfrom claimnotify.dispatch.huey import HueyDispatcher\n"
        f"dispatcher = HueyDispatcher({url!r}, signing_key={_KEY!r}, ring_timeout=2.0)\n"
        f"dispatcher.ring('notifications')\n{ending}"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", script], check=True, timeout=30)
    backend = backend_for(parse_queue_url(url), ring_timeout=2.0)
    rung = ["notifications", *(["scheduled"] if "fork" in ending else [])]
    for queue in rung:
        storage = backend.listening(f"claimnotify_{queue}")
        storage.prepare()
        assert storage.queue_size() == 1, queue
        storage.close()


def test_many_processes_may_create_the_postgres_tables_at_once(postgres_url: str) -> None:
    backend = backend_for(parse_queue_url(postgres_url), ring_timeout=2.0)
    storages = [backend.ringing(f"queue_{number}") for number in range(8)]
    errors: list[Exception] = []

    def prepare(storage: Any) -> None:
        try:
            storage.prepare()
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=prepare, args=(storage,)) for storage in storages]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for storage in storages:
        storage.close()
    assert errors == []
