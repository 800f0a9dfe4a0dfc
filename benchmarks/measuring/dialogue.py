"""The child's side of a dialogue with a benchmark program: a JSON line in, a JSON line out.

Needs the standard library only, since it runs in both environments.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from typing import Any


def answer(handlers: Mapping[str, Callable[..., Any]]) -> None:
    """Answer commands from standard input with the handler of that name, until it ends.

    Args:
        handlers: What to call, by the command's `do`; the command's other fields are keywords, and
            what is returned becomes the `answer` of the reply. An exception ends the process.
    """
    replies = sys.stdout
    sys.stdout = sys.stderr  # what a library prints must not be taken for a reply
    for line in sys.stdin:
        command = json.loads(line)
        result = handlers[command.pop("do")](**command)
        replies.write(json.dumps({"answer": result}) + "\n")
        replies.flush()
