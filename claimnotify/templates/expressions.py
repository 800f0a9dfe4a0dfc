"""Reads the expressions of a template: which names and attributes they ask for."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NoReturn

from jinja2 import nodes

from claimnotify.errors import TemplateError
from claimnotify.templates.scopes import Scope
from claimnotify.templates.shapes import ANY, Shape
from claimnotify.templates.syntax import dotted, missing_placeholders

__all__ = ["Expressions"]

_ELEMENT_FILTERS = frozenset({"first", "last", "random"})
_KEEPING_FILTERS = frozenset({"list", "reverse", "sort", "unique"})


class Expressions:
    """What is common to everything in one template; `Reading` adds the statements.

    Args:
        name: The template.
        event_type: For the error.
        guarded: What was asked about with `is defined`, as dotted paths.
    """

    def __init__(self, name: str, event_type: str, guarded: frozenset[str]) -> None:
        self._name = name
        self._event_type = event_type
        self._guarded = guarded
        self._visitors: dict[type[nodes.Node], Callable[[Any, Scope], Shape]] = {
            nodes.Call: self._call,
            nodes.Filter: self._filter,
            nodes.Getattr: self._getattr,
            nodes.Getitem: self._getitem,
            nodes.Name: self._find,
            nodes.Test: self._test,
        }

    def _visit(self, node: nodes.Node, scope: Scope) -> Shape:
        visitor = self._visitors.get(type(node))
        if visitor is not None:
            return visitor(node, scope)
        self._visit_all(node.iter_child_nodes(), scope)
        return ANY

    def _visit_all(self, several: Iterable[nodes.Node], scope: Scope) -> None:
        for node in several:
            self._visit(node, scope)

    def _find(self, node: nodes.Name, scope: Scope) -> Shape:
        if node.ctx != "load":
            return ANY
        shape = scope.find(node.name)
        if shape is None and node.name not in self._guarded:
            self._refuse(node, f"asks for {node.name!r}, which {self._event_type} does not have")
        return shape or ANY

    def _getattr(self, node: nodes.Getattr, scope: Scope) -> Shape:
        return self._member(node, node.attr, self._visit(node.node, scope))

    def _getitem(self, node: nodes.Getitem, scope: Scope) -> Shape:
        shape = self._visit(node.node, scope)
        if not isinstance(node.arg, nodes.Const):
            self._visit(node.arg, scope)
            return ANY
        key = node.arg.value
        return self._member(node, key, shape) if isinstance(key, str) else shape.loop()

    def _member(self, node: nodes.Getattr | nodes.Getitem, name: str, of: Shape) -> Shape:
        shape = of.member(name)
        path = dotted(node)
        if shape is None and path not in self._guarded:
            shown = path or f"….{name}"
            self._refuse(node, f"asks for {shown!r}, which {self._event_type} does not have")
        return shape or ANY

    def _if_there(self, node: nodes.Node, scope: Scope) -> None:
        """Read an expression whose last step may be missing: `x.y is defined`."""
        if isinstance(node, nodes.Getattr | nodes.Getitem):
            self._visit(node.node, scope)
        elif not isinstance(node, nodes.Name):
            self._visit(node, scope)

    def _filter(self, node: nodes.Filter, scope: Scope) -> Shape:
        shape = ANY
        if node.node is not None:
            if node.name in ("default", "d"):
                self._if_there(node.node, scope)
            else:
                shape = self._visit(node.node, scope)
        self._visit_all((*node.args, *node.kwargs), scope)
        if node.name in _ELEMENT_FILTERS:
            return shape.loop()
        return shape if node.name in _KEEPING_FILTERS else ANY

    def _test(self, node: nodes.Test, scope: Scope) -> Shape:
        if node.name in ("defined", "undefined"):
            self._if_there(node.node, scope)
        else:
            self._visit_all(node.iter_child_nodes(), scope)
        return ANY

    def _call(self, node: nodes.Call, scope: Scope) -> Shape:
        missing = missing_placeholders(node)
        if missing:
            self._refuse(node, f"translates a text without a value for {missing[0]!r}")
        self._visit_all(node.iter_child_nodes(), scope)
        return ANY

    def _refuse(self, node: nodes.Node, problem: str) -> NoReturn:
        self._refuse_at(node.lineno, problem)

    def _refuse_at(self, line: int, problem: str) -> NoReturn:
        raise TemplateError(
            f"{self._name}, line {line}", problem, "Correct the template or the event."
        )
