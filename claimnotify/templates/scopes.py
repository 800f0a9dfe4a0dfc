"""The names that exist at one point of a template, and what is known of their values."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from claimnotify.templates.shapes import ANY, Shape

__all__ = ["LATER", "Scope"]

LATER = Shape()
"""Of a name that is assigned further down: allows everything, until the assignment is read."""


class Scope:
    """Names and their shapes, inside another scope or none.

    Args:
        names: The names of this scope.
        outer: The scope around it.
        globals: What a template without a context sees; taken from `outer` unless given.
        open: Whether any further name may exist, too.
    """

    def __init__(
        self,
        names: Mapping[str, Shape],
        *,
        outer: Scope | None = None,
        globals: Mapping[str, Shape] | None = None,
        open: bool = False,
    ) -> None:
        self._names = dict(names)
        self._outer = outer
        self._globals: Mapping[str, Shape] = (globals or {}) if outer is None else outer._globals
        self._open = open

    def find(self, name: str) -> Shape | None:
        """Return the shape of `name`, or None if there is certainly no such name."""
        shape = next(self._shapes(name), None)
        return ANY if shape is None and self._may_have_any() else shape

    def define(self, name: str, shape: Shape = ANY) -> None:
        """Add a name that hides an outer one: a loop's, a macro's."""
        self._names[name] = shape

    def assign(self, name: str, shape: Shape) -> None:
        """Add what a `set` assigns. It may be in a branch: a name with two shapes has none."""
        before = {each for each in self._shapes(name) if each is not LATER}
        self._names[name] = shape if before <= {shape} else ANY

    def inner(self, names: Collection[str] = (), *, open: bool = False) -> Scope:
        """Return a scope inside this one, with `names` of which nothing is known."""
        return Scope(dict.fromkeys(names, ANY), outer=self, open=open)

    def without_context(self) -> Scope:
        """Return what a template sees that is imported or included without the context."""
        return Scope(self._globals, globals=self._globals)

    def _shapes(self, name: str) -> Iterator[Shape]:
        """Yield the shapes `name` has in this scope and those around it, innermost first."""
        scope: Scope | None = self
        while scope is not None:
            if name in scope._names:
                yield scope._names[name]
            scope = scope._outer

    def _may_have_any(self) -> bool:
        return self._open or (self._outer is not None and self._outer._may_have_any())
