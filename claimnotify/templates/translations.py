"""Which language a recipient reads, and its messages, read from `.po` files when first needed."""

from __future__ import annotations

import gettext
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from babel import Locale, UnknownLocaleError

from claimnotify.errors import TemplateError

if TYPE_CHECKING:
    from babel.messages.catalog import Catalog, Message

__all__ = ["DOMAIN", "SOURCE_LANGUAGE", "Language", "Languages"]

DOMAIN = "claimnotify"
SOURCE_LANGUAGE = "en"
_PLACEHOLDER = re.compile(r"(?<!%)(?:%%)*%\((\w+)\)")


@dataclass(frozen=True, slots=True, eq=False)
class Language:
    """A language messages are written in.

    Args:
        tag: The BCP 47 tag, for `lang` attributes: `de-AT`.
        direction: `ltr` or `rtl`.
        locale: Babel's locale, for amounts and dates.
        translations: The messages.
    """

    tag: str
    direction: str
    locale: Locale = field(repr=False)
    translations: gettext.NullTranslations = field(repr=False)


class Languages:
    """The languages found in some folders of translations.

    Args:
        folders: Each has `<language>/LC_MESSAGES/claimnotify.po`; an earlier folder's messages
            go before a later one's.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        self._files: dict[str, list[Path]] = {}
        for folder in folders:
            for path in sorted(folder.glob(f"*/LC_MESSAGES/{DOMAIN}.po")):
                self._files.setdefault(_normal(path.parent.parent.name), []).append(path)
        self.negotiate = lru_cache(maxsize=256)(self._negotiate)
        self._language = lru_cache(maxsize=64)(self._read_language)

    def available(self) -> set[str]:
        """Return the names of the languages there are messages for, as `de` or `pt_br`."""
        return {SOURCE_LANGUAGE, *self._files}

    def _negotiate(self, locale: str) -> Language:
        """Return the best language for a locale: `de-AT`, else `de`, else English."""
        names = tuple(_shorter(_normal(locale)))
        if self.available().isdisjoint(names):
            names = (SOURCE_LANGUAGE,)
        known = _known_locale(names)
        return self._language(known, names) if known else self._language(Locale("en"), names)

    def _read_language(self, locale: Locale, names: tuple[str, ...]) -> Language:
        paths = [path for name in names for path in self._files.get(name, ())]
        translations = gettext.NullTranslations()
        for path in reversed(paths):
            read = _compile(path)
            read.add_fallback(translations)
            translations = read
        same = locale.language == names[-1]
        tag = str(locale).replace("_", "-") if same else names[0].replace("_", "-")
        return Language(tag, locale.text_direction, locale, translations)

    def check(self) -> None:
        """Read every file, and compare the placeholders of each message with its original's.

        Raises:
            TemplateError: If a file is malformed or a translation has a placeholder of its own.
        """
        for path in (path for paths in self._files.values() for path in paths):
            for message in _read(path):
                strange = sorted(_placeholders(message.string) - _placeholders(message.id))
                if message.id and not message.fuzzy and strange:
                    raise TemplateError(
                        _where(path, message),
                        f"the translation has the placeholder {strange[0]!r}, the original has not",
                        "Use the placeholders of the original.",
                    )


def _normal(locale: str) -> str:
    return locale.replace("-", "_").lower()


def _shorter(name: str) -> Iterator[str]:
    parts = name.split("_")
    for length in range(len(parts), 0, -1):
        yield "_".join(parts[:length])


def _known_locale(names: Sequence[str]) -> Locale | None:
    for name in names:
        try:
            return Locale.parse(name)
        except (UnknownLocaleError, ValueError):
            continue
    return None


def _read(path: Path) -> Catalog:
    from babel.messages.pofile import PoFileError, read_po

    try:
        with path.open("rb") as file:
            return read_po(file, locale=None, abort_invalid=True)
    except (PoFileError, ValueError, OSError, LookupError) as error:
        line = getattr(error, "lineno", None)
        where = _relative(path) if line is None else f"{_relative(path)}, line {line}"
        raise TemplateError(where, "is not a readable .po file", "Correct the file.") from error


def _compile(path: Path) -> gettext.GNUTranslations:
    from babel.messages.mofile import write_mo

    compiled = BytesIO()
    write_mo(compiled, _read(path))
    compiled.seek(0)
    return gettext.GNUTranslations(compiled)


def _placeholders(texts: str | Sequence[str] | None) -> set[str]:
    every = (texts,) if isinstance(texts, str) else texts or ()
    return {name for text in every for name in _PLACEHOLDER.findall(text or "")}


def _where(path: Path, message: Message) -> str:
    return f"{_relative(path)}, line {message.lineno}" if message.lineno else _relative(path)


def _relative(path: Path) -> str:
    return "/".join(path.parts[-4:])
