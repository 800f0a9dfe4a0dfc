"""The package's translations are whole, and its templates compile."""

from __future__ import annotations

from pathlib import Path

import pytest
from babel.messages.pofile import read_po
from jinja2.ext import babel_extract

import claimnotify.templates
from claimnotify.templates.brand import Brand
from claimnotify.templates.environment import Environments
from claimnotify.templates.translations import Languages

_FOLDER = Path(claimnotify.templates.__file__).parent
_TEMPLATES = sorted([*_FOLDER.rglob("*.html"), *_FOLDER.rglob("*.txt")])
_OPTIONS = {"trimmed": "true", "newstyle_gettext": "true", "silent": "false"}
_FROM_CODE = {"yes", "no"}
"""Texts of the filter `plain`."""


def _texts() -> set[str]:
    texts = set(_FROM_CODE)
    for path in _TEMPLATES:
        with path.open("rb") as file:
            for _, _, message, _ in babel_extract(file, ("_", "gettext"), [], _OPTIONS):
                texts.add(message if isinstance(message, str) else message[0])
    return texts


@pytest.mark.parametrize("path", sorted(_FOLDER.glob("locales/*/LC_MESSAGES/*.po")), ids=str)
def test_every_text_is_translated_and_nothing_else(path: Path) -> None:
    with path.open("rb") as file:
        catalogue = read_po(file)
    translated = {each.id for each in catalogue if each.id and each.string and not each.fuzzy}
    assert translated == _texts()


def test_german_comes_with_the_package() -> None:
    assert Languages([_FOLDER / "locales"]).available() == {"en", "de"}


def test_every_template_of_the_package_compiles() -> None:
    environments = Environments(template_dir=None, brand=Brand(), public_url="")
    assert len(_TEMPLATES) > 50
    for path in _TEMPLATES:
        name = path.relative_to(_FOLDER).as_posix()
        environments.for_locale("en").get_template(name)


def test_translations_keep_their_placeholders() -> None:
    Languages([_FOLDER / "locales"]).check()
