"""A response takes no more memory than its cap, whatever the peer sends and however it is packed."""

from __future__ import annotations

import gzip
import json
import socket
import subprocess
import sys
import threading
import zlib
from collections.abc import Iterator
from itertools import repeat
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]
_HEAD = b"HTTP/1.1 200 OK\r\n"
_CHUNKED = _HEAD + b"Transfer-Encoding: chunked\r\n"
_CAPPED = "200, 16384 bytes, truncated"
_MOST_GROWTH = 6 * 1024 * 1024
_FLOODS = ["bomb", "deflated", "chunked-bomb", "endless", "chunks", "extensions", "trailers"]


def _gibibyte(packed: bytes) -> Iterator[bytes]:
    """A thousand times what unpacks to a mebibyte."""
    return repeat(packed, 1024)


def _flood(path: str) -> Iterator[bytes]:
    """The response's bytes, piece by piece."""
    member = gzip.compress(bytes(1024 * 1024))
    deflated = zlib.compress(bytes(1024 * 1024))
    match path:
        case "bomb":
            length = 1024 * len(member)
            yield _HEAD + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % length
            yield from _gibibyte(member)
        case "deflated":
            yield _HEAD + b"Content-Encoding: deflate\r\n\r\n"
            yield from _gibibyte(deflated)
        case "chunked-bomb":
            yield _CHUNKED + b"Content-Encoding: gzip\r\n\r\n"
            yield from _gibibyte(b"%x\r\n%b\r\n" % (len(member), member))
            yield b"0\r\n\r\n"
        case "endless":
            yield _HEAD + b"\r\n"
            yield from repeat(b"x" * 65_536)
        case "chunks":
            yield _CHUNKED + b"\r\n"
            yield from repeat(b"1\r\na\r\n" * 10_000)
        case "extensions":
            yield _CHUNKED + b"\r\n1;x="
            yield from repeat(b"a" * 65_536)
        case "trailers":
            yield _CHUNKED + b"\r\n2\r\nok\r\n0\r\n"
            yield from repeat(b"X-One: aaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n" * 1000)
        case _:
            yield _HEAD + b"Connection: close\r\nContent-Length: 0\r\n\r\n"


class _Flooding:
    """A server on threads of its own, so that what it sends is not counted; a context manager."""

    def __enter__(self) -> int:
        self._listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, daemon=True).start()
        port: int = self._listener.getsockname()[1]
        return port

    def __exit__(self, *exc_info: object) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            try:
                path = connection.recv(65_536).split(b" ")[1].decode().removeprefix("/")
                for piece in _flood(path):
                    connection.sendall(piece)
            except (OSError, IndexError):
                pass  # the client has had enough, as it should


@pytest.mark.parametrize("engine", ["HttpxEngine", "AiohttpEngine", "HttpxAiohttpEngine"])
def test_memory_stays_flat_whatever_the_response(engine: str) -> None:
    with _Flooding() as port:
        ran = subprocess.run(
            [sys.executable, "-m", "tests.contract.memory_probe", engine, str(port), *_FLOODS],
            cwd=_ROOT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=180,
        )
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout)
    assert found.pop("grown") < _MOST_GROWTH
    broken = dict.fromkeys(("extensions", "trailers"), "ResponseBroken")
    assert found == {**dict.fromkeys(_FLOODS, _CAPPED), **broken}
