"""Reads the pairs that options name: `name=text` of metadata, `Name: value` of headers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from claimnotify.errors import InvalidInput

__all__ = ["headers_of", "metadata_of"]

_LARGEST = 64 * 1024
"""Characters that a file of headers may have; far more than an endpoint may have headers."""


def metadata_of(texts: Iterable[str] | None) -> dict[str, str]:
    """Return what `--metadata name=text` says.

    Raises:
        InvalidInput: One has no `=`, or a name is given twice.
    """
    return _pairs(texts or (), "=", "metadata")


def headers_of(texts: Iterable[str] | None) -> dict[str, str]:
    """Return what `--header` says: `Name: value`, or `@FILE` with one of these a line.

    A file, or standard input as `@-`, keeps a secret out of the shell's history and the list of
    processes. Empty lines in it are passed over.

    Raises:
        InvalidInput: One has no `:`, a name is given twice, or a file cannot be read. The error
            never repeats the text, which may be a secret.
    """
    return _pairs(_lines(texts or ()), ":", "header")


def _lines(texts: Iterable[str]) -> Iterator[str]:
    for text in texts:
        if text.startswith("@"):
            lines = list(filter(str.strip, _read(text[1:]).splitlines()))
            if not lines:  # as standard input is when it is read again
                raise InvalidInput("header", f"{text} holds none", "Give one a line.")
            yield from lines
        else:
            yield text


def _read(path: str) -> str:
    try:
        # Standard input stays open: it is not ours.
        with open(path if path != "-" else 0, encoding="utf-8", closefd=path != "-") as file:
            text = file.read(_LARGEST + 1)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise InvalidInput(
            "header", f"@{path} cannot be read: {why}", "Name a text file, or - for standard input."
        ) from None
    if len(text) > _LARGEST:
        raise InvalidInput("header", f"@{path} is no list of headers", "Give one a line.")
    return text


def _pairs(texts: Iterable[str], mark: str, field: str) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for text in texts:
        name, found, value = text.partition(mark)
        if not found or name.strip() in pairs:
            raise InvalidInput(
                field, f"is not of the form name{mark}text, or is given twice", "Give each once."
            )
        pairs[name.strip()] = value.strip()
    return pairs
