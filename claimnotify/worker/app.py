"""Finds the notifier that a worker works for: the application's own, or one made from settings."""

from __future__ import annotations

import importlib
import os
import sys
from operator import attrgetter
from typing import Any

from claimnotify.errors import ClaimnotifyError, ConfigurationError
from claimnotify.worker.process import WorkerNotifier

__all__ = ["load_notifier"]

_REMEDY = "Give --app module:attribute, naming a Notifier or a function that returns one."


def load_notifier(app: str) -> WorkerNotifier:
    """Return the notifier that `app` names.

    Args:
        app: `module:attribute`; the module is also looked for in the current folder, and the
            attribute is a `Notifier` or a function without arguments that returns one. Empty: a
            notifier is made by `Notifier.from_settings()`.

    Raises:
        ConfigurationError: If there is no such thing, or it is something else.
    """
    if not app:
        from claimnotify.notifier import Notifier

        return Notifier.from_settings()
    notifier = _made(app, _named(app))
    if isinstance(notifier, type) or not isinstance(notifier, WorkerNotifier):
        kind = type(notifier).__name__
        raise ConfigurationError("app", f"{app} is of type {kind}, not a Notifier", _REMEDY)
    return notifier


def _named(app: str) -> Any:
    name, colon, attribute = app.partition(":")
    if not colon or not name or not attribute:
        raise ConfigurationError("app", f"{app!r} is not of the form module:attribute", _REMEDY)
    folder = os.getcwd()
    if folder not in sys.path and "" not in sys.path:
        sys.path.insert(0, folder)
    try:
        module = importlib.import_module(name)
    except ClaimnotifyError:
        raise
    except ModuleNotFoundError as error:
        missing = error.name or name
        problem = f"the module {missing} was not found"
        if not f"{name}.".startswith(f"{missing}."):
            problem = f"{name} imports {missing}, which was not found"
        raise ConfigurationError(
            "app", problem, f"Run the worker in the folder that has it ({folder} is searched)."
        ) from error
    except Exception as error:
        problem = f"importing {name} failed with {type(error).__name__}"
        remedy = f'To see where, run: python -c "import {name}".'
        raise ConfigurationError("app", problem, remedy) from error
    try:
        return attrgetter(attribute)(module)
    except AttributeError as error:
        raise ConfigurationError("app", f"{name} has no {attribute}", _REMEDY) from error


def _made(app: str, found: Any) -> Any:
    if not callable(found) or isinstance(found, WorkerNotifier):
        return found
    try:
        return found()
    except ClaimnotifyError:
        raise
    except Exception as error:
        problem = f"calling {app} failed with {type(error).__name__}"
        remedy = "Name a function that needs no argument, and call it in Python to see where."
        raise ConfigurationError("app", problem, remedy) from error
