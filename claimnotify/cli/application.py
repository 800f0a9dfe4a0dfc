"""The application's notifier, as commands take it: the option that names it, and how it is opened."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from claimnotify.errors import ConfigurationError
from claimnotify.notifier import Notifier

__all__ = ["AppOption", "opened_notifier"]

AppOption = Annotated[
    str, typer.Option("--app", envvar="CLAIMNOTIFY_APP", help="module:attribute of the notifier")
]


@contextmanager
def opened_notifier(app_path: str) -> Iterator[Notifier]:
    """Yield the notifier at `app_path`, or one made from the settings if that is empty; close it after.

    Raises:
        ConfigurationError: Nothing can be loaded from there, or it is no `Notifier`.
    """
    from claimnotify.worker.app import load_notifier

    notifier = load_notifier(app_path)
    if not isinstance(notifier, Notifier):
        raise ConfigurationError("app", f"{app_path} is no Notifier", "Name one.")
    try:
        yield notifier
    finally:
        notifier.close()
