"""Reads a template as it would run, and refuses names its event does not have.

It errs on the side of silence: where a value's fields are not known, everything is allowed.
"""

from __future__ import annotations

from collections import Counter

from jinja2 import nodes

from claimnotify.errors import TemplateError
from claimnotify.templates.expressions import Expressions
from claimnotify.templates.scopes import LATER, Scope
from claimnotify.templates.shapes import ANY, Shape
from claimnotify.templates.syntax import (
    Trees,
    assigned,
    constant_names,
    guards,
    stored,
)

__all__ = ["Reading"]


class Reading(Expressions):
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
        super().__init__(name, event_type, guarded)
        self._trees = trees
        self._chain = (*chain, name)
        self._overridden = overridden
        self._visitors |= {
            nodes.Assign: self._assign,
            nodes.AssignBlock: self._assign_block,
            nodes.Block: self._block,
            nodes.CallBlock: self._call_block,
            nodes.FilterBlock: self._filter_block,
            nodes.For: self._for,
            nodes.FromImport: self._from_import,
            nodes.Import: self._import,
            nodes.Include: self._include,
            nodes.Macro: self._macro,
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


def _bound(tree: nodes.Template) -> set[str]:
    """Return every name a template binds anywhere: a child's `scoped` blocks may see them."""
    names = {each.name for each in tree.find_all(nodes.Name) if each.ctx != "load"}
    return names | set(assigned(tree.body))


def _uses_super(block: nodes.Block) -> bool:
    return any(name.name == "super" for name in block.find_all(nodes.Name))
