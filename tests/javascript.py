"""Asks the JavaScript libraries from npm about deliveries; installs them on first use."""

from __future__ import annotations

import base64
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Delivery", "NoJavaScript", "verdicts"]

_FOLDER = Path(__file__).with_name("npm")
_FILES = ("package.json", "package-lock.json", ".npmrc", "verify.mjs")
_SECONDS = 300


class NoJavaScript(Exception):
    """Node or npm is missing, or npm could not install the libraries."""


@dataclass(frozen=True)
class Delivery:
    """A webhook as it was received, and the secret or public key to verify it with."""

    secret: str
    body: bytes
    headers: Mapping[str, str]

    def line(self) -> str:
        """Return it as one line of JSON."""
        return json.dumps(
            {
                "id": self.headers["webhook-id"],
                "timestamp": int(self.headers["webhook-timestamp"]),
                "body": base64.b64encode(self.body).decode(),
                "headers": dict(self.headers),
                "secret": self.secret,
            }
        )


def verdicts(deliveries: Sequence[Delivery]) -> list[dict[str, dict[str, Any]]]:
    """Return for each delivery, by library, `verified` and the library's own `signature`.

    Raises:
        NoJavaScript: See there.
    """
    done = _run(
        "node",
        "verify.mjs",
        cwd=_installed(),
        given="".join(each.line() + "\n" for each in deliveries),
    )
    return [json.loads(line) for line in done.splitlines()]


def _installed() -> Path:
    """Return a folder with the libraries: one for each state of our files, shared by processes."""
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            raise NoJavaScript(f"{program} is not installed")
    state = hashlib.sha256(b"\0".join((_FOLDER / name).read_bytes() for name in _FILES))
    folder = Path(tempfile.gettempdir()) / f"claimnotify-npm-{os.getuid()}-{state.hexdigest()[:16]}"
    folder.mkdir(mode=0o700, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another process may be installing
        if not (folder / ".done").exists():
            for name in _FILES:
                shutil.copy(_FOLDER / name, folder / name)
            _run("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", cwd=folder)
            (folder / ".done").touch()
    return folder


def _run(*command: str, cwd: Path, given: str = "") -> str:
    try:
        done = subprocess.run(
            command, cwd=cwd, input=given, capture_output=True, text=True, timeout=_SECONDS
        )
    except subprocess.TimeoutExpired as error:
        raise NoJavaScript(f"{command[0]} did not end within {_SECONDS} seconds") from error
    if done.returncode != 0:
        if command[0] == "npm":
            raise NoJavaScript(f"npm could not install the libraries: {done.stderr[-500:]}")
        raise AssertionError(done.stderr)
    return done.stdout
