"""Reads a template as it would run, and refuses names its event does not have.

It errs on the side of silence: where a value's fields are not known, everything is allowed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, NoReturn

from jinja2 import nodes

from claimnotify.errors import TemplateError
from claimnotify.templates.scopes import LATER, Scope
from claimnotify.templates.shapes import ANY, Shape
from claimnotify.templates.syntax import (
    Trees,
    assigned,
    constant_names,
    dotted,
    guards,
    missing_placeholders,
    stored,
)

__all__ = ["Reading"]

_ELEMENT_FILTERS = frozenset({"first", "last", "random"})
_KEEPING_FILTERS = frozenset({"list", "reverse", "sort", "unique"})


class Reading:
    """One template, and those it extends, includes and imports.

    Args:
        trees: Where syntax trees come from.
        name: The template.
        event_type: For the error.
        chain: The templates that led here.
        guarded: What was asked about with `is defined` on the way here.
        overridden: Blocks that never show, because a template further down has its own.
    """

    def __init__(
        self,
        trees: Trees,
        name: str,
        event_type: str,
        *,
        chain: tuple[str, ...] = (),
        guarded: frozenset[str] = frozenset(),
        overridden: frozenset[str] = frozenset(),
    ) -> None:
        self._trees = trees
        self._name = name
        self._event_type = event_type
        self._chain = (*chain, name)
        self._guarded = guarded
        self._overridden = overridden
        self._visitors: dict[type[nodes.Node], Callable[[Any, Scope], Shape]] = {
            nodes.Assign: self._assign,
            nodes.AssignBlock: self._assign_block,
            nodes.Block: self._block,
            nodes.Call: self._call,
            nodes.CallBlock: self._call_block,
            nodes.Filter: self._filter,
            nodes.FilterBlock: self._filter_block,
            nodes.For: self._for,
            nodes.FromImport: self._from_import,
            nodes.Getattr: self._getattr,
            nodes.Getitem: self._getitem,
            nodes.Import: self._import,
            nodes.Include: self._include,
            nodes.Macro: self._macro,
            nodes.Name: self._find,
            nodes.Test: self._test,
            nodes.With: self._with,
        }

    def check(self, outer: Scope) -> None:
        """Read the template within what `outer` gives.

        Raises:
            TemplateError: If it asks for what is not there; it names template and line.
        """
        tree = self._trees.get(self._name)
        if tree is None:
            raise TemplateError(self._name, "does not exist", "Correct the name.")
        self._guarded |= frozenset(guards(tree))
        ancestors = list(self._trees.ancestors(tree))
        inherited = [name for each in ancestors if each for name in _bound(each)]
        # Blocks and macros run late: they see what the top level assigns further down.
        late = outer.inner(["self"], open=None in ancestors)
        for name, times in Counter([*assigned(tree.body), *inherited]).items():
            late.define(name, LATER if times == 1 else ANY)
        scope = late.inner()
        extends = [node for node in tree.body if isinstance(node, nodes.Extends)]
        for node in tree.body:
            if isinstance(node, nodes.Extends) or (extends and isinstance(node, nodes.Output)):
                continue
            self._visit(node, scope)
        for node in extends:
            final = {each.name for each in tree.find_all(nodes.Block) if not _uses_super(each)}
            for name in self._existing(node.template, node.lineno)[:1]:
                self._read(name, scope, overridden=self._overridden | final)

    def _read(self, name: str, scope: Scope, *, overridden: frozenset[str] = frozenset()) -> None:
        if name not in self._chain:
            Reading(
                self._trees,
                name,
                self._event_type,
                chain=self._chain,
                guarded=self._guarded,
                overridden=overridden,
            ).check(scope)

    def _visit(self, node: nodes.Node, scope: Scope) -> Shape:
        visitor = self._visitors.get(type(node))
        if visitor is not None:
            return visitor(node, scope)
        self._visit_all(node.iter_child_nodes(), scope)
        return ANY

    def _visit_all(self, several: Iterable[nodes.Node], scope: Scope) -> None:
        for node in several:
            self._visit(node, scope)

    # What an expression may ask for

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

    # What gives names

    def _assign(self, node: nodes.Assign, scope: Scope) -> Shape:
        shape = self._visit(node.node, scope)
        if isinstance(node.target, nodes.Name):
            scope.assign(node.target.name, shape)
        else:
            for name in stored(node.target):
                scope.assign(name, ANY)
        return ANY

    def _assign_block(self, node: nodes.AssignBlock, scope: Scope) -> Shape:
        if node.filter is not None:
            self._visit(node.filter, scope)
        self._visit_all(node.body, scope.inner())
        for name in stored(node.target):
            scope.assign(name, ANY)
        return ANY

    def _for(self, node: nodes.For, scope: Scope) -> Shape:
        shape = self._visit(node.iter, scope).loop()
        inner = scope.inner([*stored(node.target), "loop"])
        if isinstance(node.target, nodes.Name):
            inner.define(node.target.name, shape)
        if node.test is not None:
            self._visit(node.test, inner)
        self._visit_all(node.body, inner)
        self._visit_all(node.else_, scope.inner())
        return ANY

    def _macro(self, node: nodes.Macro, scope: Scope) -> Shape:
        scope.assign(node.name, ANY)
        self._body(node, scope)
        return ANY

    def _call_block(self, node: nodes.CallBlock, scope: Scope) -> Shape:
        self._visit(node.call, scope)
        self._body(node, scope)
        return ANY

    def _body(self, node: nodes.Macro | nodes.CallBlock, scope: Scope) -> None:
        arguments = [argument.name for argument in node.args]
        inner = scope.inner([*arguments, "varargs", "kwargs", "caller"])
        self._visit_all(node.defaults, inner)
        self._visit_all(node.body, inner)

    def _with(self, node: nodes.With, scope: Scope) -> Shape:
        inner = scope.inner()
        for target, value in zip(node.targets, node.values, strict=True):
            shape = self._visit(value, scope)
            for name in stored(target):
                inner.define(name, shape if isinstance(target, nodes.Name) else ANY)
        self._visit_all(node.body, inner)
        return ANY

    def _filter_block(self, node: nodes.FilterBlock, scope: Scope) -> Shape:
        self._visit(node.filter, scope)
        self._visit_all(node.body, scope.inner())
        return ANY

    # What brings in other templates

    def _block(self, node: nodes.Block, scope: Scope) -> Shape:
        if node.name not in self._overridden:
            self._visit_all(node.body, scope.inner(["super"]))
        return ANY

    def _include(self, node: nodes.Include, scope: Scope) -> Shape:
        names = self._existing(node.template, node.lineno, optional=node.ignore_missing)
        for name in names[:1]:
            self._read(name, scope if node.with_context else scope.without_context())
        return ANY

    def _import(self, node: nodes.Import, scope: Scope) -> Shape:
        scope.assign(node.target, self._module(node, scope))
        return ANY

    def _from_import(self, node: nodes.FromImport, scope: Scope) -> Shape:
        module = self._module(node, scope)
        for each in node.names:
            name, alias = (each, each) if isinstance(each, str) else each
            if module.member(name) is None:
                self._refuse(node, f"imports {name!r}, which the other template does not have")
            scope.assign(alias, ANY)
        return ANY

    def _module(self, node: nodes.Import | nodes.FromImport, scope: Scope) -> Shape:
        for name in self._existing(node.template, node.lineno)[:1]:
            self._read(name, scope if node.with_context else scope.without_context())
            tree = self._trees.get(name)
            if tree is not None and tree.find(nodes.Extends) is None:
                return Shape(members={each: lambda: ANY for each in assigned(tree.body)})
        return ANY

    def _existing(self, expression: nodes.Expr, line: int, *, optional: bool = False) -> list[str]:
        names = constant_names(expression)
        existing = [name for name in names if self._trees.get(name) is not None]
        for each in existing if self._name.endswith(".html") else ():
            if each.endswith(".txt"):
                problem = f"brings in {each!r}, a text template whose values would not be escaped"
                self._refuse_at(line, problem)
        if names and not existing and not optional:
            self._refuse_at(line, f"refers to the template {names[0]!r}, which does not exist")
        return existing

    def _refuse(self, node: nodes.Node, problem: str) -> NoReturn:
        self._refuse_at(node.lineno, problem)

    def _refuse_at(self, line: int, problem: str) -> NoReturn:
        raise TemplateError(
            f"{self._name}, line {line}", problem, "Correct the template or the event."
        )


def _bound(tree: nodes.Template) -> set[str]:
    """Return every name a template binds anywhere: a child's `scoped` blocks may see them."""
    names = {each.name for each in tree.find_all(nodes.Name) if each.ctx != "load"}
    return names | set(assigned(tree.body))


def _uses_super(block: nodes.Block) -> bool:
    return any(name.name == "super" for name in block.find_all(nodes.Name))
