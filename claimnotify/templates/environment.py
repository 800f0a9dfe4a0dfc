"""The Jinja environments: sandboxed, strict, one per language, sharing loader and compiled code."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from functools import lru_cache
from pathlib import Path
from typing import Any

from jinja2 import (
    BytecodeCache,
    ChoiceLoader,
    Environment,
    FileSystemLoader,
    PrefixLoader,
    StrictUndefined,
    TemplateNotFound,
    select_autoescape,
)
from jinja2.bccache import Bucket
from jinja2.sandbox import ImmutableSandboxedEnvironment

from claimnotify.errors import TemplateError
from claimnotify.model.recipients import Recipient
from claimnotify.templates.brand import Brand, Colours
from claimnotify.templates.context import EventView
from claimnotify.templates.formatting import FILTERS
from claimnotify.templates.translations import SOURCE_LANGUAGE, Language, Languages

__all__ = ["SUFFIXES", "VISIBLE", "Environments", "locate"]

_PACKAGE = Path(__file__).parent
_ORIGINALS = "claimnotify"
SUFFIXES = (".html", ".txt")
"""How the names of templates end; nothing else is ever loaded."""
VISIBLE: dict[type, frozenset[str]] = {
    **{
        each: frozenset(field.name for field in fields(each))
        for each in (Brand, Colours, EventView, Recipient)
    },
    Language: frozenset({"tag", "direction"}),
}
"""What templates see of our own values: data, and no method such as `Brand.load`."""


class Environments:
    """Everything templates are loaded from and run in.

    Args:
        template_dir: A folder whose templates and translations go before the package's.
        brand: The brand templates see.
        public_url: The URL templates see.
    """

    def __init__(self, *, template_dir: Path | None, brand: Brand, public_url: str) -> None:
        folders = [folder for folder in (template_dir, _PACKAGE) if folder is not None]
        originals = _Templates(_PACKAGE)
        self.roots = tuple(folder.resolve() for folder in folders)
        self.loader = ChoiceLoader(
            [
                *(_Templates(folder) for folder in folders),
                PrefixLoader({_ORIGINALS: originals}),
            ]
        )
        self.overrides = [] if template_dir is None else _Templates(template_dir).list_templates()
        self.languages = Languages([folder / "locales" for folder in folders])
        self._shared = {"brand": brand, "public_url": public_url}
        self._compiled = _CompiledInMemory()
        self.for_language: Callable[[Language], Environment] = lru_cache(maxsize=64)(self._build)
        self.exists = lru_cache(maxsize=4096)(self._exists)

    def for_locale(self, locale: str) -> Environment:
        """Return the environment for a recipient's locale."""
        return self.for_language(self.languages.negotiate(locale))

    def _build(self, language: Language) -> Environment:
        environment = _Sandbox(
            loader=self.loader,
            bytecode_cache=self._compiled,
            autoescape=select_autoescape(enabled_extensions=("html",), default=False),
            undefined=StrictUndefined,
            extensions=["jinja2.ext.i18n"],
            finalize=_blank_for_none,
            auto_reload=False,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        environment.policies["ext.i18n.trimmed"] = True
        environment.filters.update(FILTERS)
        environment.globals.update(self._shared, language=language)
        environment.install_gettext_translations(  # type: ignore[attr-defined]  # by the extension
            language.translations, newstyle=True
        )
        return environment

    def _exists(self, name: str) -> bool:
        try:
            self.loader.get_source(self.for_locale(SOURCE_LANGUAGE), name)
        except TemplateNotFound:
            return False
        return True


def locate(roots: tuple[Path, ...], filename: str) -> str | None:
    """Return the name of the template in the file `filename`, or None if it is none of ours."""
    path = Path(filename)
    if path.suffix not in SUFFIXES:
        return None
    for root in roots:
        if path.is_relative_to(root):
            return path.relative_to(root).as_posix()
    return None


class _Templates(FileSystemLoader):
    """The templates below one folder, and nothing else that may lie there."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder.resolve())

    def get_source(
        self, environment: Environment, template: str
    ) -> tuple[str, str, Callable[[], bool]]:
        if not template.endswith(SUFFIXES):
            raise TemplateNotFound(template)
        return super().get_source(environment, template)

    def list_templates(self) -> list[str]:
        return [name for name in super().list_templates() if name.endswith(SUFFIXES)]


class _Sandbox(ImmutableSandboxedEnvironment):
    """A sandbox in which `amount.items` is the payload's field, and HTML takes in no text template."""

    def join_path(self, template: str, parent: str) -> str:
        if parent.endswith(".html") and template.endswith(".txt"):
            raise TemplateError(
                template,
                "is text, but an HTML template brings it in: its values would not be escaped",
                "Put what both need into an .html template of its own.",
            )
        return super().join_path(template, parent)

    def getattr(self, obj: Any, attribute: str) -> Any:
        # The sandbox would come to the same answer, but takes ten times as long.
        if attribute in VISIBLE.get(type(obj), ()):
            return getattr(obj, attribute)
        if isinstance(obj, dict) and attribute in obj:
            return obj[attribute]
        return super().getattr(obj, attribute)

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        if type(obj) in VISIBLE:
            return attr in VISIBLE[type(obj)]
        return super().is_safe_attribute(obj, attr, value)


class _CompiledInMemory(BytecodeCache):
    """Keeps compiled templates, so that a further language costs no compiling."""

    def __init__(self) -> None:
        self._code: dict[tuple[str, str], Any] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        bucket.code = self._code.get((bucket.key, bucket.checksum))

    def dump_bytecode(self, bucket: Bucket) -> None:
        self._code[bucket.key, bucket.checksum] = bucket.code


def _blank_for_none(value: Any) -> Any:
    return "" if value is None else value
