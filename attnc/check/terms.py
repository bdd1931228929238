"""Questions about whole terms.

Enters: a term. Leaves: its size, its depth, which names of a clause it needs, and the term with other spans.
Terms share parts, so every answer is remembered by identity and found once for a shared part.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from typing import Any, cast

from attnc.check.values import Term
from attnc.ir import nodes as ir
from attnc.source import Span

# A spec of the size of a page has some hundred nodes. Beyond these bounds no later stage could read the term.
MOST_NODES = 20_000
MOST_LEVELS = 120


@dataclass
class Measures:
    """Sizes and depths of terms, each counted as the tree it would print as."""

    # The node is kept with its answer: an identity is only its own while the node lives.
    _known: dict[int, tuple[ir.Node, int, int]] = field(default_factory=dict)

    def of(self, term: ir.Node) -> tuple[int, int]:
        """Nodes and levels of a term."""
        if (known := self._known.get(id(term))) is not None:
            return known[1], known[2]
        below = [self.of(child) for child in term.children]
        nodes = 1 + sum(n for n, _ in below)
        levels = 1 + max((depth for _, depth in below), default=0)
        self._known[id(term)] = (term, nodes, levels)
        return nodes, levels

    def is_too_large(self, term: ir.Node) -> bool:
        nodes, levels = self.of(term)
        return nodes > MOST_NODES or levels > MOST_LEVELS


def find_needs(term: ir.Node) -> frozenset[str]:
    """The names which a clause must have for the term to mean something in it; `sum` stands for any reduction."""
    memo: dict[int, frozenset[str]] = {}

    def visit(node: ir.Node) -> frozenset[str]:
        if id(node) not in memo:
            memo[id(node)] = _own_needs(node).union(*(visit(child) for child in node.children))
        return memo[id(node)]

    return visit(term)


def _own_needs(node: ir.Node) -> frozenset[str]:
    match node:
        case ir.Index(axis):
            return frozenset((axis,))
        case ir.VecInput(name):
            return frozenset((name,))
        case ir.Score():
            return frozenset("s")
        case ir.Row() | ir.Count():
            return frozenset(("sum",))
        case _:
            return frozenset()


def cite(term: Term, span: Span) -> Term:
    """The same term, where every node that comes from another file is said to come from `span`."""
    memo: dict[int, ir.Node] = {}

    def visit(node: ir.Node) -> ir.Node:
        if node.span is None or node.span.source.name == span.source.name:
            return node
        if id(node) not in memo:
            memo[id(node)] = replace(node, span=span, **_changed(node, visit))
        return memo[id(node)]

    return cast("Term", visit(term))


def _changed(node: ir.Node, visit: Callable[[ir.Node], ir.Node]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for item in fields(node):
        value = getattr(node, item.name)
        if isinstance(value, ir.Node):
            found[item.name] = visit(value)
        elif isinstance(value, tuple):
            found[item.name] = tuple(visit(x) if isinstance(x, ir.Node) else x for x in value)
    return found
