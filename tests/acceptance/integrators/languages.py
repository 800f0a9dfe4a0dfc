"""Makes a program of the page's verifier in each language, and runs it on a request.

What a program is given and says is the same everywhere (see `main.*`): the headers are in the
environment as CGI has them, beside SECRET and NOW, and the body comes through stdin. It prints
`verified`, or `refused: why` and ends with 3; whatever else happens is a fault of the verifier.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.acceptance.integrators.page import blocks

__all__ = ["LANGUAGES", "Language", "Program"]

_HERE = Path(__file__).parent
_REFUSED = 3


@dataclass(frozen=True, kw_only=True)
class Language:
    """How the page's blocks of one language become a program.

    Args:
        tag: The tag of its fenced blocks: the first verifies, the second checks Ed25519.
        needs: Commands that must be installed.
        package: The Debian package that has them.
        files: What each file of the program consists of: names of files beside this module, or
            the page's `verifier` and `public_key`.
        build: The command that compiles it, if there is one.
        run: The command that runs it.
        call: How the verifier calls the check of the HMAC, and what a reader with a public key
            is told to put there; empty where the page has no such function.
    """

    tag: str
    needs: tuple[str, ...]
    package: str
    files: Mapping[str, tuple[str, ...]]
    build: tuple[str, ...] = ()
    run: tuple[str, ...]
    call: tuple[str, str] = ("", "")

    def missing(self) -> list[str]:
        """Return the commands that are not installed."""
        return [name for name in self.needs if shutil.which(name) is None]

    def program(self, folder: Path, *, public_key: bool = False) -> Program:
        """Write the program into `folder`, compile it, and return it.

        Args:
            folder: An empty folder.
            public_key: Whether it is to verify with a public key.
        """
        verifier, *others = blocks(self.tag)
        hmac, ed25519 = self.call
        if public_key:
            assert verifier.count(hmac) == 1
            verifier = verifier.replace(hmac, ed25519)
        parts = {"verifier": verifier, "public_key": others[0] if hmac else ""}
        for name, contents in self.files.items():
            path = folder / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(
                "\n".join(
                    parts[part] if part in parts else (_HERE / part).read_text(encoding="utf-8")
                    for part in contents
                ),
                encoding="utf-8",
            )
        if self.build:
            built = subprocess.run(
                self.build,
                cwd=folder,
                env={**os.environ, **_offline(folder)},
                capture_output=True,
                text=True,
                timeout=300,
            )
            assert built.returncode == 0, built.stdout + built.stderr
        return Program(folder=folder, command=self.run)


@dataclass(frozen=True, kw_only=True)
class Program:
    """A verifier that can be run.

    Args:
        folder: Where it lies.
        command: How to run it there.
    """

    folder: Path
    command: tuple[str, ...]

    def __call__(
        self, secret: str, headers: Mapping[str, str], body: bytes, *, now: float | None = None
    ) -> str:
        """Return why the request is refused, or `verified`.

        Args:
            secret: The secret or the public key.
            headers: The request's headers.
            body: The request's body.
            now: Seconds since 1970; the real time unless given.
        """
        result = self.run(secret, headers, body, now=now)
        said = result.stdout.decode("utf-8", "replace").strip()
        if result.returncode == 0 and said == "verified":
            return said
        assert result.returncode == _REFUSED, (result.returncode, said, result.stderr)
        assert said.startswith("refused: ")
        return said.removeprefix("refused: ")

    def run(
        self, secret: str, headers: Mapping[str, str], body: bytes, *, now: float | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        """Run it and return how it ended, whatever it did."""
        environment = {
            f"HTTP_{name.upper().replace('-', '_')}": value
            for name, value in headers.items()
            if name.startswith("webhook-")
        }
        if now is not None:
            environment["NOW"] = str(now)
        return subprocess.run(
            self.command,
            cwd=self.folder,
            env={**os.environ, **environment, "SECRET": secret},
            input=body,
            capture_output=True,
            timeout=60,
        )


def _offline(folder: Path) -> dict[str, str]:
    """Return what keeps Go's tools beside `folder` and off the network."""
    return {
        "GOCACHE": str(folder.parent / "go-cache"),
        "GOPATH": str(folder.parent / "go-path"),
        "GOFLAGS": "-mod=mod",
        "GOPROXY": "off",
        "GOTOOLCHAIN": "local",
    }


LANGUAGES = (
    Language(
        tag="python",
        needs=(),
        package="python3",
        files={"verifier.py": ("verifier",), "program.py": ("main.py",)},
        # Neither this project nor what it depends on can be imported.
        run=(sys.executable, "-S", "-E", "program.py"),
    ),
    Language(
        tag="js",
        needs=("node",),
        package="nodejs",
        files={"program.js": ("verifier", "public_key", "main.js")},
        run=("node", "program.js"),
        call=("  checkHmac(secret, signed", "  checkEd25519(secret, signed"),
    ),
    Language(
        tag="php",
        needs=("php",),
        package="php-cli",
        files={
            "verifier.php": ("verifier",),
            "public_key.php": ("public_key",),
            "program.php": ("main.php",),
        },
        run=("php", "program.php"),
        call=('check_hmac($secret, "', 'check_ed25519($secret, "'),
    ),
    Language(
        tag="go",
        needs=("go",),
        package="golang-go",
        files={
            "go.mod": ("go.mod",),
            "main.go": ("main.go",),
            "webhooks/verifier.go": ("verifier",),
            "webhooks/public_key.go": ("public_key",),
        },
        build=("go", "build", "-o", "program", "."),
        run=("./program",),
        call=("return checkHMAC(", "return checkEd25519("),
    ),
    Language(
        tag="ruby",
        needs=("ruby",),
        package="ruby",
        files={"program.rb": ("verifier", "public_key", "main.rb")},
        run=("ruby", "-w", "program.rb"),
        call=('check_hmac(secret, "', 'check_ed25519(secret, "'),
    ),
    Language(
        tag="java",
        needs=("javac", "java"),
        package="default-jdk-headless",
        files={
            "WebhookVerifier.java": ("verifier",),
            "WebhookPublicKey.java": ("public_key",),
            "Main.java": ("Main.java",),
        },
        build=("javac", "-Xlint:all", "-Werror", "-encoding", "UTF-8", "Main.java"),
        run=("java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "Main"),
        call=("  checkHmac(secret, signed", "  WebhookPublicKey.checkEd25519(secret, signed"),
    ),
    Language(
        tag="csharp",
        needs=("mcs", "mono"),
        package="mono-mcs",
        files={"WebhookVerifier.cs": ("verifier",), "Main.cs": ("Main.cs",)},
        build=("mcs", "-warnaserror", "-out:program.exe", "WebhookVerifier.cs", "Main.cs"),
        run=("mono", "program.exe"),
    ),
)
