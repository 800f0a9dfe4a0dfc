"""Answers about a template's syntax tree that need no knowledge of any event."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from jinja2 import Environment, TemplateNotFound, nodes

__all__ = ["Trees", "assigned", "constant_names", "dotted", "guards", "missing_placeholders"]

_GETTEXT = {"_": (), "gettext": (), "pgettext": (), "ngettext": ("num",), "npgettext": ("num",)}
_PLACEHOLDER = re.compile(r"(?<!%)(?:%%)*%\((\w+)\)")


class Trees:
    """Syntax trees of templates by name, each parsed once."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._trees: dict[str, nodes.Template | None] = {}

    def get(self, name: str) -> nodes.Template | None:
        """Return the tree, or None if there is no such template."""
        if name not in self._trees:
            self._trees[name] = self._parse(name)
        return self._trees[name]

    def ancestors(self, tree: nodes.Template) -> Iterator[nodes.Template | None]:
        """Yield the templates `tree` extends, nearest first; None for one not known."""
        seen: list[nodes.Template] = [tree]
        current: nodes.Template | None = tree
        while current is not None:
            extends = next(current.find_all(nodes.Extends), None)
            if extends is None:
                return
            names = constant_names(extends.template)
            current = self.get(names[0]) if names else None
            if current in seen:
                return
            yield current
            if current is not None:
                seen.append(current)

    def _parse(self, name: str) -> nodes.Template | None:
        loader = self._environment.loader
        assert loader is not None  # noqa: S101  # our environments have one
        try:
            source, filename, _ = loader.get_source(self._environment, name)
        except TemplateNotFound:
            return None
        return self._environment.parse(source, name, filename)


def assigned(body: Iterable[nodes.Node]) -> Iterator[str]:
    """Yield the names that a template's top level gives: sets, macros and imports."""
    for node in body:
        if isinstance(node, nodes.Assign | nodes.AssignBlock):
            yield from stored(node.target)
        elif isinstance(node, nodes.Macro):
            yield node.name
        elif isinstance(node, nodes.Import):
            yield node.target
        elif isinstance(node, nodes.FromImport):
            yield from (name if isinstance(name, str) else name[1] for name in node.names)
        elif isinstance(node, nodes.If):
            yield from assigned((*node.body, *node.elif_, *node.else_))


def stored(target: nodes.Node) -> Iterator[str]:
    """Yield the names that a target of an assignment or a loop binds."""
    if isinstance(target, nodes.Name):
        yield target.name
    for name in target.find_all(nodes.Name):
        yield name.name


def constant_names(expression: nodes.Node) -> list[str]:
    """Return the names of templates in an include or extends; empty if they are computed."""
    if isinstance(expression, nodes.Const):
        value = expression.value
        return [value] if isinstance(value, str) else list(value)
    if isinstance(expression, nodes.Tuple | nodes.List):
        constants = [each.value for each in expression.items if isinstance(each, nodes.Const)]
        return constants if len(constants) == len(expression.items) else []
    return []


def dotted(expression: nodes.Node) -> str | None:
    """Return `amount.currency` for an expression that only follows names, else None."""
    if isinstance(expression, nodes.Name):
        return expression.name
    last: str | None = None
    if isinstance(expression, nodes.Getattr):
        last = expression.attr
    elif isinstance(expression, nodes.Getitem) and isinstance(expression.arg, nodes.Const):
        last = str(expression.arg.value)
    if last is None or not isinstance(expression, nodes.Getattr | nodes.Getitem):
        return None
    first = dotted(expression.node)
    return None if first is None else f"{first}.{last}"


def guards(tree: nodes.Template) -> Iterator[str]:
    """Yield what the template asks about with `is defined` anywhere."""
    for test in tree.find_all(nodes.Test):
        path = dotted(test.node) if test.name in ("defined", "undefined") else None
        if path is not None:
            yield path


def missing_placeholders(call: nodes.Call) -> list[str]:
    """Return the placeholders of a translated text that its call gives no value for."""
    name = call.node.name if isinstance(call.node, nodes.Name) else ""
    if name not in _GETTEXT or call.dyn_kwargs is not None:
        return []
    given = {keyword.key for keyword in call.kwargs} | set(_GETTEXT[name])
    texts = [each.value for each in call.args if isinstance(each, nodes.Const)]
    asked = {found for text in texts for found in _PLACEHOLDER.findall(str(text))}
    return sorted(asked - given)
