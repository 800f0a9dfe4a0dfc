"""Runs the Python blocks of one Markdown page, in order, in one namespace: `run_page.py PAGE`.

What a page can say to the runner, in comments that readers do not see:

    <!-- setup            Python to run here, for what the page takes for granted
    ...
    -->
    <!-- no-run: why -->  the next Python block is not run; the reason is required

A block with a title, as in ```python title="acme_chat.py", is saved under that name and imported.
It needs the standard library only, so that it also runs where nothing but claimnotify is installed.
`await` works at the top level of a block. A failure exits non-zero with a traceback into the page.
"""

from __future__ import annotations

import ast
import asyncio
import importlib
import inspect
import linecache
import re
import sys
import textwrap
import types
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

_FENCE = re.compile(r"(?P<indent>\s*)(?P<fence>`{3,}|~{3,})\s*(?P<language>[\w+-]*)(?P<rest>.*)")
_TITLE = re.compile(r'title="(?P<name>\w+)\.py"')
_SETUP = re.compile(r"<!--\s*setup\s*")
_NO_RUN = re.compile(r"<!--\s*no-run:\s*(?P<reason>.*?)\s*-->")
_PYTHON = {"python", "py", "python3", "pycon"}


class PageError(Exception):
    """The page tells the runner something it does not understand."""


@dataclass(frozen=True)
class Block:
    """A piece of Python on a page.

    Args:
        line: The number of the line before its first, so that tracebacks point into the page.
        code: The source.
        skipped: Why it is not run, or empty.
        module: The name of the module it is to be imported as, or empty.
    """

    line: int
    code: str
    skipped: str = ""
    module: str = ""


def blocks(text: str) -> Iterator[Block]:
    """Yield the set-up comments and Python blocks of the page, in order.

    Raises:
        PageError: A block or comment is not closed, or a `no-run` has no reason or no block.
    """
    lines = text.splitlines()
    number = 0
    skip = ""
    while number < len(lines):
        start, line = number, lines[number]
        number += 1
        if found := _NO_RUN.search(line):
            skip = found["reason"]
            if len(skip) < 10:
                raise PageError(f"line {start + 1}: say why the block is not run")
        elif "no-run" in line and "<!--" in line:
            raise PageError(f"line {start + 1}: write <!-- no-run: reason -->")
        elif _SETUP.match(line):
            number = _end(lines, number, lambda each: each.strip() == "-->", start)
            yield Block(start + 1, "\n".join(lines[start + 1 : number - 1]))
        elif found := _FENCE.match(line):
            fence = found["fence"]
            number = _end(lines, number, lambda each, fence=fence: each.strip() == fence, start)
            if found["language"].lower() in _PYTHON:
                code = textwrap.dedent("\n".join(lines[start + 1 : number - 1]))
                title = _TITLE.search(found["rest"])
                yield Block(start + 1, code, skip, title["name"] if title else "")
                skip = ""
        if skip and number - start == 1 and line.strip() and not _NO_RUN.search(line):
            raise PageError(f"line {start + 1}: a no-run comment stands right before its block")
    if skip:
        raise PageError("a no-run comment has no block")


def _end(lines: Sequence[str], number: int, is_end: Callable[[str], bool], start: int) -> int:
    """Return the number after the first line from `number` on that ends what began at `start`."""
    for index in range(number, len(lines)):
        if is_end(lines[index]):
            return index + 1
    raise PageError(f"line {start + 1}: is not closed")


def run(page: Path) -> int:
    """Run the page's blocks and return how many were run."""
    module = types.ModuleType("page_" + re.sub(r"\W", "_", page.stem))
    sys.modules[module.__name__] = module  # annotations of classes are looked up there
    linecache.checkcache(str(page))
    done = 0
    with asyncio.Runner() as runner:
        for block in blocks(page.read_text(encoding="utf-8")):
            if block.skipped:
                continue
            done += 1
            if block.module:
                _import(block)
                continue
            code = compile(
                "\n" * block.line + block.code,
                str(page),
                "exec",
                flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT,
                dont_inherit=True,
            )
            if code.co_flags & inspect.CO_COROUTINE:
                runner.run(_awaited(code, module))
            else:
                exec(code, module.__dict__)
    return done


def _import(block: Block) -> None:
    here = str(Path.cwd())
    Path(f"{block.module}.py").write_text(block.code, encoding="utf-8")
    if here not in sys.path:
        sys.path.insert(0, here)
    importlib.invalidate_caches()
    importlib.import_module(block.module)


async def _awaited(code: types.CodeType, module: types.ModuleType) -> None:
    await eval(code, module.__dict__)


if __name__ == "__main__":
    path = Path(sys.argv[1]).resolve()
    print(f"{run(path)} blocks of {path.name} ran", flush=True)
